# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# For packages and rpm: what both look at inside a copy of a build root. The
# source tree is the working directory.

set -u
n=0 failed=0

ok() { # DESCRIPTION COMMAND...
	local what=$1
	shift
	n=$((n + 1))
	if "$@" >/tmp/said 2>&1 </dev/null; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		tail -n 60 /tmp/said | sed 's/^/# /'
		failed=1
	fi
}

finish() { exit $failed; }

# Of each kernel that there are headers for.
module() { ls /lib/modules/*/updates/dkms/droppable.ko*; }

# For packages_test(): what a guest is to boot, and to run.
hand_over() {
	local file built
	built=$(module | head -n 1)
	echo "srcversion $(modinfo -F srcversion "$built")"
	# shellcheck disable=SC2046  # words
	cc -static -o /tmp/cache userspace/examples/cache.c \
		$(pkg-config --static --cflags --libs libdroppable)
	for file in "$built" /tmp/cache; do
		echo "file ${file##*/} $(base64 -w 0 "$file")"
	done
}

one_version() { [ "$(dkms status -m droppable | grep -c installed)" = 1 ]; }

left() {
	# Another run may be building in the root that this is a copy of.
	find / -xdev \( -path /tmp -o -path /proc -o -path /mnt \
		-o -path /var/lib/apt -o -path /var/cache \
		-o -path /var/log -o -path '/usr/src/check-*' \
		-o -path '/usr/src/droppable-*' \
		! -path "/usr/src/droppable-$version*" \) -prune \
		-o -name '*droppable*' -print
}
nothing_left() { [ -z "$(left)" ] || { left; return 1; }; }

linked() {
	# shellcheck disable=SC2046  # words
	cc -o /tmp/cache userspace/examples/cache.c \
		$(pkg-config --cflags --libs libdroppable) &&
		ldd /tmp/cache | grep -q 'libdroppable.so.0 => /'
}

# No device in here: it says so, and that is 3.
tool() {
	droppable status
	local status=$?
	[ $status = 3 ] || [ $status = 0 ]
}

rules() {
	ls /usr/lib/udev/rules.d/60-droppable.rules \
		/usr/lib/modules-load.d/droppable.conf
}

# shellcheck source=dkms.conf
. ./dkms.conf
version=$PACKAGE_VERSION
# What the rig has built here is not the packages'.
dkms remove -m droppable -v "$version" --all >/dev/null 2>&1
rm -rf /usr/src/droppable-* /usr/src/check-droppable /var/lib/dkms/droppable \
	/lib/modules/*/updates/dkms/droppable.ko*
