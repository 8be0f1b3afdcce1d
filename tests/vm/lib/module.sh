# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The module, built for a kernel by its distribution's DKMS.
#
# modules/NAME-KEY/droppable.ko  as DKMS installed it, uncompressed
# modules/NAME-KEY/make.log      what building it said
#
# KEY is a hash of the sources, the kernel and the packages that built it, and
# of how the kernel itself was built if it was built here.

# source_files: what a DKMS package of this tree holds.
source_files() {
	local -a paths=(dkms.conf Kbuild module include)
	[[ ! -e $SRC_DIR/COPYING ]] || paths+=(COPYING)
	if git -C "$SRC_DIR" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git -C "$SRC_DIR" ls-files -co --exclude-standard -- "${paths[@]}" |
			while read -r file; do
				# Deleted, but git has not been told yet.
				[[ ! -e $SRC_DIR/$file ]] || echo "$file"
			done
	else
		(cd "$SRC_DIR" && find "${paths[@]}" -type f ! -name '.*' \
			! -name '*.o' ! -name '*.ko' ! -name '*.mod*')
	fi | LC_ALL=C sort -u
}

# pack_source TAR: the sources as they are now. The same files make the same
# archive: its hash is the key, and what was hashed is what is built.
pack_source() {
	source_files >"$1.list"
	grep -q '^module/' "$1.list" ||
		die "there is no module in $SRC_DIR"
	tar -C "$SRC_DIR" --format=ustar --mtime=@1000000000 --owner=0 --group=0 \
		--numeric-owner --mode=u+rwX,go+rX,go-w -cf "$1" -T "$1.list"
}

module_version() {
	sed -n 's/^PACKAGE_VERSION="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$SRC_DIR/dkms.conf"
}

# module_key NAME TAR
module_key() {
	local dir=$CACHE_DIR/roots/$1 built=()
	[[ -z $ROW_FLAVOUR ]] || built=("$dir/built")
	cat "$2" "$dir/recipe" "$dir/candidates" "${built[@]}" \
		"$VM_DIR/lib/module.sh" | sha256sum | cut -c1-16
}

# Newer headers packages lack the script by which kbuild asks whether sparse is
# any good, so it is told. Trixie's sparse does not know __typeof_unqual__, nor
# that a string's length is constant, and after an error it holds back warnings.
# shellcheck disable=SC2034  # used by build
SPARSE_ARGUMENTS=(C=2 KBUILD_CHECKSRC=2 "CF=-D__typeof_unqual__=__typeof__ '-D_Static_assert(...)='")

# warnings LOG: the lines of a build's log that are about our files. Kernel
# headers have warnings of their own; and that the kernel was built by the same
# compiler's previous package is nothing that we could change.
warnings() {
	grep -niE 'warning|error[: ]' "$1" | grep -vE \
		-e '^[0-9]+:(In file included from )?(\./|/usr/src/linux-headers[^ ]*/)*(include|arch)/' \
		-e 'warning: the compiler differs from' |
		grep -v '^[0-9]*:\(CC\|LD\|MODPOST\) '
}

# refuse_warnings WHAT LOG
refuse_warnings() {
	warnings "$2" >"$2.warnings" || return 0
	say "$1 warns:"
	head -n 40 "$2.warnings" >&2
	return 1
}

# dkms_build NAME VERSION TAR: DKMS's part, inside the root.
dkms_build() {
	# shellcheck disable=SC2016  # expanded by the inner shell
	in_root "$CACHE_DIR/roots/$1/root" sh -c '
		set -eu
		rm -rf /var/lib/dkms/droppable /usr/src/droppable-* \
			/lib/modules/*/updates/dkms/droppable.ko*
		mkdir "/usr/src/droppable-$1"
		tar --no-same-owner -C "/usr/src/droppable-$1" -xf -
		dkms add -m droppable -v "$1"
		dkms build -m droppable -v "$1" -k "$2"
		dkms install -m droppable -v "$1" -k "$2"
	' dkms "$2" "$(<"$CACHE_DIR/roots/$1/release")" <"$3"
}

# make_module NAME TAR DIR: build TAR's module for NAME into DIR.
make_module() {
	local name=$1 tar=$2 dir=$3 version root=$CACHE_DIR/roots/$1/root new=$3.new
	local dkms=$root/var/lib/dkms/droppable
	version=$(module_version)
	[[ -n $version ]] || die "$SRC_DIR/dkms.conf has no PACKAGE_VERSION"
	rm -rf "$new"
	mkdir -p "$new"
	if ! progress "$name: building the module with DKMS for $(<"$CACHE_DIR/roots/$name/release")" \
		"$new/dkms.log" dkms_build "$name" "$version" "$tar"; then
		say "$name: what the compiler said:"
		cat "$dkms/$version/build/make.log" >&2 || :
		return 1
	fi
	cp "$dkms/$version/$(<"$CACHE_DIR/roots/$name/release")"/*/log/make.log "$new/"
	if ! refuse_warnings "$name: building the module" "$new/make.log"; then
		cat "$new/make.log" >&2
		return 1
	fi
	copy_module "$(installed_module "$name")" "$new"
	[[ $(modinfo -F version "$new/droppable.ko") == "$version" ]] || {
		say "$name: the module's version is not $version, dkms.conf's"
		return 1
	}
	rm -rf "$dir"
	mv "$new" "$dir"
}

# installed_module NAME: the file that DKMS installed in the root.
installed_module() {
	local root=$CACHE_DIR/roots/$1/root release
	release=$(<"$CACHE_DIR/roots/$1/release")
	ls "$root/lib/modules/$release/updates/dkms"/droppable.ko*
}

# ready_module NAME WORK: set MODULE_DIR to where the module of the sources as
# they are now lies, building it if need be. WORK is a directory to work in.
# To be called with NAME's lock held.
ready_module() {
	local name=$1 tar=$2/source.tar
	pack_source "$tar"
	MODULE_DIR=$CACHE_DIR/modules/$name-$(module_key "$name" "$tar")
	[[ ! -f $MODULE_DIR/droppable.ko ]] || {
		touch "$MODULE_DIR"
		return 0
	}
	mkdir -p "$CACHE_DIR/modules"
	# Those of sources long gone.
	find "$CACHE_DIR/modules" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
	make_module "$name" "$tar" "$MODULE_DIR"
}

# check_module NAME WORK LABEL MAKEARG...: run kbuild over a copy of the sources
# and refuse warnings. To be called with NAME's lock held.
check_module() {
	local name=$1 work=$2 label=$3
	shift 3
	pack_source "$work/source.tar"
	progress "$name: building the module with $label" "$work/make.log" \
		kbuild "$name" "$work/source.tar" "$@"
	[[ $label != sparse ]] || grep -q '^  CHECK ' "$work/make.log" ||
		die "$name: sparse was not run"
	refuse_warnings "$name: building the module with $label" "$work/make.log"
}

kbuild() {
	local name=$1 tar=$2
	shift 2
	# shellcheck disable=SC2016  # expanded by the inner shell
	in_root "$CACHE_DIR/roots/$name/root" sh -c '
		set -eu
		release=$1
		shift
		rm -rf /usr/src/check-droppable
		mkdir /usr/src/check-droppable
		cd /usr/src/check-droppable
		tar --no-same-owner -xf -
		make -j2 -C "/lib/modules/$release/build" "M=$PWD" "$@" modules
	' kbuild "$(<"$CACHE_DIR/roots/$name/release")" "$@" <"$tar"
}
