# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the kernel's log says of a run.

# Lines that condemn it. A test may well provoke the OOM killer, a failing
# allocation or a program's own crash: those are not among them.
CONDEMNING=(
	'WARNING:' 'cut here' '(^|[^E])BUG:' '[]] BUG ' 'kernel BUG' 'Oops' 'Kernel panic'
	'general protection fault' 'stack segment' 'invalid opcode' 'double fault'
	'[Uu]nable to handle' 'INFO: task .* blocked.* for more than'
	'INFO: (possible|suspicious|lockdep|inconsistent|trying to register)'
	'possible (circular|recursive|irq lock)' 'suspicious RCU usage'
	'rcu.*(self-detected stall|detected stalls|detected expedited stalls|starved)'
	'(soft|hard) lockup' '(soft|hard) LOCKUP'
	'[Bb]ad page (state|map|cache)' 'Bad rss-counter' 'Bad swap'
	'KASAN' 'KCSAN' 'KFENCE' 'KMSAN' 'UBSAN' 'kmemleak: [0-9]' 'leaked'
	'refcount_t:' 'list_(add|del) corruption' 'still has objects'
	'Objects remaining' 'scheduling while atomic'
	'sleeping function called' 'Huh VM_FAULT_OOM'
	'ODEBUG' 'DEBUG_LOCKS_WARN_ON' 'held lock freed' 'lock held when returning'
	'Voluntary context switch within RCU'
)

# Lines that look like one of them and are not: a program's own crash; the
# names that a kernel lists its features by; a data race between functions of
# the core, of which any kernel has some: a module's function is followed by its
# name in brackets.
INNOCENT='traps: |segfault at|droppable-vm:|kfence: initialized|mem auto-init|kcsan: [a-z-]* mode|BUG: KCSAN: [^[]*$'

# test_log LOG: the part of the log that belongs to the test. Everything, when
# the test never began.
test_log() {
	if grep -aq 'droppable-vm: the test begins' "$1"; then
		sed '1,/droppable-vm: the test begins/d' "$1"
	else
		cat "$1"
	fi | tr -d '\r'
}

# condemned LOG: print the lines that condemn the run, with what surrounds
# them. Fails when there are none.
condemned() {
	local pattern
	pattern=$(IFS='|'; echo "${CONDEMNING[*]}")
	test_log "$1" | awk -v bad="$pattern" -v fine="$INNOCENT" '
		{ line[NR] = $0; hit[NR] = $0 ~ bad && $0 !~ fine }
		END {
			for (i = 1; i <= NR; i++)
				if (hit[i]) {
					found = 1
					for (j = i - 3; j <= i + 25; j++)
						if (j in line)
							show[j] = 1
				}
			for (i = 1; i <= NR; i++)
				if (show[i] && ++shown <= 120)
					print (hit[i] ? "> " : "  ") line[i]
			exit !found
		}'
}

# condemned_before LOG: what would have condemned it, had it not come before the
# test began, for a kernel that was tainted by then.
condemned_before() {
	local pattern
	pattern=$(IFS='|'; echo "${CONDEMNING[*]}")
	sed '/droppable-vm: the test begins/q' "$1" | tr -d '\r' |
		grep -vE "$INNOCENT" | grep -aE -B3 -A25 "$pattern" | head -n 120 || :
}

# Taint flags that only a fault of the kernel sets: die, bad page, warning,
# soft lockup.
# shellcheck disable=SC2034  # used by machine.sh
TAINT_FAULTS=$((1 << 7 | 1 << 5 | 1 << 9 | 1 << 14))
