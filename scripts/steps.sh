# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: runs steps one after the other, each a command, and
# counts them. Exit status 77 of a step is a skip; with BPF_ASYNC_STRICT set,
# as in .ci/run, a skip counts as a failure too.

PASSED=0 FAILED=0 SKIPPED=0

# step NAME COMMAND...
step() {
	local name=$1 start=$SECONDS status=0 result
	shift
	printf '== %s\n' "$name"
	"$@" || status=$?
	case $status in
	0) result=pass && PASSED=$((PASSED + 1)) ;;
	77) result=skip && SKIPPED=$((SKIPPED + 1)) ;;
	130) interrupted ;;
	*) result="FAIL (exit status $status)" && FAILED=$((FAILED + 1)) ;;
	esac
	printf '== %s: %s, %d s\n' "$name" "$result" $((SECONDS - start))
}

# The last line, and the exit status of it all.
finish() {
	printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
	[ "$FAILED" = 0 ] && { [ "$SKIPPED" = 0 ] || [ -z "${BPF_ASYNC_STRICT:-}" ]; }
}
