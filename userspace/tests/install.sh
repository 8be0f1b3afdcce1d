#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
# The library as somebody who installed it meets it: TAP on stdout.
# Functions are called through ok():
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc} CXX=${CXX:-c++}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unset DESTDIR PREFIX LIBDIR INCLUDEDIR MANDIR MAKEFLAGS MFLAGS BUILD
unset PKG_CONFIG_PATH PKG_CONFIG_LIBDIR
n=0 failed=0

ok() { # DESCRIPTION COMMAND...
	what=$1
	shift
	n=$((n + 1))
	if "$@" >"$tmp/out" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$tmp/out"
		failed=1
	fi
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

man=yes
command -v scdoc >/dev/null || man=no
mk() { make -s BUILD="$tmp/build" WERROR=-Werror WITH_MAN="$man" "$@"; }
P=$tmp/p
lib=$tmp/build/libdroppable.so.0

ok "builds without a warning" mk
ok "installs into a prefix" mk PREFIX="$P" install

# --- the header, alone and first ---
echo '#include <droppable.h>
int use(void);
int use(void) { return DROPPABLE_G_DROP_COUNT == 0 || !droppable_version(); }' \
	>"$tmp/h.c"
cp "$tmp/h.c" "$tmp/h.cc"
W="-Wall -Wextra -pedantic -pedantic-errors -Werror -I$P/include -c -o /dev/null"
for std in c99 c11 gnu17; do
	# shellcheck disable=SC2086
	ok "header as $std" $CC -std=$std $W "$tmp/h.c"
done
if command -v "$CXX" >/dev/null; then
	for std in c++11 c++17 c++20; do
		# shellcheck disable=SC2086
		ok "header as $std" $CXX -std=$std $W "$tmp/h.cc"
	done
else
	skip "header as C++" "no C++ compiler"
fi
echo '#include <linux/droppable.h>
int abi = DROPPABLE_ABI + (int)sizeof(struct droppable_info);' >"$tmp/u.c"
# shellcheck disable=SC2086
ok "the kernel's header as c99" $CC -std=c99 $W "$tmp/u.c"

# --- a 32 bit program's library ---
narrow() {
	for part in lib/*.c; do
		# shellcheck disable=SC2086
		$CC -m32 -std=c99 $W -Ilib -I../include/uapi \
			-DDROPPABLE_VERSION='"0"' "$part" || return 1
	done
}
if echo '#include <stdio.h>' |
	$CC -m32 -xc -fsyntax-only - 2>/dev/null; then
	ok "compiles for 32 bits" narrow
else
	skip "compiles for 32 bits" "no 32 bit C library"
fi

# --- the shared object ---
declared() {
	$CC -E -P -include stddef.h "$P/include/droppable.h" | tr '\n' ' ' |
		sed 's/typedef[^;]*;//g' | grep -oE '\bdroppable_[a-z_]+ *\(' | tr -d ' (' | sort -u
}
mapped() {
	sed -n 's/^\t\t\(droppable_[a-z_]*\);$/\1/p' lib/libdroppable.map | sort
}
exported() {
	nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | sort
}
same() { [ "$1" = "$2" ] || { echo "$1"; echo "--"; echo "$2"; false; }; }
versioned() {
	awk '/^DROPPABLE_/ { node = $1 }
		/^\t\tdroppable_/ { sub(/;/, "", $1); print $1 "@@" node }' \
		lib/libdroppable.map | sort
}
ok "exports what the map lists, in its version" \
	same "$(exported)" "$(versioned)"
ok "the map lists what the header declares" same "$(mapped)" "$(declared)"
ok "soname" sh -c "readelf -d '$lib' | grep -q 'SONAME.*\[libdroppable.so.0\]'"
ok "needs nothing but the C library" same \
	"$(readelf -d "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')" libc.so.6
ok "has no writable data of its own" \
	sh -c "! nm '$tmp/build/libdroppable.a' | grep -E ' [bBdDcC] '"

if command -v abidiff >/dev/null; then
	ok "the interface is what abi/libdroppable.abi promises" mk check-abi
else
	skip "the interface" "abidiff is not installed"
fi

# --- programs that use all of it, compiled against what is installed ---
consumer() { # COMPILER FILE OPTION...
	cc=$1 src=$2
	shift 2
	# shellcheck disable=SC2086
	$cc "$@" $W1 -o "$tmp/consumer" "$src" -L "$P/lib" -ldroppable -pthread &&
		LD_LIBRARY_PATH="$P/lib" "$tmp/consumer"
}
W1="-Wall -Wextra -pedantic -pedantic-errors -Werror -I$P/include"
cp tests/consumer.c "$tmp/consumer.cc"
ok "uses every function" same "$(mapped)" \
	"$(grep -oE '\bdroppable_[a-z_]+\(' tests/consumer.c | tr -d '(' | sort -u)"
ok "a program in c99" consumer "$CC" tests/consumer.c -std=c99
ok "the same in gnu17" consumer "$CC" tests/consumer.c -std=gnu17
if command -v clang >/dev/null; then
	ok "the same by clang" consumer clang tests/consumer.c -std=c99
fi
if command -v "$CXX" >/dev/null; then
	ok "the same in C++11" consumer "$CXX" "$tmp/consumer.cc" -std=c++11
	ok "the same in C++20" consumer "$CXX" "$tmp/consumer.cc" -std=c++20
else
	skip "the same in C++" "no C++ compiler"
fi

# --- other languages ---
# example OUTPUT COMMAND...: of the same file twice, of which one was there.
example() {
	want=$1
	shift
	echo "b a b" >"$tmp/words"
	LD_LIBRARY_PATH="$P/lib" "$@" "$tmp/words" "$tmp/words" \
		>"$tmp/example.out" 2>"$tmp/example.err" || return 1
	cat "$tmp/example.err"
	same "$(tr '\n' ' ' <"$tmp/example.out")" "$want" &&
		grep -qx '1 of 2 were there' "$tmp/example.err"
}
# shellcheck disable=SC2086
wrapper() { # STANDARD
	"$CXX" -std="$1" $W1 -o "$tmp/wrapper" bindings/test_droppable.cc \
		-L "$P/lib" -ldroppable -pthread &&
		LD_LIBRARY_PATH="$P/lib" "$tmp/wrapper"
}
if command -v "$CXX" >/dev/null; then
	ok "droppable.hpp in C++17" wrapper c++17
	ok "droppable.hpp in C++20" wrapper c++20
	# shellcheck disable=SC2086
	ok "its example builds" "$CXX" -std=c++17 $W1 -o "$tmp/example" \
		bindings/example.cc -L "$P/lib" -ldroppable
	ok "counts words, the second time without reading them" \
		example "1 a 2 b 1 a 2 b " "$tmp/example"
	ok "says which file it can't read" sh -c \
		"LD_LIBRARY_PATH='$P/lib' '$tmp/example' /no/file 2>&1 |
			grep -q '^example: /no/file: '"
else
	skip "droppable.hpp" "no C++ compiler"
fi
if command -v python3 >/dev/null; then
	ok "droppable.py" env LD_LIBRARY_PATH="$P/lib" PYTHONPATH=bindings \
		PYTHONDONTWRITEBYTECODE=1 python3 bindings/test_droppable.py
	ok "its example gives back files, the second without packing it" \
		example "b a b b a b " python3 -B bindings/example.py
	ok "says which file it can't read" sh -c \
		"LD_LIBRARY_PATH='$P/lib' python3 -B bindings/example.py /no/file 2>&1 |
			grep -q '^example: .*/no/file'"
else
	skip "droppable.py" "no Python"
fi

next() {
	mkdir -p "$tmp/next/userspace" "$tmp/next/include" &&
		cp -r lib Makefile "$tmp/next/userspace" &&
		cp -r ../include/uapi "$tmp/next/include" &&
		sed 's/^PACKAGE_VERSION=.*/PACKAGE_VERSION="0.99.0"/' \
			../dkms.conf >"$tmp/next/dkms.conf" || return 1
	make -s -C "$tmp/next/userspace" && return 1
	make -s -C "$tmp/next/userspace" 2>&1 | grep -q DROPPABLE_0.99
}
ok "a version without its section in the map does not build" next

# --- a program that finds it by pkg-config ---
export PKG_CONFIG_PATH="$P/lib/pkgconfig"
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' ../dkms.conf)
if command -v pkg-config >/dev/null; then
	ok "pkg-config version" \
		same "$(pkg-config --modversion libdroppable)" "$version"
	# Of the C library since glibc 2.34; before that it must be said.
	ok "pkg-config, static" sh -c \
		"pkg-config --static --libs libdroppable | grep -qw -- -pthread"
	ok "example, shared" make -s -C examples WERROR=-Werror BUILD="$tmp/dyn"
	ok "example, static" \
		make -s -C examples WERROR=-Werror STATIC=1 BUILD="$tmp/sta"
	ok "example is linked to the soname" sh -c \
		"readelf -d '$tmp/dyn/cache' | grep -q 'NEEDED.*libdroppable.so.0'"
	export LD_LIBRARY_PATH="$P/lib"
	if "$tmp/dyn/cache" 1 >"$tmp/run" 2>&1 ||
		! grep -q 'no droppable memory' "$tmp/run"; then
		native=yes
		ok "example runs, shared" "$tmp/dyn/cache" 4
		ok "example runs, static" "$tmp/sta/cache" 4
	else
		skip "example runs" "neither device nor MAP_DROPPABLE here"
	fi
	if [ -e "$tmp/dyn/random" ] && [ "${native:-}" ]; then
		ok "the random number generator's self test" "$tmp/dyn/random"
	else
		skip "the random number generator" \
			"no libsodium, or no droppable memory"
	fi
	if [ -e "$tmp/sta/cache-server" ]; then
		ok "cache-server refuses nonsense" sh -c \
			"! '$tmp/sta/cache-server' 3 && ! '$tmp/sta/cache-server' 20x &&
				! '$tmp/sta/cache-server' --x y"
	else
		skip "cache-server" "no zlib"
	fi
	ok "example refuses nonsense" sh -c \
		"! '$tmp/sta/cache' x && ! '$tmp/sta/cache' 1x"
	unset LD_LIBRARY_PATH
else
	skip "pkg-config" "not installed"
fi

# --- and away again ---
D=$tmp/d
set -- DESTDIR="$D" PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu
ok "installs below DESTDIR" mk "$@" install
ok "LIBDIR is honoured" test -e "$D/usr/lib/x86_64-linux-gnu/libdroppable.so.0"
ok "DESTDIR stays out of the .pc file" sh -c \
	"! grep -r '$D' '$D/usr/lib/x86_64-linux-gnu/pkgconfig'"
ok "uninstalls" mk "$@" uninstall
ok "uninstall leaves no file" same "$(find "$D" ! -type d)" ""

# --- man pages ---
if [ $man = yes ] && command -v mandoc >/dev/null; then
	for page in man/*.scd; do
		ok "lint $page" tests/lint-man "$page"
	done
	for f in $(mapped); do
		ok "man 3 $f" test -e "$P/share/man/man3/$f.3"
		ok "its page tells of $f" grep -q "\*$f\*()" \
			"man/$(basename "$(readlink "$P/share/man/man3/$f.3")")".scd
	done
else
	skip "man pages" "scdoc or mandoc is not installed"
fi

echo "1..$n"
exit $failed
