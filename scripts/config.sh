# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after toolchain.sh: what a kernel is made from and configured with.

# Options of the user's own, on top of ours.
check_config_extra() {
	local bad
	[ -n "${CONFIG_EXTRA:-}" ] || return 0
	[ -f "$CONFIG_EXTRA" ] || die "CONFIG_EXTRA=$CONFIG_EXTRA is no file" "name a file with lines like CONFIG_VLAN_8021Q=y"
	bad=$(grep -m 1 -nvE '^(CONFIG_[A-Za-z0-9_]+=.*|#.*|[[:space:]]*)$' "$CONFIG_EXTRA") || bad=
	[ -z "$bad" ] || die "CONFIG_EXTRA=$CONFIG_EXTRA has no option in line ${bad%%:*}, '${bad#*:}'" \
		"write options like CONFIG_VLAN_8021Q=y"
	CONFIG_EXTRA=$(realpath "$CONFIG_EXTRA")
}

# FLAVOR is debian-NAME in make matrix only.
fragments() {
	local name
	case $FLAVOR in
	debian-*)
		xz -dc "$CACHE/debian-config/config.${FLAVOR#debian-}.xz"
		printf '%s\n' CONFIG_SAMPLES=y CONFIG_SAMPLES_RUST=y
		;;
	*)
		for name in base "$ARCH" "$FLAVOR" "$FLAVOR-$ARCH"; do
			[ ! -f "$ROOT/config/$name.config" ] || cat "$ROOT/config/$name.config"
		done
		;;
	esac
	cat "$ROOT/config/impl-$IMPL.config"
	llvm_agrees || echo 'CONFIG_RUST_INLINE_HELPERS=n'
	[ -z "${CONFIG_EXTRA:-}" ] || cat "$CONFIG_EXTRA"
}

# Everything that a kernel is made from, in one word: our files but the document, the
# options, the compilers, and the source. Debian's never changes; of the user's own tree
# every file's size and time of last change, which no tool sets back.
inputs() {
	{
		fragments
		echo "$KERNEL_WANTED ${KSRC:-}" "${KMAKE[@]}"
		echo "$RUSTC_FOUND $CLANG_FOUND $BINDGEN_VERSION $(pahole --version 2>&1)"
		cat "$ROOT/integration/anchors.toml" "$SCRIPTS"/{kernel,config,tree,toolchain}.sh \
			"$SCRIPTS/integrate.py" "$SCRIPTS"/integration/*.py
		"$SCRIPTS/integrate.py" --list | sed -n '/Documentation/d; s/^copy *//p' |
			(cd "$ROOT" && xargs -d '\n' sha256sum)
		[ -z "${KSRC:-}" ] || find "$KSRC/" -path "$KSRC/.git" -prune -o ! -type d -printf '%p %s %C@\n' | sort
	} | sha256sum
}

# options FILE: the last word on each, as NAME=value.
options() {
	sed -nE 's/^# (CONFIG_[A-Za-z0-9_]+) is not set$/\1=n/; /^CONFIG_[A-Za-z0-9_]+=/p' "$1" |
		tac | sort -t = -k 1,1 -s -u | sort
}

# Each option that was asked for and not taken, with what it is instead: a
# dependency that is missing would otherwise be found only when a test fails.
not_taken() {
	local asked is
	comm -23 <(options "$1") <(options "$2") | while read -r asked; do
		is=$(grep "^${asked%%=*}=" "$2") || is="=n"
		[ "$asked" = "${asked%%=*}=${is#*=}" ] || echo "$asked (is ${is#*=})"
	done
}

# allnoconfig BUILD: what its fragments ask for. kconfig leaves .config alone when
# nothing changes, so that nothing is rebuilt.
allnoconfig() {
	KCONFIG_ALLCONFIG=$1/fragments KCONFIG_CONFIG=$1/.config \
		"${KMAKE[@]}" "ARCH=$KERNEL_ARCH" -C "$tree" O="$1" allnoconfig
}

# The first message of the compiler, not the last line of make.
show_failure() {
	local first
	first=$(grep -n -m 1 -E '(^|[^a-z_])(fatal )?error(\[E[0-9]+\])?:|^make.*\*\*\*|No space left' "$1" | cut -d: -f1) || first=1
	sed -n "$first,$((first + 29))p" "$1" | grep -v '^  [A-Z]' >&2
}
