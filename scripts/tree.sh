#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [KSRC=/path] tree.sh: makes or refreshes the work tree, a copy of the kernel's
# source with our files in it; prints its path. Only files whose content changes
# get a new time stamp, so a build of the tree goes on where it was.

. "$(dirname "$0")/lib.sh"

# Debian's source never changes once it is unpacked: one copy does.
from_debian() {
	pristine=$("$SCRIPTS/source.sh")
	name=${pristine##*/linux-}
	tree=$CACHE/trees/$name
	lock "$tree.lock" "the tree $name"
	[ -d "$tree" ] || {
		need_disk "$CACHE" 2500 "a copy of the kernel's source"
		say "tree: copying Linux $name"
		rm -rf "$tree.part"
		cp -a --reflink=auto "$pristine" "$tree.part" || {
			rm -rf "$tree.part"
			die "copying the kernel's source failed" "make room in $CACHE and run the same command again"
		}
		mv "$tree.part" "$tree"
	}
}

# What the user's tree holds besides sources, as far as it is big; mrproper in
# the copy takes care of the rest.
PRODUCTS=('*.o' '*.a' '*.ko' '.*.cmd' /vmlinux '/vmlinux.*' /include/config /include/generated)

# The user's tree changes as they work: rsync brings over what is new. Files
# that integration writes are left to it, else they would be new every time.
from_user() {
	local version
	pristine=$(cd "$KSRC" && pwd -P)
	version=$(kernel_version "$pristine")
	[ ! -e "$pristine/.bpf-async-manifest" ] ||
		die "KSRC=$KSRC has our files already" "build it with its own make, or name a tree without them"
	case $CACHE/ in
	"$pristine"/*) die "the cache $CACHE lies inside KSRC=$KSRC" "set BPF_ASYNC_CACHE to another path" ;;
	esac
	name=$version-$(sha256sum <<<"$pristine" | cut -c 1-8)
	tree=$CACHE/trees/$name
	lock "$tree.lock" "the tree $name"
	if [ -e "$pristine/.git" ] &&
		[ -n "$(git --no-optional-locks -C "$pristine" status --porcelain 2>/dev/null)" ]; then
		say "tree: note: KSRC has uncommitted changes, they are in what is built"
	fi
	[ -d "$tree" ] || {
		need_disk "$CACHE" 2500 "a copy of KSRC"
		say "tree: copying KSRC"
	}
	ours "$tree" | rsync -a --delete --exclude=/.git --exclude-from=- \
		"${PRODUCTS[@]/#/--exclude=}" "$pristine/" "$tree/" >&2 ||
		die "copying KSRC failed" "make room in $CACHE and run the same command again"
	if [ -e "$tree/.config" ] || [ -e "$pristine/include/config" ]; then
		make -s -C "$tree" mrproper >&2
	fi
}

# The files of an earlier integration, as rsync's patterns.
ours() {
	echo '/.bpf-async-manifest'
	[ ! -f "$1/.bpf-async-manifest" ] ||
		sed -n 's/^  "\(.*\)": ".*/\/\1/p' "$1/.bpf-async-manifest" | sed 's/[*?[\]/\\&/g'
}

check_source
make_cache
if [ -n "${KSRC:-}" ]; then
	from_user
else
	from_debian
fi
"$SCRIPTS/integrate.py" --from "$pristine" "$tree" >&2
echo "$tree"
