# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The emulator. Debian 12's own (7.2) corrupts one guest in eight; from 10 on
# none was seen to. Where the host's is older, trixie's is used, out of a root
# in the cache but without entering it: its own loader with its own libraries.

QEMU_OLDEST=10

# host_qemu: true where the host's emulator is new enough.
host_qemu() {
	local version
	version=$(qemu-system-x86_64 --version 2>/dev/null |
		sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
	[[ -n $version ]] && ((version >= QEMU_OLDEST))
}

# ready_qemu: set QEMU to the words that run an emulator.
# shellcheck disable=SC2034  # used by machine.sh
ready_qemu() {
	local root=$CACHE_DIR/roots/qemu/root
	if host_qemu; then
		QEMU=(qemu-system-x86_64)
		return
	fi
	qemu_row
	lock qemu
	ready_root qemu
	unlock
	QEMU=("$root/lib64/ld-linux-x86-64.so.2"
		--library-path "$root/usr/lib/x86_64-linux-gnu"
		"$root/usr/bin/qemu-system-x86_64"
		-L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
}
