# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Parts of a kernel's source: out of Debian's linux-source packages, fetched by
# apt in the build roots, 150 MB each, of which a few MB are kept.
#
# sources/LABEL/        scripts/checkpatch.pl, tools/testing/selftests/mm, ...
# sources/LABEL/.parts  what was asked for when they were unpacked
#
# To be sourced after the others.

SOURCE_PARTS=(
	scripts/checkpatch.pl scripts/spelling.txt
	scripts/const_structs.checkpatch scripts/coccinelle
	mm/gup_test.h include/uapi/linux/fs.h tools/testing/selftests/mm
	tools/testing/selftests/kselftest.h
	tools/testing/selftests/kselftest_harness.h
)

# fetch_package NAME PACKAGE: a package from the backports of kernel NAME's
# suite, on stdout. Its index is kept out of the root's own.
fetch_package() {
	# shellcheck disable=SC2016  # expanded by the inner shell
	in_root "$CACHE_DIR/roots/$1/root" sh -c '
		set -eu
		suite=$1 package=$2
		dir=$(mktemp -d)
		trap "rm -rf $dir" EXIT
		mkdir -p "$dir/lists/partial"
		find /etc/apt -name "*.list" -exec sed -n \
			"s/^\(deb .*\) $suite main.*/\1 $suite-backports main/p" {} + |
			sort -u >"$dir/list"
		cd "$dir"
		set -- -qq -o Dir::Etc::SourceList="$dir/list" \
			-o Dir::Etc::SourceParts=/dev/null \
			-o Dir::State::Lists="$dir/lists" \
			-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
			-o APT::Sandbox::User=root
		apt-get "$@" update >&2
		apt-get "$@" download "$package" >&2
		cat ./*.deb
	' fetch "$ROW_SUITE" "$2"
}

# unpack_sources TO: the parts of a package on stdin. A part that this version
# has not got is none of tar's business: who uses it looks.
unpack_sources() {
	cat >"$1.deb"
	mkdir -p "$1"
	dpkg-deb --fsys-tarfile "$1.deb" |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		xz -dc | { tar -x -C "$1" --strip-components=1 --wildcards \
			"${SOURCE_PARTS[@]/#/*/}" || [[ -d $1/scripts ]]; }
	rm -f "$1.deb"
}

fetch_and_unpack() { fetch_package "$1" "$2" | unpack_sources "$3"; }

# ready_sources LABEL NAME PACKAGE WORK: see to it that sources/LABEL is there,
# from the backports of NAME's suite. WORK is a directory to work in.
ready_sources() {
	local label=$1 name=$2 package=$3 work=$4 dir=$CACHE_DIR/sources/$1
	lock "sources-$label"
	if [[ ! -f $dir/.parts || $(<"$dir/.parts") != "${SOURCE_PARTS[*]}" ]]; then
		local held=$LOCK_FD
		need_program dpkg-deb
		kernel_row "$name"
		lock "$name"
		ready_root "$name"
		unlock
		LOCK_FD=$held
		rm -rf "${work:?}/$label"
		progress "fetching $package for its scripts and tests (150 MB)" \
			"$work/log" fetch_and_unpack "$name" "$package" "$work/$label"
		echo "${SOURCE_PARTS[*]}" >"$work/$label/.parts"
		mkdir -p "$CACHE_DIR/sources"
		rm -rf "$dir"
		mv "$work/$label" "$dir"
	fi
	unlock
}
