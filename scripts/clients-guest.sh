#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs inside the booted kernel: clients-guest.sh SCHEDULER
#
# The last line of the output says how often its timers were called.

set -uo pipefail

scheduler=$1 name=${1##*/} wanted=100
trace=/sys/kernel/tracing
state=/sys/kernel/sched_ext/state

fail() {
	cat /tmp/said
	echo "$1"
	exit 1
}

calls() { grep -c 'function=bpf_timer_cb' $trace/trace; }

# Each makes processes, and computes in between.
load() {
	local i j
	for ((i = 0; i < 60; i++)); do
		for ((j = 0; j < 500; j++)); do :; done
		/bin/true
	done
}

mountpoint -q $trace || mount -t tracefs none $trace
echo 8192 >$trace/buffer_size_kb
echo 1 >$trace/events/timer/hrtimer_expire_entry/enable
[ -r $state ] || { echo "this kernel has no sched_ext" && exit 1; }
"$scheduler" >/tmp/said 2>&1 &
pid=$!
until [ "$(cat $state)" = enabled ]; do
	kill -0 $pid 2>/dev/null || fail "$name ended before it scheduled anything"
	sleep 0.1
done
for ((i = 0; i < 8; i++)); do load & loads[i]=$!; done
wait "${loads[@]}"
until [ "$(calls)" -ge $wanted ]; do
	[ "$(cat $state)" = enabled ] || fail "$name was ended by the kernel"
	sleep 0.1
done
[ "$(cat $state)" = enabled ] || fail "$name was ended by the kernel"
kill -INT $pid
wait $pid
until [ "$(cat $state)" = disabled ]; do sleep 0.1; done
grep -q 'unregistered from user space' /tmp/said || fail "$name did not end as it was told to"
cat /tmp/said
echo "480 processes, at least $wanted calls of its timers"
