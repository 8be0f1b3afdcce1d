# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# One run of the emulator and what came of it.
#
# WORK/console  the kernel's log      WORK/out.log, err.log  the command's output
# WORK/said     what init told        WORK/hung              why it was stopped
# WORK/run      the disk that the run comes on

# A guest is up in some ten seconds on a free processor; a busy host takes
# longer, but not forever.
BOOT_SECONDS=120

machine_said() { grep -q "^$1\\b" "$WORK/said" 2>/dev/null; }

# said WORD: what followed WORD.
said() { sed -n "s/^$1 //p" "$WORK/said" | head -n 1; }

kernel_arguments() {
	# Only a warning or worse is worth a boot's time; init raises the level.
	echo console=ttyS0 loglevel=5 rdinit=/init
	# The first Oops is the end of the guest, and that ends the emulator.
	echo oops=panic panic=-1 reboot=t
	# Emulated time has hiccups, and no secrets are kept from a test.
	echo no_timer_check tsc=reliable mitigations=off
	echo "$APPEND"
}

# numa_arguments: a node's memory and its processors, for each of NUMA nodes.
# Each processor is a package: the kernel warns of caches shared by two nodes.
numa_arguments() {
	local node cpu size cpus
	if ((NUMA == 1)); then
		ARGUMENTS+=(-smp "$SMP")
		return
	fi
	ARGUMENTS+=(-smp "$SMP,sockets=$SMP,cores=1,threads=1")
	for ((node = 0; node < NUMA; node++)); do
		size=$((MEM / NUMA))
		# The last one has what can't be divided.
		((node < NUMA - 1)) || size=$((MEM - size * (NUMA - 1)))
		cpus=''
		for ((cpu = node; cpu < SMP; cpu += NUMA)); do
			cpus+=",cpus=$cpu"
		done
		ARGUMENTS+=(-object "memory-backend-ram,id=node$node,size=${size}M"
			-numa "node,nodeid=$node,memdev=node$node$cpus")
	done
}

# processor_arguments: all that the emulator can do, but the string instructions
# that say they are fast: where a processor has them, a kernel clears a page by
# 4096 steps of one byte, each of which costs the emulator as much as one of
# eight does. ICOUNT: time by counting instructions, each step being one.
processor_arguments() {
	if [[ $ICOUNT ]]; then
		ARGUMENTS+=(-icount 'shift=0,sleep=off' -cpu 'max,-erms,-fsrm')
	else
		ARGUMENTS+=(-cpu 'max,-erms,-fsrm,-fzrm,-fsrs,-fsrc')
	fi
}

# machine_arguments: set ARGUMENTS to what the machine is.
# shellcheck disable=SC2054  # the commas are the emulator's
machine_arguments() {
	local threads=single
	[[ -z $PARALLEL ]] || threads=multi
	ARGUMENTS=(-accel "tcg,thread=$threads" -m "$MEM"
		-machine 'q35,usb=off' -nodefaults -no-user-config -display none
		-no-reboot -kernel "$WORK/kernel" -initrd "$WORK/base"
		-append "$(kernel_arguments | paste -sd' ')"
		-serial chardev:console -serial chardev:out
		-serial chardev:err -serial chardev:said)
	numa_arguments
	processor_arguments
	[[ -z $SWAP ]] || ARGUMENTS+=(
		-drive "file=$WORK/swap,if=none,id=swap,format=raw,cache=unsafe"
		-device virtio-blk-pci,drive=swap)
	ARGUMENTS+=(-device virtio-blk-pci,drive=run,serial=run)
}

# channel_arguments OUT DISK: set CHANNELS to where its lines end and what its
# run comes from. OUT: null, stdio, or follow, for what is read as it comes.
# shellcheck disable=SC2054  # the commas are the emulator's
channel_arguments() {
	CHANNELS=(-chardev "file,id=console,path=$WORK/console,append=on"
		-chardev "file,id=said,path=$WORK/said"
		-drive "file=$2,if=none,id=run,format=raw,readonly=on,cache=unsafe")
	case $1 in
	null) CHANNELS+=(-chardev null,id=out -chardev null,id=err); return ;;
	stdio) CHANNELS+=(-chardev stdio,id=out,signal=off) ;;
	follow) CHANNELS+=(-chardev "file,id=out,path=$WORK/out,logfile=$WORK/out.log") ;;
	esac
	CHANNELS+=(-chardev "file,id=err,path=$WORK/err,logfile=$WORK/err.log")
}

# newest FILE...: when the last of them was written to, in seconds.
newest() { stat -c %Y "$@" 2>/dev/null | sort -n | tail -n 1; }

