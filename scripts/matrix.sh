#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [KSRC=/path] [ONLY='name ...'] matrix.sh: compiles what is ours, with the folders it is
# in, in each configuration of config/matrix, or in those that ONLY names. A warning is an
# error there. What passed is not built again until something of it has changed,
# so a run that was ended goes on where it was. The table is also in out/matrix.txt.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/config.sh"
. "$SCRIPTS/apt.sh"

TARGETS=(rust/ kernel/bpf/ samples/rust/)

# entry NAME: sets what its line says.
entry() {
	local line
	line=$(grep -E "^$1[[:space:]]" "$ROOT/config/matrix") ||
		die "there is no configuration '$1'" "take one of: $(names | xargs)"
	read -r name ARCH FLAVOR options <<<"$line"
	KERNEL_ARCH=${ARCH/x86_64/x86}
}

names() { sed -n 's/^\([a-z][^[:space:]]*\)[[:space:]].*/\1/p' "$ROOT/config/matrix"; }

# What Debian configures its kernels of this series with.
fetch_debian_configs() {
	local package=linux-config-$KERNEL_SERIES configs=$CACHE/debian-config deb
	apt=$CACHE/apt
	[ ! -d "$configs" ] || return 0
	lock "$CACHE/src.lock" "the lists of Debian's packages"
	own_lists "matrix: reading the package lists" trixie-backports "leave out the debian configurations: ONLY='name ...'"
	(cd "$apt/archives" && own_apt "matrix: fetching $package" download "$package")
	deb=$(compgen -G "$apt/archives/${package}_*.deb" | sort -V | tail -n 1)
	rm -rf "$configs.part"
	mkdir "$configs.part"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$configs.part" --strip-components=4
	mv "$configs.part" "$configs"
}

# The kernel's own doctests have warnings.
asked() {
	local option
	for option in RUST_KERNEL_DOCTESTS=n $options; do echo "CONFIG_$option"; done
}

# What the entry is for must be there, and its flavor, besides what it asks for.
wanted() {
	local file
	for file in "$ROOT/config/$FLAVOR.config" "$ROOT/config/$FLAVOR-$ARCH.config"; do
		[ ! -f "$file" ] || cat "$file"
	done
	case " $options " in
	*" BPF_ASYNC_RUST=n "*) ;;
	*" SAMPLE_RUST_BPF_ASYNC=y "*) echo CONFIG_BPF_ASYNC_RUST=y ;;
	*) printf '%s\n' CONFIG_BPF_ASYNC_RUST=y CONFIG_SAMPLE_RUST_BPF_ASYNC=m ;;
	esac
	asked
}

# One folder for each machine: the next configuration compiles what differs.
configure() {
	local missing
	fragments >"$out/fragments"
	wanted >"$out/wanted"
	allnoconfig "$out" >"$log" 2>&1 || return
	missing=$(not_taken "$out/wanted" "$out/.config")
	[ -z "$missing" ] || {
		echo "error: not taken: ${missing//$'\n'/, }" >>"$log"
		return 1
	}
}

forget_objects() {
	mkdir -p "${TARGETS[@]/#/$out/}"
	find "${TARGETS[@]/#/$out/}" -name '*.o' -delete
}

# User-mode Linux has a warning of clang in each file that includes asm/io.h.
kmake() {
	local flags=
	[ "$ARCH" != um ] || flags=-Wno-null-pointer-arithmetic
	"${KMAKE[@]}" "ARCH=$KERNEL_ARCH" KCFLAGS="$flags" -C "$tree" O="$out" "$@"
}

