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
build_programs() {
	local cc=${CC:-gcc} program own objects
	local flags=(-static -O2 -Wall -Wextra -Werror -Iinclude/uapi -pthread)

	mkdir -p build/tests
	for program in tap memory; do
		"$cc" "${flags[@]}" -c -o "build/tests/$program.o" \
			"tests/$program.c"
	done
	for program in "${PROGRAMS[@]}"; do
		if [[ $program == library ]]; then
			make -s -C userspace guest
			cp userspace/build/test-lib build/tests/library
			continue
		fi
		# One that stands alone says in its head how.
		own=$(sed -n 's,^// cc: ,,p' "tests/$program.c")
		if [[ $own ]]; then
			# shellcheck disable=SC2086  # words
			"$cc" "${flags[@]}" $own -o "build/tests/$program" \
				-idirafter "/usr/include/$("$cc" -print-multiarch)" \
				"tests/$program.c"
			continue
		fi
		# One with a main() of its own only starts the tests.
		objects=(build/tests/tap.o build/tests/memory.o)
		! grep -q '^int main(' "tests/$program.c" || objects=()
		"$cc" "${flags[@]}" -o "build/tests/$program" \
			"tests/$program.c" "${objects[@]}"
	done
	build_fuzz
	build_example
	build_dynamic "$cc"
}

build_fuzz() {
	mkdir -p build/tests
	"${CC:-gcc}" -static -O2 -Wall -Wextra -Werror -Iinclude/uapi -pthread \
		-o build/tests/fuzz tests/fuzz/*.c tests/memory.c
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
		-o "$tree/bin/inside" tests/shim/inside.c build/tests/tap.o \
		build/tests/memory.o
	# Without a network their tests are skipped, and say so.
	tests/selftests "$tree/bin" || rm -f "$tree"/bin/droppable-*
	for program in "$tree"/bin/*; do
		ldd "$program" | grep -o '/[^ ]*'
	done | sort -u | while read -r library; do
		cp --parents -L "$library" "$tree"
	done
	tar -C "$tree" -cf build/tests/dynamic.tar .
}
