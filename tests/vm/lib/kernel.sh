# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The distribution's own kernel, as it is booted.
#
# roots/NAME/release      what uname -r says there
# roots/NAME/kernel       the image out of the package, uncompressed
# roots/NAME/modules/     the few of its modules that a guest needs

# What a guest needs beside what is built in: a disk to swap to, and memory
# that looks like one.
GUEST_MODULES=(virtio_pci virtio_blk zram)

# newest_release DIR META PREFIX: the release that a meta package stands for.
newest_release() {
	in_root "$1/root" apt-cache depends "$2" |
		sed -n "s/^ *Depends: $3-\([0-9].*\)/\1/p" | head -n 1
}

# keep_modules TREE RELEASE TO: copy the guest's modules and what they depend
# on from an unpacked package.
keep_modules() {
	local tree=$1 release=$2 to=$3 module file
	depmod -b "$tree" "$release"
	mkdir -p "$to"
	for module in "${GUEST_MODULES[@]}"; do
		modprobe --dirname "$tree" --set-version "$release" \
			--show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | sort -u | while read -r file; do
		copy_module "$file" "$to"
	done
	cp "$tree/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$to"
}

# copy_module FILE TO: copy a module, unpacked: busybox can't do that.
copy_module() {
	local name=${1##*/}
	name=${name%.ko*}.ko
	case $1 in
	*.ko.xz) xz -dc "$1" >"$2/$name" ;;
	*.ko.zst) zstd -qdc "$1" >"$2/$name" ;;
	*.ko.gz) gzip -dc "$1" >"$2/$name" ;;
	*) cp "$1" "$2/$name" ;;
	esac
}

# kernel_packages DIR RELEASE: the packages that hold the image and the modules;
# newer suites have one for each.
kernel_packages() {
	echo "linux-image-$2"
	in_root "$1/root" apt-cache depends "linux-image-$2" |
		sed -n "s/^ *Depends: \(linux-\(base\|binary\|modules\)-$2\)$/\1/p"
}

# unpack_packages DIR TREE: unpack what was downloaded, beside the root: in it,
# it would replace links such as /lib by directories.
unpack_packages() {
	local package
	for package in "$1"/root/var/cache/apt/linux-*.deb; do
		dpkg-deb -x "$package" "$2"
	done
	# One place for the modules, whatever this suite's packages call it.
	[[ ! -d $2/usr/lib/modules ]] || {
		mkdir -p "$2/lib"
		mv "$2/usr/lib/modules" "$2/lib/"
	}
	(cd "$1" && as_root sh -c 'rm -f root/var/cache/apt/linux-*.deb')
}

# kernel_file FILE TREE RELEASE: where the package has it; older suites put it
# into /boot.
kernel_file() {
	ls "$2/boot/$1-$3" 2>/dev/null || ls "$2/lib/modules/$3/$1"
}

# unpack_image IMAGE TO: what is compressed in a bzImage, an ELF file that the
# emulator starts as well (PVH). An emulated processor takes from one to five
# seconds to unpack it, at every boot. For the fields see the kernel's
# Documentation/arch/x86/boot.rst; the last four bytes are the unpacked size.
unpack_image() {
	local sectors offset length
	sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
	((sectors)) || sectors=4
	tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" |
		{ head -c $((length - 4)) >"$2.packed" && cat >/dev/null; }
	case $(od -An -tx1 -N 2 "$2.packed") in
	' fd 37') xz -dc "$2.packed" >"$2" ;;
	' 28 b5') zstd -qdc "$2.packed" >"$2" ;;
	*)
		say "${1##*/}: packed in a way the rig does not know; booted as it is"
		cp "$1" "$2"
		;;
	esac
	rm -f "$2.packed"
}

# fetch_kernel NAME DIR: take the newest kernel's packages through DIR's apt
# and keep what a guest needs of them.
fetch_kernel() {
	local name=$1 dir=$2 release image packages tree=$2/package
	release=$(newest_release "$dir" "$ROW_HEADERS" linux-headers)
	image=$(newest_release "$dir" "$ROW_IMAGE" linux-image)
	[[ -n $release && $release == "$image" ]] ||
		die "$name: the suite's newest image is '$image', its newest headers '$release'"
	[[ $release == "$name".* ]] ||
		say "$name: $ROW_SUITE${ROW_EXTRA:+ +$ROW_EXTRA} serves $release today, not a $name: used as $name"
	packages=$(kernel_packages "$dir" "$release" | paste -sd' ')
	progress "$name: fetching its kernel $release" "$dir/download.log" \
		in_root "$dir/root" sh -c \
		"cd /var/cache/apt && apt-get -o APT::Sandbox::User=root download $packages"
	unpack_packages "$dir" "$tree"
	keep_modules "$tree" "$release" "$dir/modules"
	unpack_image "$(kernel_file vmlinuz "$tree" "$release")" "$dir/kernel"
	cp "$(kernel_file config "$tree" "$release")" "$dir/config"
	chmod -R u+rwX,go+rX "$dir/modules"
	rm -rf "$tree" "$dir/download.log"
	echo "$release" >"$dir/release"
	say "$name: kernel $release, $(paste -sd, "$dir/candidates")"
}
