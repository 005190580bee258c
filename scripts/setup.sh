#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Installs what is missing: Debian packages through the machine's own apt, in
# versions that fit what is installed (from backports where no other does), and
# bindgen and virtme-ng into the cache. Asks nothing; when nothing is missing it
# does nothing.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/apt.sh"
find_toolchain

APT_PROGRESS='(Get|Unpacking|Setting up)'
CARGO_NEEDED=1.85

# try LABEL LOGNAME PATTERN COMMAND...: with the end of its output on failure.
try() {
	local label=$1 log=$LOGS/setup-$2.log pattern=$3 start=$SECONDS
	shift 3
	say "setup: $label"
	logged "setup: $label" "$log" "$pattern" -- "$@" || {
		grep -v '^$' "$log" | tail -n 10 >&2
		FAILED="'$label' failed, its whole output is in $log"
		return 1
	}
	say "setup: $label: done, $((SECONDS - start)) s"
}

NEXT='look there; if it is the network or the disk, run make setup again once that works'
run() { try "$@" || die "$FAILED" "$NEXT"; }

SUDO=()
[ "$(id -u)" = 0 ] || SUDO=(sudo -n --)

# No option here changes how this machine's apt is set up; a package that the
# user has is never removed for one of ours.
apt_get() {
	"${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
		-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

# install LABEL LOGNAME PACKAGE...: what does not fit what is installed is taken
# from backports, after the rest, so that no more than needed comes from there.
install() {
	local label=$1 log=$2 package next release
	shift 2
	choose "$@"
	release=("${CHOSEN[@]}")
	for package in "${REFUSED[@]}"; do
		next="install $package yourself, then run make setup again"
		[ ${#BACKPORTS[@]} -gt 0 ] || take_backports "$next"
		plan "$package" || die "apt cannot install $package beside what is installed: $(in_the_way)" \
			"upgrade or remove what is named there, or $next"
	done
	[ ${#release[@]} = 0 ] || run "$label" "$log" "$APT_PROGRESS" apt_get "${INSTALL[@]}" "${release[@]}"
	for package in "${REFUSED[@]}"; do
		CHOSEN=() UPGRADED=
		fits "$package" || true # what it upgrades is said; apt has its own word on the rest
		run "$label, $package of $CODENAME-backports" "$log-$package" "$APT_PROGRESS" \
			apt_get "${BACKPORTS[@]}" "${INSTALL[@]}" "$package"
	done
	BACKPORTS=()
}

# The LLVM major that a package of rustc stands on, by what it depends on:
# rustc -> libstd-rust-dev -> libstd-rust-N -> libllvmN.
package_llvm() {
	apt-cache depends --important --recurse "$1" 2>/dev/null | sed -n 's/^ .*Depends: libllvm\([0-9]*\).*/\1/p' | sed -n 1p
}

# choose_compilers: prints the packages of a rustc and of the clang of the same
# LLVM, from what apt offers. An installed rustc that is new enough stays. Debian
# 12's plain rustc is too old, its rustc-web is not.
choose_compilers() {
	local rustc suffix version llvm
	for rustc in $(dpkg-query -S /usr/bin/rustc 2>/dev/null | sed 's/:.*//') rustc-web rustc; do
		version=$(apt-cache show --no-all-versions "$rustc" 2>/dev/null | sed -n 's/^Version: *//p') || continue
		ver_ge "$version" "$RUSTC_NEEDED" || continue
		llvm=$(package_llvm "$rustc") || continue
		apt-cache show "clang-$llvm" >/dev/null 2>&1 || continue
		suffix=${rustc#rustc}
		printf '%s\n' "$rustc" "rust$suffix-src" "rust$suffix-clippy" "rustfmt$suffix" \
			"clang-$llvm" "lld-$llvm" "llvm-$llvm" "libclang-$llvm-dev"
		find_cargo || echo "cargo$suffix"
		return
	done
	return 1
}

# rustup's cargo, Debian's, or none that is new enough for bindgen-cli.
find_cargo() {
	for CARGO in cargo /usr/bin/cargo; do
		ver_ge "$("$CARGO" --version 2>/dev/null | cut -d ' ' -f 2)" "$CARGO_NEEDED" && return
	done
	return 1
}

compilers_good() {
	! grep -qx compilers <<<"$1" && have rustfmt && find_cargo &&
		{ [ "$RUSTC" != /usr/bin/rustc ] || have /usr/bin/clippy-driver; }
}

# missing LIST: those that dpkg has not installed.
missing() {
	comm -23 <(grep -vx compilers <<<"$1" | sort) \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort)
}

install_packages() {
	local wanted packages compilers
	wanted=$("$SCRIPTS/doctor.sh" --packages)
	if [ -z "$(missing "$wanted")" ] && compilers_good "$wanted"; then
		return
	fi
	[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null ||
		die "Debian packages are missing, and you are neither root nor have sudo without a password" \
			"run 'sudo -v' and the same command again, or 'make setup' as root first"
	need_disk / 3000 "installing the compilers"
	# After Ctrl-C in the middle of an installation dpkg wants this first.
	[ -z "$(dpkg --audit 2>/dev/null)" ] || run "finishing what dpkg was doing" dpkg-configure "$APT_PROGRESS" \
		"${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a
	# One source of several that fails need not be one that we want.
	FAILED=
	try "apt-get update" apt-update 'Get|Hit' apt_get --error-on=any update ||
		say "setup: $FAILED; going on with the lists that apt has"
	# First by itself: the progress of the rest is told by a Python script.
	have python3 || install "installing python3" apt-python python3
	if ! compilers_good "$wanted"; then
		compilers=$(choose_compilers) || {
			[ -z "$FAILED" ] || die "$FAILED" "$NEXT"
			die "apt offers no rustc >= $RUSTC_NEEDED with a clang of the same LLVM" \
				"enable Debian's security suite in the apt sources, rustc-web is there"
		}
		wanted+=$'\n'$compilers
	fi
	mapfile -t packages < <(missing "$wanted")
	[ ${#packages[@]} -gt 0 ] || return 0
	say "setup: missing: ${packages[*]}"
	install "installing Debian packages" apt-install "${packages[@]}"
	find_toolchain
}

install_bindgen() {
	[ "$("$TOOLS/bin/bindgen" --version 2>/dev/null)" != "bindgen $BINDGEN_VERSION" ] || return 0
	find_cargo || die "no cargo >= $CARGO_NEEDED" "install one (rustup or the distribution's)"
	need_disk "$CACHE" 1000 "building bindgen"
	run "building bindgen $BINDGEN_VERSION" bindgen ' *(Downloaded|Compiling)' \
		"$CARGO" install --color never --force --locked --root "$TOOLS" --version "$BINDGEN_VERSION" bindgen-cli
}

# A venv cannot be moved, so it is built in place.
install_virtme() {
	local venv=$TOOLS/virtme python=/usr/bin/python3
	! virtme_is_whole || return 0
	[ -x "$python" ] || python=python3
	rm -rf "$venv"
	run "making a Python venv" venv . "$python" -m venv "$venv"
	run "installing virtme-ng $VIRTME_VERSION" virtme-ng . \
		"$venv/bin/pip" install --disable-pip-version-check "virtme-ng==$VIRTME_VERSION"
	"$venv/bin/virtme-run" --help >/dev/null || die "virtme-ng was installed but does not run" \
		"see what $venv/bin/virtme-run --help says"
}

make_cache
[ -z "${1:-}" ] || die "unknown argument '$1'" "setup takes none"
if known_distro; then
	lock "$CACHE/setup.lock" "make setup"
	install_packages
elif ! "$SCRIPTS/doctor.sh" --quick; then
	say "setup: this is not Debian 12 or 13 but '${DISTRO:-unknown}': install by hand what"
	say "setup: Debian calls: $("$SCRIPTS/doctor.sh" --packages | grep -vx compilers | xargs)"
	say "setup: and rustc >= $RUSTC_NEEDED with its library source, and clang, lld, llvm and"
	say "setup: libclang of the same LLVM; 'make doctor' says what is still missing"
fi
install_bindgen
install_virtme
"$SCRIPTS/doctor.sh" --quick ||
	die "something is still missing" "run 'make doctor', it says what"
say "setup: nothing is missing"
