# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by every shell script here: where things are, how to speak to the
# user, and the checks that several scripts share. stdout is kept for results
# (a path, a table); everything else goes to stderr.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SCRIPTS=$ROOT/scripts

say() { printf '%s\n' "$*" >&2; }

# die WHAT [NEXT]: one line, what is wrong and what to do about it.
die() {
	say "error: $1${2:+; $2}"
	exit 1
}

# Ctrl-C: one line, from the outermost script only.
interrupted() {
	trap - INT TERM
	[ "${BPF_ASYNC_OUTER:-$$}" != $$ ] ||
		say "interrupted: nothing is lost, run the same command again"
	exit 130
}
trap interrupted INT TERM
export BPF_ASYNC_OUTER=${BPF_ASYNC_OUTER:-$$}

CACHE=${BPF_ASYNC_CACHE:-${HOME:?HOME is not set, set it or BPF_ASYNC_CACHE}/.cache/bpf-async}
case $CACHE in
/*) ;;
*) CACHE=$PWD/$CACHE ;;
esac
case $CACHE in
*[[:space:]:]*)
	die "the cache folder '$CACHE' has a space or a colon, which the kernel's build cannot handle" \
		"set BPF_ASYNC_CACHE to another path" ;;
esac
export BPF_ASYNC_CACHE=$CACHE
TOOLS=$CACHE/tools
LOGS=$CACHE/logs

# What was tested; everything that names a version takes it from here.
KERNEL_SERIES=(7.3 7.2)
KERNEL_DEFAULT=7.3
KERNEL_WANTED_7_3=7.3.4
BINDGEN_VERSION=0.72.1
VIRTME_VERSION=1.42

make_cache() {
	mkdir -p "$CACHE"/{apt,src,trees,build,tools,logs} 2>/dev/null ||
		die "cannot write to the cache folder $CACHE" \
			"make room there or set BPF_ASYNC_CACHE to another path"
}

# have COMMAND...: all of them.
have() {
	local command
	for command; do command -v "$command" >/dev/null || return; done
}

# need_disk FOLDER MEGABYTES WHAT
need_disk() {
	local free
	free=$(df --output=avail -BM "$1" | tail -n 1 | tr -dc 0-9)
	[ "$free" -ge "$2" ] ||
		die "$3 needs $2 MB in $1, only $free MB are free" \
			"make room or set BPF_ASYNC_CACHE to another disk"
}

# ver_ge FOUND NEEDED
ver_ge() {
	[ -n "$1" ] && [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# lock FILE WHAT [-s]: held until this script and what it started have ended.
# The folder is the caller's; the file stays, removing it would be a race.
lock() {
	local fd
	exec {fd}>>"$1"
	flock -n ${3:+"$3"} "$fd" || {
		say "waiting for another run that uses $2"
		flock ${3:+"$3"} "$fd"
	}
	LOCK_FD=$fd
}

# logged LABEL LOG PATTERN [TOTAL] -- COMMAND...: run it with its output in LOG
# and its progress (lines that match PATTERN) on stderr.
logged() {
	local label=$1 log=$2 pattern=$3 total=0
	shift 3
	[ "$1" = -- ] || { total=$1 && shift; }
	shift
	mkdir -p "${log%/*}"
	# Python is among what setup.sh installs.
	if have python3; then
		"$@" </dev/null 2>&1 |
			"$SCRIPTS/progress.py" --label "$label" --log "$log" \
				--count "$pattern" --total "$total"
	else
		"$@" </dev/null >"$log" 2>&1
	fi
}

check_impl() {
	case ${IMPL:=rust} in
	rust | c) ;;
	*) die "IMPL is rust or c, not '$IMPL'" "say for instance IMPL=rust" ;;
	esac
}

check_debug() {
	case ${DEBUG:=} in
	'' | 1 | kcsan) ;;
	0) DEBUG= ;;
	*) die "DEBUG is empty, 1 or kcsan, not '$DEBUG'" "say for instance DEBUG=1" ;;
	esac
}

# The name of a build folder: build_name VERSION
build_name() {
	case $DEBUG in
	'') echo "$1-$IMPL" ;;
	1) echo "$1-$IMPL-debug" ;;
	*) echo "$1-$IMPL-$DEBUG" ;;
	esac
}

# kernel_version FOLDER: what its Makefile says, or nothing. `make
# kernelversion` would do, but needs the tree to be whole.
kernel_version() {
	[ -f "$1/Kbuild" ] && [ -f "$1/kernel/bpf/helpers.c" ] || return 0
	sed -n -e '/^VERSION = /s///p' -e '/^PATCHLEVEL = /s//./p' \
		-e '/^SUBLEVEL = /s//./p' -e '/^EXTRAVERSION = *\(.*\)/s//\1/p' \
		"$1/Makefile" 2>/dev/null | head -n 4 | tr -d '\n'
}

# Before anything is installed or fetched for it.
check_source() {
	local version
	[[ " ${KERNEL_SERIES[*]} " == *" ${KVER:=$KERNEL_DEFAULT} "* ]] ||
		die "KVER is one of ${KERNEL_SERIES[*]}, not '$KVER'" "leave it out for $KERNEL_DEFAULT"
	[ -n "${KSRC:-}" ] || return 0
	[ -d "$KSRC" ] || die "KSRC=$KSRC is no folder" "name the top folder of a Linux 7.3 or 7.2 source"
	version=$(kernel_version "$KSRC")
	[ -n "$version" ] ||
		die "KSRC=$KSRC is no kernel tree" "name the top folder of a Linux 7.3 or 7.2 source"
	[[ " ${KERNEL_SERIES[*]} " == *" $(cut -d. -f1,2 <<<"$version") "* ]] ||
		die "KSRC=$KSRC is Linux $version, which is not supported" "take one of: ${KERNEL_SERIES[*]}"
}

# Install what is missing, once for a whole chain of scripts.
ensure_setup() {
	[ -z "${BPF_ASYNC_SETUP:-}" ] || return 0
	"$SCRIPTS/doctor.sh" --quick || "$SCRIPTS/setup.sh"
	export BPF_ASYNC_SETUP=1
}
