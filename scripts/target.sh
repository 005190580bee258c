#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# target.sh TARGET [ARGUMENT...]: make's targets that run something in a kernel.
# Looks at their variables, builds the kernels if need be, and starts the program
# of the target with them.

. "$(dirname "$0")/lib.sh"

target=${1:?target.sh TARGET: which one?}
shift
: "${IMPL:=rust}"
arguments=()

# option NAME VALUE: for the program, if there is a value.
option() { [ -z "$2" ] || arguments+=("$1" "$2"); }

# What CPUS and APPEND ask for.
machine() {
	[ -z "${CPUS:-}" ] || check_cpus
	option --cpus "${CPUS:-}"
	option --append "${APPEND:-}"
}

# kernels IMPL...: builds them.
kernels() {
	local impl folder
	for impl; do
		folder=$(built "$impl")
		arguments+=("--kernel-$impl" "$folder")
	done
}

# CMD in the kernel, or a shell. The bpftool of make bpf-dev comes first in PATH,
# once it is there.
vm() {
	local build tools
	[ -n "${CMD:-}" ] || [ "$target" = shell ] || die "CMD is empty" "say for instance: make vm CMD='uname -r'"
	[ "$target" = vm ] || [ -t 0 ] || die "make shell needs a terminal" "say for instance: make vm CMD='uname -r'"
	: "${CPUS:=2}"
	check_cpus
	[[ ${TIMEOUT:-300} =~ ^[1-9][0-9]*$ ]] ||
		die "TIMEOUT is a number of seconds, not '$TIMEOUT'" "say for instance TIMEOUT=300"
	[ -z "${TIMEOUT:-}" ] || export BPF_ASYNC_WAIT=$TIMEOUT
	build=$(built "$IMPL")
	tools=$(bpf_tools "$build")
	[ "$ARCH" != x86_64 ] || [ ! -x "$tools/bpftool" ] || option --path "$tools"
	option --append "${APPEND:-}"
	arguments+=(--kernel "$build" --cpus "$CPUS")
	[ "$target" = vm ] || exec "$SCRIPTS/vm.py" "${arguments[@]}" --shell
	exec "$SCRIPTS/vm.py" "${arguments[@]}" --timeout "${TIMEOUT:-300}" -- "$CMD"
}

# Our KUnit suites and doctests.
kunit() {
	local build
	build=$(built "$IMPL")
	[ "$IMPL" = rust ] || arguments=(--c)
	machine
	exec "$SCRIPTS/kunit.py" "${arguments[@]}" --kernel "$build"
}

# The main job: both kernels, the kernel's own selftests on each, one table.
run() {
	local start=$SECONDS status=0
	check_source
	ensure_setup
	kernels c rust
	"$SCRIPTS/selftests.py" "${arguments[@]}" || status=$?
	say "run: $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s in all"
	exit "$status"
}

# Our own selftests, or CASE alone.
regress() {
	check_impls regress
	arguments+=(--own --impl "$IMPL")
	machine
	option --only "${CASE:-}"
	kernels "${IMPLS[@]}"
	exec "$SCRIPTS/selftests.py" "${arguments[@]}"
}

# stress [SECONDS [SEED]]: bash has a SECONDS of its own.
stress() {
	local build
	check_impl
	[[ ${1:-60} =~ ^[1-9][0-9]*$ ]] ||
		die "SECONDS is a number from 1, not '$1'" "say for instance: make stress SECONDS=60"
	[[ ${2:-0} =~ ^(0|[1-9][0-9]*)$ ]] ||
		die "SEED is a number, not '$2'" "take the seed that an earlier run printed, or leave it out"
	option --seconds "${1:-}"
	option --seed "${2:-}"
	build=$(built "$IMPL")
	exec "$SCRIPTS/stress.py" --impl "$IMPL" "${arguments[@]}" --kernel "$build"
}

# bench [OPTION...]: everything, or what ONLY names; the options are bench.py's.
bench() {
	check_impls bench
	arguments=(--impl "$IMPL" --arch "$ARCH")
	option --only "${ONLY:-}"
	"$SCRIPTS/bench.py" "${arguments[@]}" "$@" --dry-run
	kernels "${IMPLS[@]}"
	exec "$SCRIPTS/bench.py" "${arguments[@]}" "$@"
}

# Other kernels count their own checks; their build must not be asked for either.
[ "$target" != bench ] || export FLAVOR=plain
check_flavor
check_arch
case $target in
vm | shell) vm ;;
kunit | bench) "$target" "$@" ;;
selftests)
	check_impls selftests
	exec "$SCRIPTS/selftests.py" --impl "$IMPL" --flavor "$FLAVOR" --arch "$ARCH"
	;;
run | regress | stress)
	arguments=(--flavor "$FLAVOR" --arch "$ARCH")
	"$target" "$@"
	;;
*) die "there is no target '$target' here" "see the Makefile" ;;
esac
