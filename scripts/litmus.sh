#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# litmus.sh [NAME...]: the orderings that the Rust code relies on, under the
# kernel's own memory model: all tests of tests/litmus, or those named. In
# NAME.litmus the bad outcome must never happen; in NAME-weak.litmus and
# NAME-weak-WHAT.litmus, the same with something taken away, it must be
# possible: so the test sees what it is about, and the ordering is needed.
# Exit status 4: there is no herd7 and none can be had, which is said.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/apt.sh"

tests=$ROOT/tests/litmus
LIMIT=120 # seconds for one test; each takes less than one
HERD_NEEDED=7.58 # as tools/memory-model/README says
passed=0 failed=0

is_new_enough() { ver_ge "$("$@" -version 2>/dev/null | cut -d, -f1)" "$HERD_NEEDED"; }

# The machine's own herd7, else Debian sid's in the cache, with the libraries it was
# made for and started through their loader: no library of this machine takes part.
find_herd() {
	local tool=$TOOLS/herd7 lib=$TOOLS/herd7/usr/lib/x86_64-linux-gnu
	herd=(herd7)
	! is_new_enough "${herd[@]}" || return 0
	lock "$CACHE/herd.lock" "herd7"
	herd=("$lib/ld-linux-x86-64.so.2" --library-path "$lib"
		"$tool/usr/bin/herd7" -set-libdir "$tool/usr/share/herdtools7/herd")
	is_new_enough "${herd[@]}" || fetch_herd "$tool"
}

# In a subshell: what ends it must not end this script.
fetch_herd() (
	apt=$CACHE/apt-sid next="install herdtools7 $HERD_NEEDED or later and run the same command again"
	[ "$(uname -m)" = x86_64 ] || die "herd7 is not here, and is only fetched on x86-64" "$next"
	need_disk "$CACHE" 500 "fetching herd7"
	say "herd7: not on this machine, taking Debian sid's"
	own_lists "herd7: reading the package lists" sid "$next"
	rm -rf "$1" "$apt/archives"/*.deb
	cd "$apt/archives" && own_apt "herd7: fetching it" download herdtools7 libc6 libgmp10
	for deb in *.deb; do
		dpkg-deb -x "$deb" "$1" || die "unpacking $apt/archives/$deb failed" "make room if the disk is full, then run the same command again"
	done
	find "$1/usr/bin" -type f ! -name herd7 -delete
	rm -rf "$apt/archives" "$1/usr/share/doc"
	is_new_enough "${herd[@]}" || die "the herd7 that was fetched does not work" "$next"
)

# result TEST EXPECTED OBSERVED
result() {
	local word=pass
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		word=FAIL
		failed=$((failed + 1))
	fi
	printf '%-28s %-10s %-10s %s\n' "$1" "$2" "$3" "$word"
}

expected() {
	case $1 in
	*-weak | *-weak-*) echo Sometimes ;;
	*) echo Never ;;
	esac
}

# What herd7 says; else its complaint is on stderr.
observe() {
	local name=$1 out status=0 seen
	out=$(cd "$model" && timeout "$LIMIT" "${herd[@]}" -conf linux-kernel.cfg "$tests/$name.litmus" 2>&1) ||
		status=$?
	# The bad outcome of a weakened test can be a data race.
	[ "$(expected "$name")" = Never ] || out=$(grep -vx 'Flag data-race' <<<"$out")
	seen=$(sed -n "s/^Observation $name \([A-Z][a-z]*\) .*/\1/p" <<<"$out")
	if [ "$status" = 124 ]; then
		seen=timeout
	elif [ "$status" != 0 ] || [ -z "$seen" ] || grep -qE '^(Warning|Flag)' <<<"$out"; then
		say "$name: herd7 says:" "$(head -n 5 <<<"$out")"
		seen=error
	fi
	echo "$seen"
}

# Each ordering with its twin, each file saying what its name says.
check_files() {
	local name
	for name in "${all[@]}"; do
		if [ "$(expected "$name")" = Never ]; then
			[ -f "$tests/$name-weak.litmus" ] || result "$name" "a twin" none
		else
			[ -f "$tests/${name%%-weak*}.litmus" ] || result "$name" "a strong one" none
		fi
		grep -qx "C $name" "$tests/$name.litmus" || result "$name" "its name" another
		grep -qx " \* Result: $(expected "$name")" "$tests/$name.litmus" || result "$name" "its result" another
	done
}

# The names in the code are those of tests. The other way round it is a note.
check_mentions() {
	local name named
	named=$(grep -rhoiE 'litmus:? [a-z]+(-[a-z]+)*(, [a-z]+(-[a-z]+)*)*' "$ROOT/rust" --include='*.rs' |
		sed 's/^[^ ]* //; s/, /\n/g' | sort -u)
	for name in $named; do
		[ -f "$tests/$name.litmus" ] || result "$name" "a file" none
	done
	for name in "${all[@]}"; do
		[ "$(expected "$name")" = Sometimes ] || grep -qx -e "$name" <<<"$named" ||
			say "litmus: $name is not named in the code"
	done
}

mapfile -t all < <(cd "$tests" && printf '%s\n' *.litmus | sed 's/\.litmus$//' | LC_ALL=C sort)
for name; do
	[ -f "$tests/$name.litmus" ] || die "there is no test '$name'" "take one of tests/litmus, without .litmus"
done
make_cache
model=$("$SCRIPTS/source.sh")/tools/memory-model
find_herd || {
	say "skipped: no herd7, so no ordering was checked; see the line above for what to do"
	exit 4
}
printf '%-28s %-10s %-10s\n' test expected observed
[ $# -gt 0 ] || { check_files && check_mentions; }
[ $# -gt 0 ] || set -- "${all[@]}"
for name; do
	result "$name" "$(expected "$name")" "$(observe "$name")"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
