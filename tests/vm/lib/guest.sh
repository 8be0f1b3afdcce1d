# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What is inside a guest: an initramfs of busybox, the kernel's modules and
# ours, the programs of the test. Two archives, one after the other: the first
# is the same for every run of a kernel and kept, the second is this run's.

# find_busybox: set BUSYBOX to one that needs no libraries.
find_busybox() {
	need_program busybox
	BUSYBOX=$(command -v busybox)
	! ldd "$BUSYBOX" >/dev/null 2>&1 ||
		die "$BUSYBOX is not the static one: run tests/setup"
}

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet); }

# pack_base NAME MODULE TO: MODULE may be empty. To be called with NAME's lock
# held.
pack_base() {
	local dir=$CACHE_DIR/roots/$1 module=$2 to=$3 tree=$3.tree release modules
	release=$(<"$dir/release")
	modules=$tree/lib/modules/$release
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,root,etc} "$modules/updates/dkms"
	cp "$BUSYBOX" "$tree/bin/busybox"
	cp "$VM_DIR/init" "$tree/init"
	chmod 0755 "$tree/init" "$tree/bin/busybox"
	cp "$dir/modules/"* "$modules/"
	[[ -z $module ]] || cp "$module" "$modules/updates/dkms/"
	depmod -b "$tree" "$release"
	pack "$tree" >"$to.new"
	rm -rf "$tree"
	mv "$to.new" "$to"
}

# ready_base NAME MODULE: set BASE to the kept archive, making it if need be.
ready_base() {
	local key built=()
	find_busybox
	[[ -z $ROW_FLAVOUR ]] || built=("$CACHE_DIR/roots/$1/built")
	key=$(cat "$CACHE_DIR/roots/$1"/{recipe,candidates} "${built[@]}" ${2:+"$2"} \
		"$VM_DIR/init" "$VM_DIR/lib/guest.sh" "$BUSYBOX" |
		sha256sum | cut -c1-16)
	BASE=$CACHE_DIR/guests/$1-$key.cpio
	[[ ! -f $BASE ]] || {
		touch "$BASE"
		return 0
	}
	mkdir -p "$CACHE_DIR/guests"
	find "$CACHE_DIR/guests" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
	pack_base "$1" "$2" "$BASE"
}

# quote WORD...: for a shell of any kind.
quote() {
	local word
	for word; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

# pack_run DIR: the archive of this run: its programs (FILES), its command
# (COMMAND), its variables (VARIABLES) and what init must know.
pack_run() {
	local tree=$1 file variable
	mkdir -p "$tree/bin"
	for file in "${FILES[@]}"; do
		cp -L --no-preserve=ownership "$file" "$tree/bin/"
		chmod a+rx "$tree/bin/${file##*/}"
	done
	{
		for variable in "${VARIABLES[@]}"; do
			echo "export ${variable%%=*}=$(quote "${variable#*=}")"
		done
		echo "VM_MODULE=${MODULE:+yes} VM_SWAP=${SWAP:+yes}"
		((${#COMMAND[@]})) || interactive_parameters
	} >"$tree/parameters"
	((!${#COMMAND[@]})) || echo "exec $(quote "${COMMAND[@]}")" >"$tree/command"
	pack "$tree"
}

interactive_parameters() {
	local rows columns
	read -r rows columns < <(stty size)
	echo "VM_INTERACTIVE=yes VM_ROWS=${rows:-24} VM_COLUMNS=${columns:-80}"
	echo "export TERM=$(quote "${TERM:-linux}")"
}
