#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [BASE=/path/to/git/tree] [CHECK=1] [SERIES=name] patches.sh: the repository as a
# mail series, made from series/, on the commit that is checked out in BASE
# (default: the source of make kernel, as a git tree in the cache). BASE is only
# read. SERIES makes the series of fixes in series/name instead. The folder with
# the mails is the last line of stdout.

. "$(dirname "$0")/lib.sh"

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES

in_repo() { our_git --git-dir="$repo" "$@"; }

# in_folder NAME: where all is made, in a bare repository of our own.
in_folder() {
	name=$1 work=$CACHE/patches/$1
	repo=$work/repo.git
	mkdir -p "$work"
	lock "$work.lock" "the series on $name"
}

# Debian's source as a commit that is the same wherever it is made. One pack
# instead of a file for each file: that is what the threshold does.
from_source() {
	local pristine
	pristine=$("$SCRIPTS/source.sh")
	in_folder "${pristine##*/linux-}"
	in_repo rev-parse -q --verify base >/dev/null 2>&1 && return
	need_disk "$CACHE" 600 "a git tree of the kernel's source"
	say "patches: making a git tree of Linux $name, about a minute"
	rm -rf "$repo"
	our_git init -q --bare -b base "$repo"
	in_repo --work-tree="$pristine" -c core.bigFileThreshold=1 -c core.compression=1 add -A -f "$pristine"
	GIT_AUTHOR_DATE='@1 +0000' GIT_COMMITTER_DATE='@1 +0000' in_repo --work-tree="$pristine" -c user.name=bpf-async \
		-c user.email=bpf-async@localhost -c maintenance.auto=false commit -q -m "Linux $name"
	rm "$repo/index"
}

# The user's objects are borrowed.
from_base() {
	local commit objects shallow
	[ -d "$BASE" ] || die "BASE=$BASE is not a directory" "name a git tree of Linux"
	commit=$(git -C "$BASE" rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null) ||
		die "BASE=$BASE is no git tree with a commit" "name a git tree of Linux, or leave BASE out"
	objects=$(git -C "$BASE" rev-parse --path-format=absolute --git-path objects)
	shallow=$(git -C "$BASE" rev-parse --path-format=absolute --git-path shallow)
	[ -z "$(git --no-optional-locks -C "$BASE" status --porcelain --untracked-files=no)" ] ||
		say "patches: note: BASE has uncommitted changes, the series is on what is committed"
	in_folder "$(basename "$(realpath "$BASE")")-$(realpath "$BASE" | sha256sum | cut -c 1-8)"
	our_git init -q --bare "$repo"
	echo "$objects" >"$repo/objects/info/alternates"
	if [ -f "$shallow" ]; then cp "$shallow" "$repo/shallow"; else rm -f "$repo/shallow"; fi
	in_repo update-ref refs/heads/base "$commit"
}

make_cache
case ${CHECK:=} in
'' | 0 | 1) ;;
*) die "CHECK is empty or 1, not '$CHECK'" "say for instance CHECK=1" ;;
esac
[[ -z ${SERIES:=} || " $(cd "$ROOT/series" && echo */) " == *" $SERIES/ "* ]] ||
	die "there is no series '$SERIES' in series/" "SERIES is empty or one of: $(cd "$ROOT/series" && echo */)"
[ -z "$SERIES" ] || [ -z "${ONLY:-}" ] || die "ONLY is not for SERIES=$SERIES" "leave it out"
if [ -n "${BASE:-}" ]; then from_base; else from_source; fi
mails=$work/mails${SERIES:+-$SERIES}
"$SCRIPTS/patches.py" --repo "$repo" --base "$(in_repo rev-parse base)" --out "$mails" ${SERIES:+--fixes "$SERIES"}
say "patches: $(($(find "$mails" -name '*.patch' | wc -l) - 1)) patches and a cover letter on $name"
[ "$CHECK" != 1 ] || "$SCRIPTS/patches-check.sh" "$work" ${SERIES:+"$SERIES"} >&2
echo "$mails"
