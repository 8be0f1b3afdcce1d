# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The table of kernels; debug.sh has the other one.

kernel_rows() { sed '/^[[:space:]]*\(#\|$\)/d' "$VM_DIR/kernels"; }

kernel_names() { kernel_rows | cut -f1; debug_names; }

# kernel_row NAME: set ROW_* to what the table says of NAME.
kernel_row() {
	local name
	! debug_row "$1" || return 0
	while IFS=$'\t' read -r name ROW_SUITE ROW_EXTRA ROW_IMAGE ROW_HEADERS; do
		if [[ $name == "$1" ]]; then
			[[ $ROW_EXTRA != - ]] || ROW_EXTRA=
			ROW_PACKAGES="dkms $ROW_HEADERS sparse"
			return
		fi
	done < <(kernel_rows)
	usage_error "no kernel is called '$1'; there are: $(kernel_names | paste -sd' ')"
}

# qemu_row: the same for the root that holds the emulator.
# shellcheck disable=SC2034  # used by root.sh
qemu_row() {
	ROW_SUITE=trixie ROW_EXTRA=updates,security
	ROW_IMAGE='' ROW_HEADERS='' ROW_PACKAGES=qemu-system-x86 ROW_FLAVOUR=''
}

# list_kernels: each name, where it comes from, and the version in the cache.
list_kernels() {
	local name version suite
	while read -r name; do
		kernel_row "$name"
		version=$(kernel_version "$name")
		suite=$ROW_SUITE
		[[ ,$ROW_EXTRA, != *,backports,* ]] || suite+=-backports
		printf '%-15s %-16s %s\n' "$name" "$suite" \
			"${version:-not fetched yet}"
	done < <(kernel_names)
}

# kernel_version NAME: "RELEASE (PACKAGE VERSION)" of what the cache holds.
kernel_version() {
	local dir=$CACHE_DIR/roots/$1
	[[ -f $dir/release ]] || return 0
	printf '%s (%s)\n' "$(<"$dir/release")" \
		"$(sed -n "s/^${ROW_IMAGE:-$ROW_SOURCE} //p" "$dir/candidates")"
}
