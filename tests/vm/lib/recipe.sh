# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# How a build root is made. A change here makes all of them anew, so what does
# not decide what is in a root is kept elsewhere.

# root_recipe: a hash of the table's row and of the code that makes roots.
# Made with another mirror, a root is the same root: signatures see to that.
root_recipe() {
	{
		echo "$ROW_SUITE $ROW_EXTRA $ROW_IMAGE $ROW_PACKAGES"
		cat "$VM_DIR/lib/recipe.sh" "$VM_DIR/lib/kernel.sh"
	} | sha256sum | cut -d' ' -f1
}

# root_sources MIRROR: the lines for sources.list when the user names a mirror.
# Otherwise mmdebstrap writes its own.
root_sources() {
	local key=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
	echo "deb [$key] $1 $ROW_SUITE main"
	case ,$ROW_EXTRA, in
	*,updates,*) echo "deb [$key] $1 $ROW_SUITE-updates main" ;;
	esac
	case ,$ROW_EXTRA, in
	*,security,*)
		echo "deb [$key] ${DROPPABLE_SECURITY_MIRROR:-$1-security}" \
			"$ROW_SUITE-security main"
		;;
	esac
}

# backports_hook: a setup hook for mmdebstrap that adds the backports suite of
# the mirror it has chosen, and lets nothing but the kernel come from there.
backports_hook() {
	cat <<-'HOOK'
		set -eu
		find "$1/etc/apt" -name "*.list" -exec sed -n \
			"s/^\(deb .*\) $SUITE main.*/\1 $SUITE-backports main/p" {} + |
			sort -u >"$1/backports"
		mv "$1/backports" "$1/etc/apt/sources.list.d/backports.list"
		grep -q . "$1/etc/apt/sources.list.d/backports.list"
		cat >"$1/etc/apt/preferences.d/kernel" <<-EOF
		Package: linux-image-* linux-binary-* linux-modules-* linux-headers-* linux-kbuild-* linux-base*
		Pin: release n=$SUITE-backports
		Pin-Priority: 990
		EOF
	HOOK
}

# make_tarball FILE: the suite of the row with its packages, as a tar archive.
make_tarball() {
	local -a options=() sources=()
	if [[ ,$ROW_EXTRA, == *,backports,* ]]; then
		# By the environment: root in a namespace can't read the cache
		# of a user who keeps it to himself.
		BACKPORTS_HOOK=$(backports_hook) SUITE=$ROW_SUITE
		export BACKPORTS_HOOK SUITE
		# Before the other hook, which fetches the indexes.
		# shellcheck disable=SC2016  # expanded by the hook's shell
		options+=('--setup-hook=sh -c "$BACKPORTS_HOOK" hook "$1"')
	fi
	[[ -z ${DROPPABLE_MIRROR:-} ]] ||
		mapfile -t sources < <(root_sources "$DROPPABLE_MIRROR")
	# A suite whose index has outlived its date is still the newest there
	# is; its signature is checked all the same.
	mmdebstrap --mode="$(mmdebstrap_mode)" --variant=apt --format=tar \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		--aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Retries "3"' \
		--dpkgopt=path-exclude=/usr/share/doc/* \
		--dpkgopt=path-exclude=/usr/share/man/* \
		--dpkgopt=path-exclude=/usr/share/locale/* \
		--skip=cleanup/apt/lists \
		"${options[@]}" \
		--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
		--include="${ROW_PACKAGES// /,}" \
		"$ROW_SUITE" "$1" "${sources[@]}"
}

# unpack_tarball FILE DIR: unpack it to DIR/root. Device files are left out, as
# a user could not make them; in_root brings the host's.
unpack_tarball() {
	mkdir -p "$2"
	chmod 0777 "$2"
	(cd "$2" && as_root sh -c \
		'mkdir root && tar --numeric-owner --exclude=./dev/\* -C root -xf -') \
		<"$1"
	chmod 0755 "$2"
}
