# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: runs steps one after the other, each a command, and
# counts them; how each ended goes to the file STEPS_FILE too, if that is set.
# Exit status 4 of a step is a skip, as in kselftest; with BPF_ASYNC_STRICT set, as in .ci/run,
# a skip counts as a failure too.

# Of check.sh.
CHECKS=(licence shell python rustfmt units anchors)

PASSED=0 FAILED=0 SKIPPED=0

# begin NAME: of a run over many kernels, which go to out/NAME.txt.
begin() {
	unset KSRC CONFIG_EXTRA SERIES CPUS APPEND CASE ONLY
	export FLAVOR=plain ARCH=x86_64
	mkdir -p "$ROOT/out"
	STEPS_FILE=$ROOT/out/$1.txt
	: >"$STEPS_FILE"
	# Also what is only needed for the checks (shellcheck): not in doctor's list.
	ARCH=arm64 "$SCRIPTS/setup.sh"
	export BPF_ASYNC_SETUP=1
}

# step NAME COMMAND...
step() {
	local name=$1 start=$SECONDS status=0 result
	shift
	echo "== $name"
	"$@" || status=$?
	case $status in
	0) result=pass && PASSED=$((PASSED + 1)) ;;
	4) result=skip && SKIPPED=$((SKIPPED + 1)) ;;
	130) interrupted ;;
	*) result="FAIL (exit status $status)" && FAILED=$((FAILED + 1)) ;;
	esac
	echo "== $name: $result, $((SECONDS - start)) s" | tee -a "${STEPS_FILE:-/dev/null}"
}

# The last line, and the exit status of it all.
finish() {
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped" | tee -a "${STEPS_FILE:-/dev/null}"
	[ "$FAILED" = 0 ] && { [ "$SKIPPED" = 0 ] || [ -z "${BPF_ASYNC_STRICT:-}" ]; }
}
