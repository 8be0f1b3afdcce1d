# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Root's rights over a build root, for root and for anybody else.

# as_root COMMAND...: run COMMAND as root in mounts and processes of its own.
# This is the one place that knows who is asking. A user's command runs in a
# user namespace, where most of the disk belongs to nobody: it is given its
# place by its working directory, never by a path from /.
as_root() {
	if ((EUID == 0)); then
		unshare --mount --pid --fork --kill-child "$@"
	else
		mmdebstrap --unshare-helper "$@"
	fi
}

# mmdebstrap_mode: how mmdebstrap itself gets the same rights.
mmdebstrap_mode() {
	if ((EUID == 0)); then echo root; else echo unshare; fi
}

# in_root DIR COMMAND...: run COMMAND in the build root DIR, with /proc, /dev,
# the network's names and, where it may be read, the source tree at /mnt.
in_root() {
	local dir=$1
	shift
	# shellcheck disable=SC2016  # expanded by the inner shell
	(cd "$dir" && as_root sh -c '
		set -eu
		mount -t proc proc proc
		mount --rbind /dev dev
		if [ -e /etc/resolv.conf ] && [ -e etc/resolv.conf ]; then
			mount --bind /etc/resolv.conf etc/resolv.conf
		fi
		mount --bind "$1" mnt 2>/dev/null || :
		shift
		# A variable of the user who asked, such as a CC, builds
		# something else than the distribution would.
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
			LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" \
			DEBIAN_FRONTEND=noninteractive \
			${http_proxy:+http_proxy="$http_proxy"} \
			${https_proxy:+https_proxy="$https_proxy"} \
			chroot . "$@"
	' in_root "$SRC_DIR" "$@")
}

# remove_root DIR: remove a directory that holds a build root in DIR/root. What
# is in the root is root's, the directory around it the user's.
remove_root() {
	# Somebody may have mounted something there by hand: the host's /dev
	# must survive that.
	# shellcheck disable=SC2016  # expanded by the inner shell
	[[ ! -d $1/root ]] || (cd "$1" && as_root sh -c '
		for place in proc sys dev mnt; do
			umount -l "root/$place" 2>/dev/null || :
		done
		find root -xdev -mindepth 1 -delete')
	rm -rf --one-file-system "$1"
}
