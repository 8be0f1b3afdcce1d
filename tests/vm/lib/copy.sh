# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A copy of a build root that is thrown away, for what would spoil the root.

# in_copy DIR COMMAND...: as in_root, on a copy that lives as long as COMMAND.
in_copy() {
	local dir=$1
	shift
	mkdir -p "$WORK"/{root,upper,work}
	# shellcheck disable=SC2016  # expanded by the inner shell
	(cd "$WORK" && VM_DIR=$VM_DIR SRC_DIR=$SRC_DIR as_root bash -c '
		set -euo pipefail
		mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work" root
		shift
		. "$VM_DIR/lib/as-root.sh"
		in_root root "$@"
	' in_copy "$dir" "$@")
}

# packages_test NAME SCRIPT: runs SCRIPT in a copy of NAME's root, in a copy of
# the source tree, with what packages.sh has. TAP. The last points: that the
# module that SCRIPT has built and hands over is made of the same as the one that
# the other tests boot, and that a guest boots it.
packages_test() {
	local name=$1 script=$2 booted points failed=''
	kernel_row "$name"
	lock "$name"
	ready_root "$name"
	unlock
	mkdir -p "$CACHE_DIR/run"
	WORK=$(mktemp -d "$CACHE_DIR/run/XXXXXX")
	trap 'remove_root "$WORK"' EXIT
	mkdir "$WORK/handed"
	booted=$(modinfo -F srcversion "$("$VM_DIR/build" "$name")")
	echo "TAP version 13"
	git -C "$SRC_DIR" ls-files -co --exclude-standard |
		tar -C "$SRC_DIR" -cf - -T - |
		in_copy "../../roots/$name/root" bash -c "
			mkdir /tmp/tree
			cd /tmp/tree
			tar --no-same-owner -xf -
			. tests/packages.sh
			$script" |
		awk -v booted="$booted" -v dir="$WORK/handed" '
			/^srcversion / { built = $2; next }
			/^file / { print $3 >(dir "/" $2 ".base64"); next }
			/^(not )?ok / { points++ }
			/^not ok / { failed = 1 }
			{ print; fflush() }
			END {
				same = built == booted
				printf "%sok %d - %s\n", same ? "" : "not ",
					++points, "it is the module that the tests boot"
				if (!same)
					print "# srcversion \"" built "\", want " booted
				print points >(dir "/points")
				exit failed || !same
			}' || failed=yes
	points=$(($(<"$WORK/handed/points") + 1))
	if boot_handed "$name" >"$WORK/said" 2>&1; then
		echo "ok $points - a guest boots it, and a program of that library uses it"
	else
		echo "not ok $points - a guest boots it, and a program of that library uses it"
		sed 's/^/# /' "$WORK/said"
		failed=yes
	fi
	echo "1..$points"
	[[ ! $failed ]]
}

# boot_handed NAME: the module and the program that were handed over.
boot_handed() {
	local file handed=$WORK/handed
	for file in "$handed"/*.base64; do
		base64 -d <"$file" >"${file%.base64}" || return 1
		rm "$file"
	done
	mkdir "$WORK/module"
	copy_module "$(ls "$handed"/droppable.ko*)" "$WORK/module" || return 1
	"$VM_DIR/run" --kernel "$1" --mem 256 --module "$WORK/module/droppable.ko" \
		--file "$handed/cache" -- cache 4 >"$WORK/cache.out" || {
		cat "$WORK/cache.out"
		return 1
	}
	cat "$WORK/cache.out"
	grep -q '^backend *device' "$WORK/cache.out"
}
