#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fixes-check.sh WORK NAME: what must hold of the series of fixes in that folder,
# which patches.sh has made of series/NAME. git am on the base gives its tree, and
# checkpatch finds nothing. The tests that a patch names show their bug on the C
# kernel of the patches before it, and pass on that with it. With all patches the
# kernel's selftests pass, and all other tests of ours say what they say without.
# What has passed is not done again for the same content.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/steps.sh"
find_toolchain

BRANCH=${2:?the name of a series}
# The sender signs, and the tree may have no history.
EXPLAINED=MISSING_SIGN_OFF,UNKNOWN_COMMIT_ID
. "$SCRIPTS/patches-common.sh"

# What else the verdict of a test depends on.
tests=$(cd "$ROOT" && cat tests/selftests/bpf/*/* tests/selftests/cases.toml config/base.config \
	config/impl-c.config integration/anchors.toml scripts/selftests.py scripts/selftests/*.* | sha256sum)

# own_tests PATCH: those that it names.
own_tests() { sed '1,/^---$/d' "$ROOT/series/$BRANCH/$1.txt"; }

# kernel COMMIT: the C kernel of it; BUILD is its folder.
kernel() {
	check_out "$1" || return
	BUILD=$(FLAVOR=plain ARCH=x86_64 CONFIG_EXTRA='' KSRC=$tree built c)
}

regress() {
	"$SCRIPTS/selftests.py" --own --impl c --kernel-c "$BUILD" --json "$work/regress$suffix.json" "$@"
}

# shows PATCH COMMIT: that its tests fail before it, and pass with it.
shows() {
	local names
	mapfile -t names < <(own_tests "$1")
	[ ${#names[@]} -gt 0 ] || die "series/$BRANCH/$1.txt names no test" "name one after its --- line"
	say "patches: $1: without it ${names[*]} must show the bug"
	kernel "$2~1" && regress "${names[@]/#/--only=}" || return
	say "patches: $1: with it ${names[*]} must pass"
	kernel "$2" && regress "${names[@]/#/--only=}" "${names[@]/#/--fixed=}"
}

selftests() {
	kernel "$BRANCH" && "$SCRIPTS/selftests.py" --impl c --kernel-c "$BUILD" --json "$work/selftests$suffix.json"
}

all_own() {
	local names=() patch
	for patch in "${patches[@]}"; do
		mapfile -t -O "${#names[@]}" names < <(own_tests "$patch")
	done
	kernel "$BRANCH" && regress "${names[@]/#/--fixed=}"
}

mapfile -t commits < <(in_repo rev-list --reverse "base..$BRANCH")
patches=("$ROOT/series/$BRANCH"/[0-9]*.txt)
patches=("${patches[@]##*/}")
patches=("${patches[@]%.txt}")
all="$(in_repo rev-parse "$BRANCH^{tree}") $tests $CLANG_FOUND"

step "patches: git am" git_am
for i in "${!commits[@]}"; do
	step "patches: ${patches[i]}: checkpatch" checkpatch "${mails[i + 1]}"
done
for i in "${!commits[@]}"; do
	step "patches: ${patches[i]}: $(own_tests "${patches[i]}" | paste -s -d ' ')" once "${patches[i]}" \
		"$(in_repo rev-parse "${commits[i]}^{tree}") $tests $CLANG_FOUND" shows "${patches[i]}" "${commits[i]}"
done
step "patches: selftests with all of them" once "selftests$suffix" "$all" selftests
step "patches: our tests with all of them" once "own$suffix" "$all" all_own
finish
