# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Machines kept as they were once they had booted, so that the next run on the
# same machine goes on from there: half a second where a boot takes four of an
# emulated processor's time. A machine is kept before it knows anything of a
# run: the module, the programs, the command come on a disk that it waits for.
#
# snapshots/NAME-KEY      the machine, packed
# snapshots/NAME-KEY.log  what its kernel had said by then
#
# KEY is a hash of the kernel and all that is in its first file system, the
# emulator and how it is called, and the size of the disk to swap to, which its
# kernel has been told by then.

SNAPSHOT_DAYS=7

# The one that a run goes on from; none, and it boots.
SNAPSHOT=''

snapshot_key() {
	{
		printf '%s\n' "${BASE##*/}" "$("${QEMU[@]}" --version)" \
			"${ARGUMENTS[@]//$WORK/}" "swap $SWAP"
		cat "$VM_DIR/lib/snapshot.sh"
	} | sha256sum | cut -c1-16
}

# wait_booted: until the machine waits for its run.
wait_booted() {
	local begin=$SECONDS
	until machine_said booted; do
		kill -0 "$MACHINE" 2>/dev/null || return
		((SECONDS - begin < BOOT_SECONDS)) || return
		sleep 0.1
	done
}

# freeze: boot a machine, write it to WORK/frozen, end it.
freeze() {
	local monitor
	rm -f "$WORK"/{console,said,frozen,monitor.in,monitor.out,monitor.log}
	: >"$WORK/said"
	truncate -s "$RUN_DISK_SIZE" "$WORK/blank"
	mkfifo "$WORK"/monitor.{in,out}
	channel_arguments null "$WORK/blank"
	# Where it goes on, it is to run, not to stand as it stood when written.
	"${QEMU[@]}" "${ARGUMENTS[@]}" "${CHANNELS[@]}" \
		-chardev "pipe,id=monitor,path=$WORK/monitor,logfile=$WORK/monitor.log" \
		-mon chardev=monitor,mode=readline \
		-global migration.store-global-state=off \
		</dev/null >"$WORK/qemu.log" 2>&1 &
	MACHINE=$!
	# Opened for both, and what it answers fits a pipe: an emulator that ends
	# early is not waited for.
	exec {monitor}<>"$WORK/monitor.in"
	wait_booted || end_machine "$MACHINE"
	printf '%s\n' stop 'migrate_set_parameter max-bandwidth 100G' \
		"migrate \"exec:zstd -q1 >'$WORK/frozen'\"" 'info migrate' quit >&"$monitor"
	wait "$MACHINE" || :
	exec {monitor}>&-
	MACHINE=''
	grep -qi "status: *completed" "$WORK/monitor.log" && zstd -qt "$WORK/frozen"
}

# A boot that the kernel's log condemns is no boot to start from each time. Nor
# is one with a wrong clock: a kernel that counts the processor's cycles until
# the PIT is done, and gets no turn meanwhile, may take it for eight times slower
# than it is. It says so, and believes it; without the PIT it would not say so.
fit_to_keep() {
	local taint
	taint=$(said booted)
	! condemned "$WORK/console" >/dev/null &&
		! grep -qE 'tsc: (.*deviates|HPET/PMTIMER|No reference)' "$WORK/console" &&
		((!(${taint:-0} & TAINT_FAULTS)))
}

# keep_machine PLACE: in three attempts.
keep_machine() {
	local attempt
	find "${1%/*}" -mindepth 1 -maxdepth 1 -mtime "+$SNAPSHOT_DAYS" -delete
	for attempt in 1 2 3; do
		freeze || continue
		fit_to_keep || continue
		mv "$WORK/console" "$1.log"
		mv "$WORK/frozen" "$1"
		return
	done
	return 1
}

# ready_snapshot: set SNAPSHOT to the kept machine, making it if need be; leave
# it empty where that can't be had. KEPT is its place.
ready_snapshot() {
	local place
	place=$CACHE_DIR/snapshots/$KERNEL-$(snapshot_key) KEPT=$place
	mkdir -p "${place%/*}"
	lock "snapshot-$KERNEL"
	[[ -f $place ]] || keep_machine "$place" || {
		say "$KERNEL: no machine could be kept after its boot: $(tail -n 1 "$WORK/qemu.log")"
		unlock
		return
	}
	touch "$place" "$place.log"
	SNAPSHOT=$WORK/snapshot
	ln "$place" "$SNAPSHOT"
	ln "$place.log" "$SNAPSHOT.log"
	unlock
}

# forget_snapshot: the next run is not to go on from there, nor is this one.
# It came to nothing, whether the file is damaged or the machine in it.
forget_snapshot() {
	[[ -z $SNAPSHOT ]] || rm -f "$KEPT" "$KEPT.log"
	SNAPSHOT=''
}
