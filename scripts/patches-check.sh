#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [ONLY='n ...'] patches-check.sh WORK: what must hold of the series in that
# folder, which patches.sh has made. git am on the base gives the tree that
# integrate.py makes. checkpatch finds nothing in a mail that the cover letter does
# not explain. Each patch compiles, with the warnings of rustc, clippy and clang as
# errors: without Rust, with the C implementation, and with that in Rust from where
# there is one. What has passed is not done again for the same content. With ONLY,
# nothing is looked at but the patches with these numbers.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/config.sh"
. "$SCRIPTS/steps.sh"
find_toolchain
WITH=patches ensure_setup || say "patches: note: going on with what is there"

# The cover letter explains the first two, and the sender signs.
EXPLAINED=FILE_PATH_CHANGES,RCU_TASKS_TRACE,MISSING_SIGN_OFF
CONFIGS=(none off on)

BRANCH=series
. "$SCRIPTS/patches-common.sh"

# integrate.py finds everything in place, and the series changes nothing else.
same_as_integrate() {
	local said
	check_out series || return
	said=$("$SCRIPTS/integrate.py" "$tree" 2>&1) || true
	rm -f "$tree/.bpf-async-manifest"
	case $said in
	*": nothing to do") ;;
	*"is not supported"*) say "left out: integrate.py does not know this kernel" && return 4 ;;
	*) say "$said" && in_tree status --short >&2 && return 1 ;;
	esac
	diff <("$SCRIPTS/integrate.py" --list | awk '{ print $2 }' | sort) <(in_repo diff --name-only base series | sort) || {
		say "the series does not change the files that integrate.py changes, see above"
		return 1
	}
}

# Byte by byte, if the base is the source that make tree takes.
same_as_make_tree() {
	local made
	[ "$(in_repo log -1 --format=%an base)" = bpf-async ] ||
		{ say "left out: the base is your own tree" && return 4; }
	made=$(KSRC='' "$SCRIPTS/tree.sh")
	(
		cd "$made" && export GIT_INDEX_FILE=$work/index && in_repo read-tree series &&
			in_repo --work-tree=. diff --stat --exit-code &&
			[ -z "$(in_repo --work-tree=. ls-files -o --exclude-standard -x .bpf-async-manifest)" ]
	) || {
		say "the series and make tree differ, see above"
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

# has FILE TEXT: in the work tree.
has() { grep -qs "$2" "$tree/$1"; }

fragments() {
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
	fragments "$1" >"$build/fragments"
	allnoconfig "$build"
}

# Always with the same options, else all that is in Rust is compiled again.
make_strict() {
	"${KMAKE[@]}" -C "$tree" O="$build" -j"$(nproc)" -Otarget W=1e CLIPPY=1 \
		CLIPPY_DRIVER="${RUSTC%rustc}clippy-driver" "$@"
}

# compile CONFIG: what is ours, or has lines of ours.
compile() {
	local objects=(kernel/bpf/helpers.o)
	configure "$1" || return
	if [ "$1" = none ]; then
		! grep -q '^CONFIG_RUST=y' "$build/.config" || { echo "error: CONFIG_RUST is set" && return 1; }
	else
		grep -q '^CONFIG_RUST=y' "$build/.config" || { echo "error: CONFIG_RUST is not set" && return 1; }
		objects+=(rust/helpers/helpers.o rust/kernel.o)
	fi
	if [ "$1" = on ]; then
		grep -q '^CONFIG_BPF_ASYNC_RUST=y' "$build/.config" ||
			{ echo "error: CONFIG_BPF_ASYNC_RUST is not set" && return 1; }
		objects+=(kernel/bpf/async_rust.o)
		! has samples/rust/Makefile rust_bpf_async || objects+=(samples/rust/rust_bpf_async.o)
	fi
	make_strict "${objects[@]}"
}

# One row of the table: a cell for style, one for each configuration.
patch() {
	local commit=$1 mail=$2 number=${2##*/} config cell row
	number=${number:2:2}
	check_out "$commit" || return
	content=$(in_repo rev-parse "$commit^{tree}")
	row=$(printf '%s  %-60s' "$number" "$(in_repo log -1 --format=%s "$commit" | cut -c 1-60)")
	cell=ok
	once style "$content $(in_repo log -1 --format=%B "$commit") ${CODESPELL[*]}" style "$mail" >&2 || cell=FAIL
	row+=$(printf ' %-6s' "$cell")
	for config in "${CONFIGS[@]}"; do
		cell=ok
		if [ "$config" = on ] && ! has kernel/bpf/Kconfig 'config BPF_ASYNC_RUST'; then
			cell=-
		elif ! once "$config" "$content $RUSTC_FOUND $CLANG_FOUND $(fragments "$config" | sha256sum)" \
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
	once warnings "$(in_repo rev-parse 'series^{tree}') $RUSTC_FOUND" "$SCRIPTS/warnings.sh" "$build" "$build"
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
	grep -q '  CHECK .*kernel/bpf/async_rust.c' "$log-sparse.log" || { say "sparse was not run, see $log-sparse.log" && return 1; }
	said=$(grep -E '(async_rust\.c|bpf_async\.[ch]|rust/helpers/(hrtimer|irq_work|llist|rcu|refcount)\.c):.*(warning|error):' \
		"$log-sparse.log") || return 0
	say "$said"
	return 1
}

mapfile -t commits < <(in_repo rev-list --reverse base..series)
for number in ${ONLY:-}; do
	[[ " $(seq -s ' ' ${#commits[@]}) " == *" $number "* ]] ||
		die "there is no patch '$number'" "ONLY has some of the numbers from 1 to ${#commits[@]}"
done
rm -f "$work/table"
[ -n "${ONLY:-}" ] || {
	step "patches: git am" git_am
	step "patches: the tree of integrate.py" same_as_integrate
	step "patches: the tree of make tree" same_as_make_tree
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
finish
