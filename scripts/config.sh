# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after toolchain.sh: what a kernel is made from and configured with.

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

# Everything that a kernel is made from, in one word: our files, the options, the
# compilers, and the source. Debian's never changes; of the user's own tree every
# file's size and time of last change, which no tool sets back.
inputs() {
	{
		fragments
		echo "$KERNEL_WANTED ${KSRC:-}" "${KMAKE[@]}"
		echo "$RUSTC_FOUND $CLANG_FOUND $BINDGEN_VERSION $(pahole --version 2>&1)"
		cat "$ROOT/integration/anchors.toml" "$SCRIPTS"/{kernel,config,tree,toolchain}.sh \
			"$SCRIPTS/integrate.py" "$SCRIPTS"/integration/*.py
		python3 -B -c '
import sys
sys.path.insert(0, sys.argv[1] + "/scripts")
from integration import plan
for path, content in plan.sources(sys.argv[1]).items():
    sys.stdout.buffer.write(b"%s %d\n%s" % (path.encode(), len(content), content))' "$ROOT"
		[ -z "${KSRC:-}" ] || find "$KSRC/" -path "$KSRC/.git" -prune -o ! -type d -printf '%p %s %C@\n' | sort
	} | sha256sum
}

# Each option that was asked for and not taken, with what it is instead: a
# dependency that is missing would otherwise be found only when a test fails.
not_taken() {
	awk '
	function value(line) {
		if (line ~ /^# CONFIG_[A-Za-z0-9_]+ is not set$/) { name = $2; return "n" }
		if (line !~ /^CONFIG_[A-Za-z0-9_]+=/) { name = ""; return "" }
		name = substr(line, 1, index(line, "=") - 1)
		return substr(line, index(line, "=") + 1)
	}
	{ v = value($0) }
	name == "" { next }
	FNR == NR { asked[name] = v; next }
	{ got[name] = v }
	END {
		for (name in asked) {
			is = name in got ? got[name] : "n"
			if (is != asked[name]) print name "=" asked[name] " (is " is ")"
		}
	}' "$1" "$2" | sort
}

# The first message of the compiler, not the last line of make.
show_failure() {
	local first
	first=$(grep -n -m 1 -E '(^|[^a-z_])(fatal )?error(\[E[0-9]+\])?:|^make.*\*\*\*|No space left' "$1" | cut -d: -f1) || first=1
	sed -n "$first,$((first + 29))p" "$1" | grep -v '^  [A-Z]' >&2
}
