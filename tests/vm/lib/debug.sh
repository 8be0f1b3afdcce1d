# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Debug kernels: a distribution's own sources, its compiler, and all of the
# kernel's own checks; what no test needs is left out, so that it is built in
# minutes. Sources and objects stay in the root: the module is built on them.
#
# roots/NAME/built        hash of everything that decided how it was built
# roots/NAME/build.log    what that said
# roots/NAME/{release,kernel,modules,config}  as of the stock ones

# What builds a kernel, beside its source package.
DEBUG_TOOLS="dkms gcc libc6-dev bc bison flex libelf-dev lz4 xz-utils"

# The checks cost memory and time. What TEST_SLOW does: tests/support/tap.h.
DEBUG_SLOWNESS=8

# debug_machine: what a guest with a debug kernel needs beyond what was asked.
# shellcheck disable=SC2034  # used by machine.sh and guest.sh
debug_machine() {
	MEM=$((MEM + MEM / 4 + 96))
	TIMEOUT=$((TIMEOUT * DEBUG_SLOWNESS))
	BOOT_SECONDS=$((BOOT_SECONDS * DEBUG_SLOWNESS))
	# Before what was asked for, which wins. An emulated processor that gets
	# no turn is not a lockup. Checked slabs have no caches of free objects
	# (sheaves) per processor, in which kmemleak sees pointers to what was
	# leaked.
	APPEND=" page_owner=on page_poison=1 watchdog_thresh=60 slub_debug=F$APPEND"
	VARIABLES+=("TEST_SLOW=$DEBUG_SLOWNESS")
}

debug_rows() { sed '/^[[:space:]]*\(#\|$\)/d' "$VM_DIR/debug/kernels"; }

debug_names() { debug_rows | cut -f1; }

# debug_row NAME: set ROW_* to what the table says of NAME, if it is there.
# shellcheck disable=SC2034  # used by root.sh
debug_row() {
	local name
	while IFS=$'\t' read -r name ROW_SUITE ROW_EXTRA ROW_SOURCE ROW_FLAVOUR; do
		[[ $name == "$1" ]] || continue
		ROW_IMAGE='' ROW_HEADERS='' ROW_PACKAGES="$DEBUG_TOOLS $ROW_SOURCE"
		return
	done < <(debug_rows)
	ROW_FLAVOUR=''
	return 1
}

# debug_config FLAVOUR: the options that are set; all others are off.
debug_config() {
	cat "$VM_DIR/debug"/{guest,checks,"$1"}.config
}

# The part inside the root. An option that the kernel does not know or grant is
# no error to kconfig: look whether each is there. What no x86 guest could need
# is not even unpacked, but for what kconfig reads.
# shellcheck disable=SC2016  # expanded by the inner shell
BUILD_DEBUG_KERNEL='
	set -eu
	tree=/usr/src/linux-debug package=/usr/src/debug-package
	rm -rf "$tree" "$package"
	mkdir "$tree" "$package"
	tar -C "$tree" -xJf /usr/src/$1.tar.xz --strip-components=1 \
		--exclude="*/Documentation/*/*" --exclude="*/tools/perf/*" \
		--exclude="*/tools/testing/*" --exclude="*/drivers/gpu/*.[ch]" \
		--exclude="*/drivers/net/*/*.[ch]" --exclude="*/sound/*.[ch]" \
		--exclude="*/drivers/media/*.[ch]" --exclude="*/arch/*.dts*"
	cd "$tree"
	cat >wanted
	make KCONFIG_ALLCONFIG=wanted allnoconfig
	grep -v "^#" wanted | grep . | grep -vxFf .config >missing || :
	# Named for one kernel only: a newer name, an older kernel.
	sed -n "s/^# not in $2: //p" wanted >excused
	if grep -vxFf excused missing; then
		echo "this kernel does not grant these options"
		exit 1
	fi
	make -j"$(nproc)" bzImage modules
	release=$(make -s kernelrelease)
	make INSTALL_MOD_PATH="$package" modules_install
	cp arch/x86/boot/bzImage "$package/kernel"
	cp .config "$package/config"
	echo "$release" >"$package/release"
	mkdir -p "/lib/modules/$release"
	ln -sfn "$tree" "/lib/modules/$release/build"
	# Building a module needs none of the objects, and they are large.
	find . \( -path ./scripts -o -path ./tools/objtool \) -prune -o \
		\( -name "*.o" -o -name "*.a" -o -name "vmlinux*" \) \
		-type f ! -name "vmlinux.lds*" -exec rm {} +
'

build_debug_kernel() {
	debug_config "$ROW_FLAVOUR" |
		in_root "$2/root" sh -c "$BUILD_DEBUG_KERNEL" build "$ROW_SOURCE" "$1"
}

# debug_key NAME DIR: a hash of all that decides what is built.
debug_key() {
	{
		echo "$1 $ROW_FLAVOUR $BUILD_DEBUG_KERNEL"
		debug_config "$ROW_FLAVOUR"
		cat "$2"/{recipe,candidates}
	} | sha256sum | cut -d' ' -f1
}

# ready_debug NAME: see to it that the kernel of a debug row is built and
# current. To be called with its root ready and NAME's lock held.
ready_debug() {
	local dir=$CACHE_DIR/roots/$1 key
	key=$(debug_key "$1" "$dir")
	[[ ! -f $dir/built || $(<"$dir/built") != "$key" ]] || return 0
	rm -f "$dir/built"
	progress "$1: building the kernel out of $ROW_SOURCE (10 minutes on two processors)" \
		"$dir/build.log" build_debug_kernel "$1" "$dir"
	keep_debug "$dir"
	echo "$key" >"$dir/built"
	say "$1: kernel $(<"$dir/release"), $(grep "^$ROW_SOURCE" "$dir/candidates")"
}

# keep_debug DIR: what a boot needs, out of the root.
keep_debug() {
	local dir=$1 tree=$1/package
	rm -rf "$tree" "$dir/modules"
	cp -r "$dir/root/usr/src/debug-package" "$tree"
	cp "$tree"/{release,config,kernel} "$dir/"
	keep_modules "$tree" "$(<"$dir/release")" "$dir/modules"
	rm -rf "$tree"
}
