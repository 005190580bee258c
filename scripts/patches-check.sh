#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [ONLY='n ...'] patches-check.sh WORK [NAME]: what must hold of the series in that
# folder, which patches.sh has made. git am on the base gives its tree, and
# checkpatch finds nothing in a mail that is not explained. What has passed is not
# done again for the same content.
#
# Of series/: integrate.py makes the same tree. Each patch compiles, with the
# warnings of rustc, clippy and clang as errors: without Rust, with the C
# implementation, and with that in Rust from where there is one. With ONLY, nothing
# is looked at but the patches with these numbers.
#
# Of the fixes in series/NAME: the tests that a patch names show their bug on the C
# kernel of the patches before it, and pass on that with it. With all patches the
# kernel's selftests pass, and all other tests of ours say what they say without.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/config.sh"
. "$SCRIPTS/steps.sh"
find_toolchain
WITH=patches ensure_setup || say "patches: note: going on with what is there"

work=${1:?the folder of a series}
branch=${2:-series} suffix=${2:+-$2}
repo=$work/repo.git tree=$work/tree passed=$work/passed
log=$LOGS/patches-${work##*/}$suffix
mkdir -p "$passed"
mails=("$work/mails$suffix"/*.patch)
# The sender signs. The cover letter of series/ explains the others, and a tree
# for fixes may have no history.
explained=MISSING_SIGN_OFF,UNKNOWN_COMMIT_ID
[ "$branch" != series ] || explained=MISSING_SIGN_OFF,FILE_PATH_CHANGES,RCU_TASKS_TRACE
export GIT_COMMITTER_NAME=bpf-async GIT_COMMITTER_EMAIL=bpf-async@localhost
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES

in_repo() { our_git --git-dir="$repo" "$@"; }
in_tree() { our_git -C "$tree" "$@"; }
content_of() { in_repo rev-parse "$1^{tree}"; }

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
	check_out base && in_tree am -q "${mails[@]:1}" || return
	[ "$(in_tree rev-parse 'HEAD^{tree}')" = "$(content_of "$branch")" ] || {
		say "git am gives another tree than that of the series"
		return 1
	}
}

# What integrate.py makes of the base.
same_as_integrate() {
	local said
	check_out base || return
	said=$("$SCRIPTS/integrate.py" "$tree" 2>&1) || {
		[[ $said != *"is not supported"* ]] || { say "left out: integrate.py does not know this kernel" && return 4; }
		say "$said"
		return 1
	}
	rm "$tree/.bpf-async-manifest"
	in_tree add -A -f || return
	in_tree diff --cached --stat --exit-code series || {
		say "the series and integrate.py make different trees, see above"
		return 1
	}
}

# get_maintainer reads the file as a whole, and finds both lists for our files.
maintainers() {
	local said file
	check_out series || return
	in_repo diff --name-only --diff-filter=A base series | while read -r file; do
		said=$(cd "$tree" && scripts/get_maintainer.pl --no-git --no-git-fallback -f "$file") || return
		[[ $said =~ bpf@vger && $said =~ rust-for-linux@vger ]] || {
			say "$file: get_maintainer.pl does not name both lists"
			return 1
		}
	done
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
		--ignore "$explained" "$1" 2>"$log-checkpatch.log") || [ $? = 1 ] || {
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

# kernel_doc FILE: what it says of the file, and did not say of it in the base.
kernel_doc() {
	local new old=$work/base.${1##*.}
	in_repo show "base:$1" >"$old" 2>/dev/null || : >"$old"
	new=$(comm -13 <(kernel_doc_says "$old") <(kernel_doc_says "$tree/$1"))
	[ -z "$new" ] || { say "$1: $new" && return 1; }
}

# Without names and line numbers of the file.
kernel_doc_says() {
	(cd "$tree" && python3 -B scripts/kernel-doc -none -Wall "$1" 2>&1) |
		sed -n 's/^\(Warning\|Error\): [^ ]* /\1: /p' | sort
}

# style MAIL: of it, and of the files that it changes.
style() {
	local file
	checkpatch "$1" || return
	while read -r file; do
		case $file in
		*.rs) rustfmt --check --edition 2021 --config-path "$tree/.rustfmt.toml" "$tree/$file" || return ;;
		*.c | *.h) kernel_doc "$file" || return ;;
		esac
	done < <(in_tree diff --name-only HEAD~1)
}

# options_of CONFIG: without Rust, with the C implementation, or with that in Rust.
options_of() {
	local impl=c
	[ "$1" != on ] || impl=rust
	cat "$ROOT/config/base.config" "$ROOT/config/impl-$impl.config"
	llvm_agrees || echo 'CONFIG_RUST_INLINE_HELPERS=n'
	[ "$1" != none ] || echo 'CONFIG_RUST=n'
}

# configure CONFIG: one folder with Rust for both implementations, so that what
# they share is compiled once.
configure() {
	build=$work/build-rust
	[ "$1" != none ] || build=$work/build-none
	mkdir -p "$build"
	options_of "$1" >"$build/fragments"
	allnoconfig "$build"
}

# Always with the same options, else all that is in Rust is compiled again.
make_strict() {
	"${KMAKE[@]}" -C "$tree" O="$build" -j"$(nproc)" -Otarget W=1e CLIPPY=1 \
		CLIPPY_DRIVER="${RUSTC%rustc}clippy-driver" "$@"
}

# compile CONFIG: what is ours, or has lines of ours.
compile() {
	local objects=(kernel/bpf/helpers.o) missing
	configure "$1" || return
	missing=$(not_taken "$build/fragments" "$build/.config" | grep -E '^CONFIG_(RUST|BPF_ASYNC_RUST)=') || missing=
	[ -z "$missing" ] || { echo "error: not taken: $missing" && return 1; }
	[ "$1" = none ] || objects+=(rust/helpers/helpers.o rust/kernel.o)
	if [ "$1" = on ]; then
		objects+=(kernel/bpf/async_rust.o)
		! grep -qs rust_bpf_async "$tree/samples/rust/Makefile" || objects+=(samples/rust/rust_bpf_async.o)
	fi
	make_strict "${objects[@]}"
}

# One row of the table: a cell for style, one for each configuration.
patch() {
	local commit=$1 mail=$2 number=${2##*/} config cell row content
	number=${number:2:2}
	check_out "$commit" || return
	content=$(content_of "$commit")
	row=$(printf '%s  %-60s' "$number" "$(in_repo log -1 --format=%s "$commit" | cut -c 1-60)")
	cell=ok
	once style "$content $(in_repo log -1 --format=%B "$commit") ${CODESPELL[*]}" style "$mail" || cell=FAIL
	row+=$(printf ' %-6s' "$cell")
	for config in none off on; do
		cell=ok
		if [ "$config" = on ] && ! grep -qs 'config BPF_ASYNC_RUST' "$tree/kernel/bpf/Kconfig"; then
			cell=-
		elif ! once "$config" "$content $RUSTC_FOUND $CLANG_FOUND $(options_of "$config" | sha256sum)" \
			logged "patches: $number $config" "$log-$number-$config.log" '  [A-Z]' -- compile "$config"; then
			grep -m 3 -E '(^|[^a-z_])(fatal )?(error|warning)(\[[A-Z0-9]+\])?:|\*\*\*' "$log-$number-$config.log" >&2 || true
			say "error: patch $number, $config: does not compile, the log is $log-$number-$config.log"
			cell=FAIL
		fi
		row+=$(printf ' %-8s' "$cell")
	done
	echo "$row" >>"$work/table"
	[[ $row != *FAIL* ]]
}

