# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by the checks of a series, with the folder of patches.sh as $1: its
# commits are on BRANCH, and EXPLAINED is what checkpatch may say.

work=${1:?the folder of a series}
suffix=-$BRANCH
[ "$BRANCH" != series ] || suffix=
repo=$work/repo.git tree=$work/tree passed=$work/passed
log=$LOGS/patches-${work##*/}$suffix
mkdir -p "$passed"
mails=("$work/mails$suffix"/*.patch)
export GIT_COMMITTER_NAME=bpf-async GIT_COMMITTER_EMAIL=bpf-async@localhost
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES

in_repo() { our_git --git-dir="$repo" "$@"; }
in_tree() { our_git -C "$tree" "$@"; }

# once STEP CONTENT COMMAND...: unless it has passed for this content.
once() {
	local stamp
	stamp=$passed/$1-$(sha256sum <<<"$2" | cut -c 1-16)
	shift 2
	[ ! -e "$stamp" ] || return 0
	"$@" && touch "$stamp"
}

# check_out COMMIT: in the work tree in which git am runs and all is built. Only
# files that differ get a new time stamp.
check_out() {
	if ! in_tree rev-parse -q --verify HEAD >/dev/null 2>&1; then
		need_disk "$work" 2500 "a work tree of the kernel"
		say "patches: making a work tree of ${work##*/}, about a minute"
		rm -rf "$tree"
		in_repo worktree prune && in_repo worktree add -f -q --detach "$tree" base || return
	fi
	in_tree am --abort >/dev/null 2>&1 || true
	in_tree checkout -q -f --detach "$1" && in_tree clean -fdqx
}

git_am() {
	check_out base || return
	in_tree am -q "${mails[@]:1}" || return
	[ "$(in_tree rev-parse 'HEAD^{tree}')" = "$(in_repo rev-parse "$BRANCH^{tree}")" ] || {
		say "git am gives another tree than that of the series"
		return 1
	}
}

# The dictionary may be that of another Python than the first in PATH.
CODESPELL=()
for dictionary in /usr/share/codespell/dictionary.txt /usr/lib/python3/dist-packages/codespell_lib/data/dictionary.txt \
	"$(python3 -c 'import codespell_lib; print(codespell_lib.__path__[0])' 2>/dev/null)/data/dictionary.txt"; do
	[ ! -f "$dictionary" ] || CODESPELL=(--codespell --codespellfile "$dictionary")
done
[ ${#CODESPELL[@]} -gt 0 ] || say "patches: note: no codespell here, so checkpatch looks for fewer misspellings"

# checkpatch MAIL. It counts a character outside of ASCII, as diagrams have, as
# several. Its exit status is 1 if it has something to say.
checkpatch() {
	local line number bad=0 said
	said=$(cd "$tree" && scripts/checkpatch.pl --strict --no-summary --terse --show-types "${CODESPELL[@]}" \
		--ignore "$EXPLAINED" "$1" 2>"$log-checkpatch.log") || [ $? = 1 ] || {
		say "checkpatch did not come to its end, see $log-checkpatch.log"
		return 1
	}
	while read -r line; do
		[ -n "$line" ] || continue
		number=${line#"$1:"} && number=${number%%:*}
		[[ $line == *:LONG_LINE_COMMENT:* ]] && sed -n "${number}p" "$1" | grep -qP '[^\x00-\x7f]' && continue
		say "${line#"${1%/*}/"}"
		bad=1
	done <<<"$said"
	return "$bad"
}
