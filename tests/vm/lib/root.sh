# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Build roots: each a small installation of one distribution, with the
# compiler, headers and DKMS that a user of that distribution has.
#
# roots/NAME/root        the installation
# roots/NAME/recipe      hash of everything that decided how it was made
# roots/NAME/candidates  the package versions it was made with
# roots/NAME/checked     its time is that of the last look at the archive
#
# A root is made beside its place and renamed into it, whole or not at all.

REFRESH_HOURS=12

# root_candidates DIR: the versions that the archive offers of the packages
# whose change means that the root has grown old.
root_candidates() {
	# shellcheck disable=SC2086  # lists of names
	in_root "$1/root" apt-cache policy $ROW_PACKAGES $ROW_IMAGE |
		awk '/^[^ ]/ { name = substr($1, 1, length($1) - 1) }
		     /^  Candidate:/ { print name, $2 }'
}

# say_expired DIR: tell of indexes that are past the date they were meant for.
say_expired() {
	local file until now
	now=$(date +%s)
	for file in "$1"/root/var/lib/apt/lists/*InRelease; do
		until=$(sed -n 's/^Valid-Until: //p' "$file")
		[[ -n $until ]] || continue
		(($(date -d "$until" +%s) >= now)) ||
			say "$(sed -n 's/^Codename: //p' "$file"): its index was meant to be used until $until; used all the same, its signature is good"
	done
}

# make_root NAME: make the root of NAME from nothing.
make_root() {
	local name=$1 dir=$CACHE_DIR/roots/$1 new=$CACHE_DIR/roots/.$1.new
	need_program mmdebstrap
	remove_root "$new"
	mkdir -p "$new"
	progress "$name: making its build root of $ROW_SUITE (a download of some 300 MB)" \
		"$CACHE_DIR/roots/$name.log" make_tarball "$new/root.tar"
	unpack_tarball "$new/root.tar" "$new"
	rm -f "$new"/root.tar*
	root_candidates "$new" >"$new/candidates"
	[[ -z $ROW_IMAGE ]] || fetch_kernel "$name" "$new"
	root_recipe >"$new/recipe"
	touch "$new/checked"
	remove_root "$dir"
	mv "$new" "$dir"
	say_expired "$dir"
}

# look_for_newer NAME: ask the archive, at most every REFRESH_HOURS, whether
# the root is still the newest. Without a network the cached one will do.
look_for_newer() {
	local name=$1 dir=$CACHE_DIR/roots/$1
	[[ -z ${DROPPABLE_REFRESH:-} ]] || touch -d @0 "$dir/checked"
	[[ -n $(find "$dir/checked" -mmin +$((REFRESH_HOURS * 60))) ]] || return 0
	if ! progress "$name: asking the archive for newer packages" "$dir/update.log" \
		in_root "$dir/root" apt-get update --error-on=any; then
		say "$name: the archive cannot be asked; going on with what the cache holds: $(paste -sd, "$dir/candidates")"
		# Not at every run: each would wait for the network again.
		touch -d "-$((REFRESH_HOURS - 1)) hours" "$dir/checked"
		return 0
	fi
	touch "$dir/checked"
	say_expired "$dir"
	[[ $(root_candidates "$dir") != "$(<"$dir/candidates")" ]] || return 0
	say "$name: the archive has newer packages"
	make_root "$name"
}

# ready_root NAME: see to it that the root of NAME is there, whole and current.
# To be called with NAME's lock held.
ready_root() {
	local name=$1 dir=$CACHE_DIR/roots/$1
	if [[ ! -f $dir/recipe || $(<"$dir/recipe") != $(root_recipe) ]]; then
		make_root "$name"
	else
		look_for_newer "$name"
	fi
	[[ -z ${ROW_FLAVOUR:-} ]] || ready_debug "$name"
}