# watch_machine PID: end a machine that hangs: one that does not get ready,
# that is silent for too long, that talks without end, or whose run is no more.
watch_machine() {
	local begin=$SECONDS started=0 now last
	while sleep 1 && kill -0 $$; do
		if ! machine_said ready; then
			((SECONDS - begin < BOOT_SECONDS)) || break
			continue
		fi
		((${#COMMAND[@]})) || return 0
		((started)) || started=$SECONDS
		now=$(date +%s)
		last=$(newest "$WORK/said" "$WORK/out.log" "$WORK/err.log")
		if ((now - last > TIMEOUT)); then
			echo "silent for more than $TIMEOUT s" >"$WORK/hung"
			break
		fi
		if ((SECONDS - started > 10 * TIMEOUT)); then
			echo "not done after $((10 * TIMEOUT)) s" >"$WORK/hung"
			break
		fi
	done
	end_machine "$1"
}

# end_machine PID: unless that is another process by now.
end_machine() {
	! grep -aqsF "$WORK/" "/proc/$1/cmdline" || kill -KILL "$1" 2>/dev/null || :
}

# boot: run the machine to its end, from where it was kept if it was.
boot() {
	local input=/dev/null out=follow
	local -a from=()
	rm -f "$WORK"/{console,said,hung,out,err,out.log,err.log}
	: >"$WORK/said"
	mkfifo "$WORK/out" "$WORK/err"
	STREAMS=()
	if ((${#COMMAND[@]})); then
		cat "$WORK/out" &
		STREAMS+=($!)
	else
		input=/dev/stdin out=stdio
	fi
	cat "$WORK/err" >&2 &
	STREAMS+=($!)
	if [[ $SNAPSHOT ]]; then
		cp "$SNAPSHOT.log" "$WORK/console"
		from=(-incoming "exec:zstd -qdc '$SNAPSHOT'")
	fi
	channel_arguments "$out" "$WORK/run"
	"${QEMU[@]}" "${ARGUMENTS[@]}" "${CHANNELS[@]}" "${from[@]}" \
		<"$input" 2>"$WORK/qemu.log" &
	MACHINE=$!
	watch_machine "$MACHINE" </dev/null >/dev/null 2>&1 &
	WATCH=$!
	wait "$MACHINE" || :
	MACHINE=''
	kill "$WATCH" 2>/dev/null || :
	WATCH=''
	wait "${STREAMS[@]}" || :
}

# stop_machine: for when the user does not wait for the end.
stop_machine() {
	[[ -z ${WATCH:-} ]] || kill "$WATCH" 2>/dev/null || :
	[[ -z ${MACHINE:-} ]] || end_machine "$MACHINE"
	[[ -z ${STREAMS[*]-} ]] || kill "${STREAMS[@]}" 2>/dev/null || :
}

fault_of_rig() {
	say "=================================================================="
	say "$KERNEL: THE GUEST DID NOT COME UP. This is the rig's or the"
	say "emulator's fault and says nothing of the module: $1."
	say "=================================================================="
	tail -n 15 "$WORK/console" >&2 2>/dev/null || :
	cat "$WORK/qemu.log" >&2 || :
}

# verdict: exit with what the run comes to.
verdict() {
	local status bad='' before after
	status=$(said exit)
	if condemned "$WORK/console" >"$WORK/condemned"; then
		say "$KERNEL: the kernel's log condemns this run:"
		cat "$WORK/condemned" >&2
		bad=yes
	fi
	if machine_said module; then
		say "$KERNEL: $(said module)"
		[[ $bad ]] || test_log "$WORK/console" | tail -n 20 >&2
		bad=yes
	fi
	read -r before after < <(said taint) || :
	if ((((${after:-0} & ~${before:-0}) | ${before:-0}) & TAINT_FAULTS)); then
		say "$KERNEL: the kernel is tainted: $before before, $after after"
		((!(before & TAINT_FAULTS))) || condemned_before "$WORK/console" >&2
		bad=yes
	fi
	if [[ -z $status ]]; then
		say "$KERNEL: the guest ended before the command did${bad:+, see above}"
		if [[ -f $WORK/hung ]]; then
			say "$KERNEL: it hung: $(<"$WORK/hung")"
		fi
		[[ $bad ]] || test_log "$WORK/console" | tail -n 20 >&2
	fi
	[[ -z $bad ]] || exit "$EXIT_KERNEL"
	[[ ! -f $WORK/hung ]] || exit "$EXIT_HUNG"
	exit "${status:-$EXIT_KERNEL}"
}
