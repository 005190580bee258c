#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# sample.sh BUILD: builds the sample module out of the kernel's tree, from a
# copy of what it consists of, and loads and unloads it three times in the
# kernel of that build folder. Each time its counts have to add up.

. "$(dirname "$0")/lib.sh"

build=${1:?the build folder of a kernel with the switch on}
make_cache
out=$CACHE/sample/${build##*/}
log=$LOGS/sample-${build##*/}.log
rm -rf "$out"
mkdir -p "$out/samples/rust"
cp "$ROOT/Kbuild" "$out/"
cp "$ROOT/samples/rust/rust_bpf_async.rs" "$out/samples/rust/"
"$SCRIPTS/kmake.sh" -C "$build" M="$out" >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	die "the sample did not build out of tree, the log is $log" "mend what the message says"
}
# shellcheck disable=SC2016
"$SCRIPTS/vm.py" --kernel "$build" --cpus 4 --env MODULE="$out/samples/rust/rust_bpf_async.ko" -- '
	set -e
	for round in 1 2 3; do
		insmod "$MODULE"
		rmmod rust_bpf_async
	done
	dmesg | grep "rust_bpf_async:" | tail -n 5
	[ "$(dmesg | grep -c "rust_bpf_async: it adds up")" = 3 ]'
