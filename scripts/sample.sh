#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# sample.sh BUILD: builds the sample module out of the kernel's tree, and loads
# and unloads it three times in the kernel of that build folder: twice after its
# timer has fired two times, and once at once.

. "$(dirname "$0")/lib.sh"

build=${1:?the build folder of a kernel with the switch on}
make_cache
out=$CACHE/sample/${build##*/}
log=$LOGS/sample-${build##*/}.log
rm -rf "$out"
mkdir -p "$out"
(cd "$ROOT" && cp --parents Kbuild samples/rust/rust_bpf_async.rs "$out")
"$SCRIPTS/kmake.sh" -C "$build" M="$out" >"$log" 2>&1 || failed "the sample did not build out of tree" "$log"
# shellcheck disable=SC2016
"$SCRIPTS/vm.py" --kernel "$build" --cpus 4 --env MODULE="$out/samples/rust/rust_bpf_async.ko" -- '
	set -e
	trace=/sys/kernel/tracing
	mountpoint -q $trace || mount -t tracefs none $trace
	echo 1 >$trace/events/timer/hrtimer_expire_entry/enable
	for ticks in 2 2 0; do
		: >$trace/trace
		dmesg -C
		insmod "$MODULE"
		until [ "$(grep -c async_rust_timer_cb $trace/trace)" -gt $ticks ] || [ $ticks = 0 ]; do
			sleep 0.1
		done
		rmmod rust_bpf_async
		dmesg | grep "rust_bpf_async:.* ticks, .* runs" | tail -n 1 | tee /tmp/last
		set -- $(sed "s/.*: //" /tmp/last)
		[ $# -ge 3 ] || { echo "the module has not said what it did"; exit 1; }
		# A tick that finds the work item pending adds no run.
		if [ "$1" -lt $ticks ] || [ "$3" -gt "$1" ] || [ "$3" -lt $((ticks / 2)) ]; then
			echo "expected: at least $ticks ticks, and no more runs than ticks"
			exit 1
		fi
	done'