# Prints what modpost says of the objects, and which of our symbols the sample misses; C
# symbols of the rest of the kernel are not in them. With LTO they are no objects yet.
modpost() {
	local objects=() sample=samples/rust/rust_bpf_async.o
	! grep -q '^CONFIG_LTO_CLANG=y' "$out/.config" || return 0
	for target in "${TARGETS[@]}"; do objects+=("${target}built-in.a"); done
	cd "$out"
	"ld.lld$LLVM_SUFFIX" -r -o vmlinux.o --whole-archive "${objects[@]}"
	grep -q '^CONFIG_SAMPLE_RUST_BPF_ASYNC=m' .config || sample=
	# shellcheck disable=SC2086 # none, perhaps
	scripts/mod/modpost -M -w -o matrix.symvers vmlinux.o $sample 2>&1 |
		grep -vE "symbol '[a-z0-9_]+' undefined!\$|suppressed [0-9]+ unresolved symbol" || true
	# It names ten at most.
	[ -z "$sample" ] || comm -23 <("llvm-nm$LLVM_SUFFIX" -u "$sample" | sed -nE 's/.* ((_R|rust_helper_|bpf_).*)/\1/p' | sort) \
		<(cut -f 2 matrix.symvers | sort) | sed 's/$/: not exported to the sample/'
}

# The warnings, but for what rustc says of a feature that the kernel wants on s390.
warned() { grep -i 'warning:' "$log" | grep -vE 'feature.*: .backchain.$|: 1 warning emitted$'; }

# What has a warning is not made, but for warnings of objtool, so objects with one
# may not stay: the next configuration, or run, would take them as good. In a run
# that was ended they may have had one.
compile() {
	local status=0
	configure || return
	[ ! -e "$out/begun" ] || forget_objects
	touch "$out/begun"
	logged "matrix: $name" "$log" '  [A-Z]' -- kmake -k -j"$(nproc)" -Otarget W=e prepare "${TARGETS[@]}" || status=$?
	! warned >/dev/null || { forget_objects && status=1; }
	rm -f "$out/begun"
	[ "$status" = 0 ] || return
	(modpost) >"$log.modpost" 2>&1 && cat "$log.modpost" >>"$log" && [ ! -s "$log.modpost" ]
}

# row RESULT SECONDS
row() {
	printf '%-12s %-7s %-6s %-5s %5s s  %s\n' "$name" "$ARCH" "${FLAVOR%%-*}" "$1" "$2" "$options" |
		sed 's/ *$//' | tee -a "$ROOT/out/matrix.txt"
}

build() {
	local from stamp seconds=$SECONDS
	entry "$1"
	out=$CACHE/matrix/$ARCH log=$LOGS/matrix-$name.log
	mkdir -p "$out"
	CONFIG_EXTRA=$CACHE/matrix/$name.config
	asked >"$CONFIG_EXTRA"
	from=$({ inputs && cat "$SCRIPTS/matrix.sh"; } | sha256sum)
	stamp=$CACHE/matrix/$name.stamp
	if [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$from" ]; then
		row pass "$(sed -n 2p "$stamp")"
	elif compile; then
		printf '%s\n' "$from" $((SECONDS - seconds)) >"$stamp"
		row pass $((SECONDS - seconds))
	else
		rm -f "$stamp"
		row FAIL $((SECONDS - seconds))
		grep -iE -A 3 'warning:|error:' "$log" | head -n 12 >&2 || tail -n 5 "$log" >&2
		say "matrix: $name: the log is $log"
		failed+=("$name")
	fi
}

[ -z "${CONFIG_EXTRA:-}" ] || die "make matrix has its own options" "leave out CONFIG_EXTRA, or add a line to config/matrix"
ARCH=x86_64 IMPL=rust FLAVOR=plain failed=()
read -ra names <<<"${ONLY:-}"
[ -n "${ONLY:-}" ] || mapfile -t names < <(names)
for name in "${names[@]}"; do (entry "$name"); done
check_source
make_cache
ensure_setup
find_toolchain
tree=$("$SCRIPTS/tree.sh")
mkdir -p "$CACHE/matrix" "$ROOT/out"
for name in "${names[@]}"; do
	entry "$name"
	# In a shell of its own, so that others need not wait for that lock until this ends.
	[[ $FLAVOR != debian-* ]] || (fetch_debian_configs)
done
lock "$tree.lock" "the tree ${tree##*/}" -s
lock "$CACHE/matrix.lock" "make matrix"
: >"$ROOT/out/matrix.txt"
for name in "${names[@]}"; do build "$name"; done
echo "$((${#names[@]} - ${#failed[@]})) of ${#names[@]} configurations pass${failed[*]:+, not ${failed[*]}}" |
	tee -a "$ROOT/out/matrix.txt"
[ ${#failed[@]} = 0 ]
