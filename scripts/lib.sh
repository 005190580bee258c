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

# failed WHAT LOG: the end of that, and die.
failed() {
	tail -n 15 "$2" >&2
	die "$1, the log is $2" "fix what it says and run the same command again"
}

[[ $ROOT != *[[:space:]:]* ]] ||
	die "the folder '$ROOT' has a space or a colon, which make cannot handle" "move the clone to another path"

# Ctrl-C: one line, from the outermost script only.
interrupted() {
	trap - INT TERM
	[ "${BPF_ASYNC_OUTER:-$$}" != $$ ] ||
		say "interrupted: nothing is lost, run the same command again"
	exit 130
}
trap interrupted INT TERM
export BPF_ASYNC_OUTER=${BPF_ASYNC_OUTER:-$$}

CACHE=$(realpath -ms "${BPF_ASYNC_CACHE:-${HOME:?HOME is not set, set it or BPF_ASYNC_CACHE}/.cache/bpf-async}")
[[ $CACHE != *[[:space:]:]* ]] ||
	die "the cache folder '$CACHE' has a space or a colon, which the kernel's build cannot handle" \
		"set BPF_ASYNC_CACHE to another path"
export BPF_ASYNC_CACHE=$CACHE
TOOLS=$CACHE/tools LOGS=$CACHE/logs

# What was tested; everything that names a version takes it from here.
KERNEL_SERIES=7.3
KERNEL_WANTED=7.3.4
BINDGEN_VERSION=0.72.1
VIRTME_VERSION=1.42

make_cache() {
	mkdir -p "$CACHE"/{apt,src,trees,build,tools,logs} 2>/dev/null ||
		die "cannot write to the cache folder $CACHE" "make room there or set BPF_ASYNC_CACHE to another path"
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
ver_ge() { [ -n "$1" ] && printf '%s\n' "$2" "$1" | sort -V -C; }

# command_of PID: its command line, as far as it fits into a message.
command_of() { tr '\0\n' '  ' 2>/dev/null <"/proc/$1/cmdline" | cut -c -160 | sed 's/ *$//'; }

# holder FILE: who holds that lock. /proc/PID/fdinfo says so of each file that is
# open, and children inherit the file: the outermost of them is meant, or what
# was typed to start it.
holder() {
	local fd pid parent pids=' '
	while read -r fd; do
		! grep -qs '^lock:' "${fd/fd/fdinfo}" || pids+="$(cut -d/ -f3 <<<"$fd") "
	done < <(find /proc/[0-9]*/fd -lname "$1" 2>/dev/null)
	read -r pid _ <<<"$pids"
	[ -n "$pid" ] || { echo "another run" && return; }
	while parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null) &&
		[[ $pids == *" $parent "* || $(command_of "$parent") =~ ^make\ |/scripts/[a-z-]+\.sh(\ |$) ]]; do
		pid=$parent
	done
	echo "pid $pid ($(command_of "$pid"))"
}

# lock FILE WHAT [-s]: held until this script and what it started have ended.
# The folder is the caller's; the file stays, removing it would be a race.
# BPF_ASYNC_WAIT, when set, is how many seconds a wait may take.
lock() {
	local fd
	exec {fd}>>"$1"
	flock -n ${3:+"$3"} "$fd" || {
		say "waiting for $(holder "$1"), which uses $2"
		flock ${3:+"$3"} ${BPF_ASYNC_WAIT:+-w "$BPF_ASYNC_WAIT"} "$fd" || {
			say "error: $(holder "$1") still uses $2 after $BPF_ASYNC_WAIT s; wait for it or end it, then run the same command again"
			exit 124
		}
	}
}

# logged LABEL LOG PATTERN [TOTAL] -- COMMAND...: run it with its output in LOG
# and its progress (lines that match PATTERN) on stderr.
logged() {
	local label=$1 log=$2 pattern=$3 total=0
	shift 3
	[ "$1" = -- ] || { total=$1 && shift; }
	shift
	# Python is among what setup.sh installs.
	if have python3; then
		"$@" </dev/null 2>&1 |
			"$SCRIPTS/progress.py" --label "$label" --log "$log" --count "$pattern" --total "$total"
	else
		"$@" </dev/null >"$log" 2>&1
	fi
}

