#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check.sh [NAME...]: the checks that need no kernel to boot, all or those
# named. Exit status 4: the check could not be done, which is said.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/steps.sh"

skip() {
	say "skipped: $1; $2"
	exit 4
}

# Ours, also what is not committed yet; a file that was removed is not.
files() {
	git -C "$ROOT" ls-files --cached --others --exclude-standard -- "$@" |
		while read -r file; do [ ! -f "$ROOT/$file" ] || echo "$ROOT/$file"; done
}

check_licence() {
	local file bad=0
	while read -r file; do
		head -n 5 "$file" | grep -q 'SPDX-License-Identifier: .*GPL-2.0' || {
			say "${file#"$ROOT/"}: no SPDX line in its first lines"
			bad=1
		}
	done < <(files ':!COPYING' ':!*.json' ':!*.lock')
	return "$bad"
}

check_shell() {
	local scripts script
	mapfile -t scripts < <(files '*.sh' .ci/run)
	for script in "${scripts[@]}"; do bash -n "$script"; done
	have shellcheck || skip "no shellcheck" "make setup installs it"
	# The .sh files are bash throughout; what lib.sh sets is used elsewhere.
	(cd "$SCRIPTS" && shellcheck --shell=bash --external-sources --source-path=SCRIPTDIR \
		--exclude=SC1090,SC1091,SC2034,SC2154 "${scripts[@]}")
}

# Compiled in memory: the source folder stays as it is.
check_python() {
	files '*.py' | xargs -d '\n' python3 -c '
import pathlib, sys
for path in sys.argv[1:]:
    compile(pathlib.Path(path).read_bytes(), path, "exec")'
}

# The kernel's style, with the kernel's own settings.
check_rustfmt() {
	local sources source
	have rustfmt || skip "no rustfmt" "make setup installs it"
	mapfile -t sources < <(files '*.rs')
	source=$("$SCRIPTS/source.sh")
	rustfmt --check --edition 2021 --config-path "$source/.rustfmt.toml" "${sources[@]}"
	# It leaves comments alone.
	! files 'rust/*.rs' 'samples/*.rs' | LC_ALL=C.UTF-8 xargs -d '\n' grep -nE '^.{101}' ||
		die "the lines above have more than 100 columns" "wrap them"
}

# On the pristine source. A suite that finds no test, or skips one, fails.
check_units() {
	local source folder
	source=$("$SCRIPTS/source.sh")
	for folder in integrate series console selftests_runner bench/units setup; do
		[ "$folder" != setup ] || have apt-get || { say "tests/setup: left out, no apt here" && continue; }
		say "tests/$folder"
		(cd "$ROOT/tests/$folder" && BPF_ASYNC_TREES=$source python3 -B -c '
import sys, unittest
result = unittest.TextTestRunner().run(unittest.defaultTestLoader.discover("."))
sys.exit(not result.wasSuccessful() or not result.testsRun or bool(result.skipped))')
	done
}

# The tree, and once more: no file of it may be newer after that.
check_anchors() {
	local tree made newer
	tree=$(KSRC='' "$SCRIPTS/tree.sh")
	made=$(date +%s.%N)
	KSRC='' "$SCRIPTS/tree.sh" >/dev/null
	newer=$(find "$tree" -newermt "@$made" -type f)
	[ -z "$newer" ] || {
		say "$newer"
		die "a second run changed the files above in the tree" "integrate.py must leave them alone"
	}
}

if [ $# = 1 ]; then
	[[ " ${CHECKS[*]} " == *" $1 "* ]] || die "there is no check '$1'" "take one of: ${CHECKS[*]}"
	"check_$1"
	exit
fi
[ $# -gt 0 ] || set -- "${CHECKS[@]}"
for name; do
	step "check: $name" "$0" "$name"
done
finish
