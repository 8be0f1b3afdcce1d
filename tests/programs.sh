# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# The test programs and the kernels, for check and compare.

# A program of the guests says in its head what guest it needs.
mapfile -t PROGRAMS < <(grep -l '^// vm:' tests/*.c | sed 's,.*/,,; s,\.c$,,')
# The library's own tests, where there is a device.
PROGRAMS+=(library)

# Those whose name has a dash are for special occasions.
stock_kernels() {
	tests/vm/run --list | awk '$1 !~ /-/ { print $1 }'
}

# Static: what they were built with and what the guest has need not agree.
FLAGS=(-static -O2 -Wall -Wextra -Werror -Iinclude/uapi -pthread)
SUPPORT=build/tests/support/support.a

build_programs() {
	build_support
	# The first that can't be built ends it.
	printf '%s\n' "${PROGRAMS[@]}" fuzz | xargs -P "$(nproc)" -I '{}' \
		bash -c '. tests/programs.sh && build_program {} || exit 255'
	build_example
	build_dynamic "${CC:-gcc}"
}

# What they share, as one archive.
build_support() {
	local source

	mkdir -p build/tests/support
	rm -f build/tests/support/*
	for source in tests/support/*.c; do
		"${CC:-gcc}" "${FLAGS[@]}" -c \
			-o "build/tests/support/$(basename "$source" .c).o" "$source"
	done
	ar rcs "$SUPPORT" build/tests/support/*.o
}

build_program() {
	local program=$1 own support=()

	case $program in
	fuzz)
		build_fuzz
		return
		;;
	library)
		make -s -C userspace guest
		cp userspace/build/test-lib build/tests/library
		return
		;;
	esac
	# One that stands alone says in its head how.
	own=$(sed -n 's,^// cc: ,,p' "tests/$program.c")
	if [[ $own ]]; then
		# shellcheck disable=SC2086  # words
		"${CC:-gcc}" "${FLAGS[@]}" $own -o "build/tests/$program" \
			-idirafter "/usr/include/$("${CC:-gcc}" -print-multiarch)" \
			"tests/$program.c"
		return
	fi
	# One with a main() of its own only starts the tests.
	grep -q '^int main(' "tests/$program.c" ||
		support=("$SUPPORT")
	"${CC:-gcc}" "${FLAGS[@]}" -o "build/tests/$program" \
		"tests/$program.c" "${support[@]}"
}

build_fuzz() {
	"${CC:-gcc}" "${FLAGS[@]}" -o build/tests/fuzz tests/fuzz/*.c "$SUPPORT"
}

# As a user builds it: against the installed library, found by pkg-config.
build_example() {
	local stage=$PWD/build/stage

	make -s -C userspace install WITH_MAN=no DESTDIR= PREFIX="$stage" \
		LIBDIR="$stage/lib" INCLUDEDIR="$stage/include"
	PKG_CONFIG_PATH=$stage/lib/pkgconfig \
		make -s -C userspace/examples WERROR=-Werror STATIC=1 \
		BUILD="$PWD/build/tests"
}

# Programs that can't be static, and the C library they need, which a guest has
# not: a tree that tests unpack over the guest's own.
build_dynamic() {
	local cc=$1 tree=$PWD/build/tests/dynamic program

	rm -rf "$tree"
	mkdir -p "$tree/bin" "$tree/lib"
	make -s -C userspace/preload WERROR=-Werror
	cp userspace/preload/build/libdroppable-preload.so "$tree/lib"
	make -s -C userspace/tool WERROR=-Werror LIBDIR=/lib BUILD="$PWD/build/tool"
	cp build/tool/droppable "$tree/bin"
	"$cc" -O2 -Wall -Wextra -Werror -Iinclude/uapi -pthread \
		-o "$tree/bin/inside" tests/shim/inside.c "$SUPPORT"
	# Without a network their tests are skipped, and say so.
	tests/selftests "$tree/bin" ||
		rm -f "$tree"/bin/{droppable-*,mlock2-tests,mremap_test*,madv_populate*}
	for program in "$tree"/bin/*; do
		ldd "$program" | grep -o '/[^ ]*'
	done | sort -u | while read -r library; do
		cp --parents -L "$library" "$tree"
	done
	tar -C "$tree" -cf build/tests/dynamic.tar .
}