check_impl() {
	[[ ${IMPL:=rust} =~ ^(rust|c)$ ]] || die "IMPL is rust or c, not '$IMPL'" "say for instance IMPL=rust"
}

# check_impls TARGET: IMPL may be both here; sets IMPLS.
check_impls() {
	case $IMPL in
	rust | c) IMPLS=("$IMPL") ;;
	both) IMPLS=(c rust) ;;
	*) die "IMPL is rust, c or both, not '$IMPL'" "say for instance: make $1 IMPL=both" ;;
	esac
}

# CPUS of the virtual machine: CONFIG_NR_CPUS is the most.
check_cpus() {
	[[ $CPUS =~ ^([1-9]|1[0-6])$ ]] || die "CPUS is a number from 1 to 16, not '$CPUS'" "say for instance CPUS=2"
}

# Each but plain is a file in config/.
FLAVORS=(plain debug kcsan rt cfi up)

check_flavor() {
	[ -z "${DEBUG:-}" ] || die "DEBUG=$DEBUG has no meaning here" "say FLAVOR=debug or FLAVOR=kcsan, and unset DEBUG"
	[[ " ${FLAVORS[*]} " == *" ${FLAVOR:=plain} "* ]] ||
		die "FLAVOR is one of ${FLAVORS[*]}, not '$FLAVOR'" "say for instance FLAVOR=debug"
}

# Built on x86-64; arm64 is emulated.
check_arch() {
	case ${ARCH:=x86_64} in
	x86_64) KERNEL_ARCH=x86 KERNEL_IMAGE=arch/x86/boot/bzImage ;;
	arm64) KERNEL_ARCH=arm64 KERNEL_IMAGE=arch/arm64/boot/Image ;;
	*) die "ARCH is x86_64 or arm64, not '$ARCH'" "say for instance ARCH=arm64" ;;
	esac
	export ARCH
}

# bpf_tools BUILD: the folder of bpftool and libbpf of the source that kernel was
# built from, as selftests.py names it.
bpf_tools() {
	local tree
	tree=$(readlink -m "$1/source")
	echo "$CACHE/selftests/tools-${tree##*/}-$(sha256sum <<<"$tree" | cut -c 1-8)"
}

# kernel_version FOLDER: what its Makefile says, or nothing if it is no whole tree.
kernel_version() {
	[ -f "$1/Makefile" ] && [ -f "$1/Kbuild" ] && [ -f "$1/kernel/bpf/helpers.c" ] || return 0
	awk '/^(VERSION|PATCHLEVEL|SUBLEVEL) =/ { version = version dot $3; dot = "." }
		/^EXTRAVERSION =/ { print version $3; exit }' "$1/Makefile"
}

# Before anything is installed or fetched for it.
check_source() {
	local version
	[ -n "${KSRC:-}" ] || return 0
	[ -d "$KSRC" ] || die "KSRC=$KSRC is not a directory" "name the top directory of a Linux $KERNEL_SERIES source"
	version=$(kernel_version "$KSRC")
	[ -n "$version" ] || die "KSRC=$KSRC is not a kernel tree" "name the top directory of a Linux $KERNEL_SERIES source"
	[ "$(cut -d. -f1,2 <<<"$version")" = "$KERNEL_SERIES" ] ||
		die "KSRC=$KSRC is Linux $version, which is not supported" "use a Linux $KERNEL_SERIES source"
}

# our_git ARGUMENTS...: without the user's own settings.
our_git() { GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 git "$@"; }

# Install what is missing, once for a whole chain of scripts.
ensure_setup() {
	[ -z "${BPF_ASYNC_SETUP:-}" ] || return 0
	"$SCRIPTS/doctor.sh" --quick || "$SCRIPTS/setup.sh" >&2
	export BPF_ASYNC_SETUP=1
}

# built IMPL [OPTION]: builds that kernel if need be; prints its build folder.
built() {
	local image
	image=$(IMPL=$1 "$SCRIPTS/kernel.sh" "${@:2}") || return
	echo "${image%/arch/*}"
}