rustdoc() {
	check_out series && configure on >"$log-configure.log" 2>&1 || return
	once warnings "$(content_of series) $RUSTC_FOUND" "$SCRIPTS/warnings.sh" "$build" "$build"
}

# Of the lines in our own files. A sparse that does not know a keyword of the
# kernel's is told what it means.
sparse() {
	local said checker=sparse
	type -P sparse >/dev/null || { say "left out: no sparse here" && return 4; }
	check_out series && configure on >"$log-configure.log" 2>&1 || return
	[ "$("$tree/scripts/checker-valid.sh" sparse)" = 1 ] || checker+=" -D__typeof_unqual__=__typeof__"
	make_strict C=2 CHECK="$checker" kernel/bpf/async_rust.o kernel/bpf/helpers.o rust/helpers/helpers.o \
		>"$log-sparse.log" 2>&1 || { tail -n 5 "$log-sparse.log" >&2 && return 1; }
	grep -q '  CHECK .*kernel/bpf/async_rust.c' "$log-sparse.log" ||
		{ say "sparse was not run, see $log-sparse.log" && return 1; }
	said=$(grep -E '(warning|error):' "$log-sparse.log" |
		grep -E '(async_rust\.c|bpf_async\.[ch]|rust/helpers/(hrtimer|irq_work|llist|rcu|refcount)\.c):') || return 0
	say "$said"
	return 1
}

