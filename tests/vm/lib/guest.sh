# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What is inside a guest: an initramfs of busybox and the kernel's modules, the
# same for every run of a kernel and kept; and an archive of this run, on a disk:
# our module, the programs of the test, the command.

# find_busybox: set BUSYBOX to one that needs no libraries.
find_busybox() {
	need_program busybox
	BUSYBOX=$(command -v busybox)
	! ldd "$BUSYBOX" >/dev/null 2>&1 ||
		die "$BUSYBOX is not the static one: run tests/setup"
}

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet); }

# kernel_tree NAME TREE: the kernel's modules, to TREE.
kernel_tree() {
	local to
	to=$2/lib/modules/$(<"$CACHE_DIR/roots/$1/release")
	mkdir -p "$to"
	cp "$CACHE_DIR/roots/$1/modules/"* "$to/"
}

# pack_base NAME TO: what a guest boots with. To be called with NAME's lock held.
pack_base() {
	local to=$2 tree=$2.tree
	rm -rf "$tree"
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,root,etc}
	cp "$BUSYBOX" "$tree/bin/busybox"
	cp "$VM_DIR/init" "$tree/init"
	chmod 0755 "$tree/init" "$tree/bin/busybox"
	kernel_tree "$1" "$tree"
	depmod -b "$tree" "$(<"$CACHE_DIR/roots/$1/release")"
	pack "$tree" >"$to.new"
	rm -rf "$tree"
	mv "$to.new" "$to"
}

# keep_module NAME MODULE TO: the module as it is installed: itself, and the
# lists of modules with it among them. To be called with NAME's lock held.
keep_module() {
	local to=$3 tree=$3.tree release
	release=$(<"$CACHE_DIR/roots/$1/release")
	rm -rf "$tree"
	kernel_tree "$1" "$tree"
	mkdir -p "$tree/lib/modules/$release/updates/dkms"
	cp "$2" "$tree/lib/modules/$release/updates/dkms/"
	depmod -b "$tree" "$release"
	# These are in the guest already.
	rm -f "$tree/lib/modules/$release/"*.ko
	mv "$tree" "$to"
}

# ready_guest NAME MODULE: set BASE to the kept archive, and INSTALLED to the
# kept tree with MODULE in it, making them if need be. MODULE may be empty.
ready_guest() {
	local key built=() kept=$CACHE_DIR/guests/$1
	find_busybox
	mkdir -p "${kept%/*}"
	[[ -z $ROW_FLAVOUR ]] || built=("$CACHE_DIR/roots/$1/built")
	key=$(cat "$CACHE_DIR/roots/$1"/{recipe,candidates} "${built[@]}" \
		"$VM_DIR/init" "$VM_DIR/lib/guest.sh" "$BUSYBOX" |
		sha256sum | cut -c1-16)
	BASE=$kept-$key.cpio INSTALLED=''
	[[ -f $BASE ]] || {
		find "${kept%/*}" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
		pack_base "$1" "$BASE"
	}
	touch "$BASE"
	[[ $2 ]] || return 0
	INSTALLED=$kept-$key-$(sha256sum <"$2" | cut -c1-16)
	[[ -d $INSTALLED ]] || keep_module "$1" "$2" "$INSTALLED"
	touch "$INSTALLED"
}

# quote WORD...: for a shell of any kind.
quote() {
	local word
	for word; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

# pack_run DIR: the archive of this run: the module, its programs (FILES), its
# command (COMMAND), its variables (VARIABLES) and what init must know.
pack_run() {
	local tree=$1 file variable
	mkdir -p "$tree/bin"
	[[ -z $INSTALLED ]] || cp -r "$INSTALLED/lib" "$tree/"
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
	head -c 64 /dev/urandom >"$tree/seed"
	pack "$tree"
}

# The disk that a run comes on: of one size, since it is part of the machine;
# empty as long as there is no run. Its first block says how many blocks
# of RUN_DISK_BLOCK follow and what time it is.
RUN_DISK_SIZE=256M
RUN_DISK_BLOCK=65536

# make_run_disk ARCHIVE TO
make_run_disk() {
	local size
	size=$(stat -c %s "$1")
	((size < 255 << 20)) || die "the programs of this run are too large for a guest: $size bytes"
	printf 'run %d %d\n' $(((size + RUN_DISK_BLOCK - 1) / RUN_DISK_BLOCK)) \
		"$(date +%s)" >"$2"
	truncate -s "$RUN_DISK_BLOCK" "$2"
	cat "$1" >>"$2"
	truncate -s "$RUN_DISK_SIZE" "$2"
}

interactive_parameters() {
	local rows columns
	read -r rows columns < <(stty size)
	echo "VM_INTERACTIVE=yes VM_ROWS=${rows:-24} VM_COLUMNS=${columns:-80}"
	echo "export TERM=$(quote "${TERM:-linux}")"
}
