#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs inside the booted kernel: guest.sh FOLDER PLAN
#
# FOLDER has test_progs and bpf_testmod.ko. A line of PLAN is
#   kind <tab> name <tab> filter <tab> seconds <tab> attempts <tab> again
# Every test gets a process of its own, so that a time limit, a crash and a
# repetition concern it alone. Lines that begin with @@ are for
# selftests/parse.py; the same words go to the kernel's log, so that a report
# there can be told to a test.

set -uo pipefail

folder=$1 plan=$2
PMU=/sys/bus/event_source/devices/cpu

mark() {
	printf '@@%s\n' "$*"
	printf '<1>selftests: @@%s\n' "$*" > /dev/kmsg
}

run_kernel() {
	local name=$1 filter=$2 limit=$3 attempts=$4 again=$5 n out rc
	if [[ $name == timer_stress_nmi_* ]] && [ ! -e "$PMU" ]; then
		mark "leftout $name no PMU in this virtual machine, so no NMI from a cycle counter"
		return
	fi
	for ((n = 1; n <= attempts; n++)); do
		mark "begin $name $n"
		# test_progs itself writes nothing before its end.
		out=$(timeout -k 5 "$limit" ./test_progs -a "$filter" 2>&1 < /dev/null)
		rc=$?
		printf '%s\n' "$out"
		mark "end $name $n $rc"
		[[ $'\n'$out == *$'\n#'*" $name:$again"* ]] || break
	done
	# Only a verbose run says why something was skipped.
	if [ "$rc" = 0 ] && [ "$again" != SKIP ] && [[ $out == *:SKIP* ]]; then
		mark "why $name"
		timeout -k 5 "$limit" ./test_progs -v -a "$filter" 2>&1 < /dev/null |
			grep -E '^#|[Ss][Kk][Ii][Pp]'
		mark "whyend $name"
	fi
}

# What it has said before a crash must be outside by then. Its limit is ours.
run_own() {
	local name=$1 filter=$2 limit=$3
	mark "begin $name 1"
	timeout -k 5 "$limit" stdbuf -oL ./test_progs -v -w 0 -a "$filter" 2>&1 < /dev/null
	mark "end $name 1 $?"
}

run_module() {
	local name=${1%.ko} module=$2 rc
	mark "begin $name.ko 1"
	{ insmod "$module" && rmmod "$name" && [ ! -e "/sys/module/$name" ]; } 2>&1
	rc=$?
	dmesg | grep -F "$name" | grep -v @@ | tail -n 5
	mark "end $name.ko 1 $rc"
}

cd "$folder" || exit 1
for fs in bpf:/sys/fs/bpf debugfs:/sys/kernel/debug tracefs:/sys/kernel/tracing; do
	mountpoint -q "${fs#*:}" || mount -t "${fs%:*}" none "${fs#*:}"
done
ip link set lo up 2> /dev/null
# test_progs skips what needs the module when it does not load: say why.
if ! insmod bpf_testmod.ko || ! rmmod bpf_testmod; then
	mark "broken bpf_testmod.ko does not load and unload"
	exit 1
fi
mark ready
while IFS=$'\t' read -ra words; do
	"run_${words[0]}" "${words[@]:1}"
done < "$plan"
mark "done"