check_series() {
	local number i
	for number in ${ONLY:-}; do
		[[ " $(seq -s ' ' ${#commits[@]}) " == *" $number "* ]] ||
			die "there is no patch '$number'" "ONLY has some of the numbers from 1 to ${#commits[@]}"
	done
	rm -f "$work/table"
	[ -n "${ONLY:-}" ] || {
		step "patches: git am" git_am
		step "patches: the tree of integrate.py" same_as_integrate
		step "patches: MAINTAINERS" maintainers
	}
	for i in "${!commits[@]}"; do
		[[ -n ${ONLY:-} && " $ONLY " != *" $((i + 1)) "* ]] ||
			step "patches: $((i + 1)) of ${#commits[@]}" patch "${commits[i]}" "${mails[i + 1]}"
	done
	[ -n "${ONLY:-}" ] || {
		step "patches: clippy, W=1, rustdoc and kernel-doc of the whole" rustdoc
		step "patches: sparse" sparse
	}
	[ ! -f "$work/table" ] || {
		printf '    %-60s %-6s %-8s %-8s %s\n' '' style RUST=n switch=n switch=y
		cat "$work/table"
	}
}

# own_tests PATCH...: those that they name.
own_tests() {
	local name
	for name; do sed '1,/^---$/d' "$ROOT/series/$branch/$name.txt"; done
}

# regress COMMIT OPTION...: our tests on the C kernel of it.
regress() {
	c_kernel "$1" && "$SCRIPTS/selftests.py" --own --impl c --kernel-c "$BUILD" --json "$work/regress$suffix.json" "${@:2}"
}

# c_kernel COMMIT: BUILD is its folder.
c_kernel() {
	check_out "$1" && BUILD=$(FLAVOR=plain ARCH=x86_64 CONFIG_EXTRA='' KSRC=$tree built c)
}

# shows PATCH COMMIT: that its tests fail before it, and pass with it.
shows() {
	local names
	mapfile -t names < <(own_tests "$1")
	say "patches: $1: without it ${names[*]} must show the bug"
	regress "$2~1" "${names[@]/#/--only=}" || return
	say "patches: $1: with it ${names[*]} must pass"
	regress "$2" "${names[@]/#/--only=}" "${names[@]/#/--fixed=}"
}

selftests() {
	c_kernel "$branch" && "$SCRIPTS/selftests.py" --impl c --kernel-c "$BUILD" --json "$work/selftests$suffix.json"
}

check_fixes() {
	local names fixed i tests all
	# What else the verdict of a test depends on.
	tests=$(cd "$ROOT" && cat tests/selftests/bpf/*/* tests/selftests/cases.toml config/base.config \
		config/impl-c.config integration/anchors.toml scripts/selftests.py scripts/selftests/*.* | sha256sum)
	tests+=" $CLANG_FOUND"
	names=("$ROOT/series/$branch"/[0-9]*.txt)
	names=("${names[@]##*/}")
	names=("${names[@]%.txt}")
	mapfile -t fixed < <(own_tests "${names[@]}")
	all="$(content_of "$branch") $tests"
	step "patches: git am" git_am
	for i in "${!commits[@]}"; do
		step "patches: ${names[i]}: checkpatch" checkpatch "${mails[i + 1]}"
	done
	for i in "${!commits[@]}"; do
		step "patches: ${names[i]}: $(own_tests "${names[i]}" | paste -s -d ' ')" once "${names[i]}" \
			"$(content_of "${commits[i]}") $tests" shows "${names[i]}" "${commits[i]}"
	done
	step "patches: selftests with all of them" once "selftests$suffix" "$all" selftests
	step "patches: our tests with all of them" once "own$suffix" "$all" regress "$branch" "${fixed[@]/#/--fixed=}"
}

mapfile -t commits < <(in_repo rev-list --reverse "base..$branch")
if [ "$branch" = series ]; then check_series; else check_fixes; fi
finish
