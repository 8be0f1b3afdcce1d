# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The rig: where its things are, how it speaks, how it waits its turn.
#
# Sourced by every program here after it has set VM_DIR.

: "${VM_DIR:?set by the program that sources this}"

# shellcheck disable=SC2034  # used by the others
{
# The tree whose module is built; another one only for work on the rig itself.
SRC_DIR=${DROPPABLE_SRC:-$(cd "$VM_DIR/../.." && pwd)}
CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/droppable

# Exit statuses of the rig's own, beside those of the command in the guest.
EXIT_USAGE=2     # the command line is wrong
EXIT_RIG=98      # no guest, root or module could be had: says nothing of the test
EXIT_KERNEL=99   # the kernel log or the module's unloading condemns the run
EXIT_HUNG=124    # as timeout(1)
}

# depmod and modprobe are not on every user's way.
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'rig: %s\n' "$*" >&2; }

die() { say "$*"; exit "$EXIT_RIG"; }

usage_error() {
	say "$*"
	say "see ${0##*/} --help"
	exit "$EXIT_USAGE"
}

need_program() {
	command -v "$1" >/dev/null ||
		die "the program $1 is missing: run tests/setup"
}

# lock NAME: hold the lock NAME until this process ends or unlock is called.
# Two runs at once must not build the same root twice, nor one of them read
# what the other is half through writing.
lock() {
	local name=$1 fd
	mkdir -p "$CACHE_DIR/locks"
	exec {fd}>"$CACHE_DIR/locks/$name"
	if ! flock --timeout 3 "$fd"; then
		say "$name: waiting for another run that prepares it"
		flock "$fd"
	fi
	LOCK_FD=$fd
}

unlock() { exec {LOCK_FD}>&-; }

# progress WHAT LOG COMMAND...: run COMMAND with its output in LOG, tell every
# ten seconds that it is alive, and show the end of LOG when it fails.
progress() {
	local what=$1 log=$2 start=$SECONDS ticker status=0
	shift 2
	say "$what"
	# A sleep that outlives this keeps none of our files open: a reader of
	# our output would wait for it.
	{
		while sleep 10 2>/dev/null; do
			say "  ... $((SECONDS - start)) s"
		done
	} >/dev/null </dev/null {LOCK_FD}>&- &
	ticker=$!
	"$@" </dev/null >"$log" 2>&1 || status=$?
	kill "$ticker" 2>/dev/null || :
	wait "$ticker" 2>/dev/null || :
	if ((status != 0)); then
		say "$what: failed; the end of what it said:"
		tail -n 30 "$log" >&2
		return "$status"
	fi
	((SECONDS - start < 4)) || say "  done in $((SECONDS - start)) s"
}
