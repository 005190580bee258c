#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [KSRC=/path] tree.sh: makes or refreshes the work tree, a copy of the kernel's
# source with our files in it; prints its path. Only files whose content changes
# get a new time stamp, so a build of the tree goes on where it was.

. "$(dirname "$0")/lib.sh"

# What the user's tree holds besides sources, as far as it is big; mrproper in
# the copy takes care of the rest.
PRODUCTS=('*.o' '*.a' '*.ko' '.*.cmd' /vmlinux '/vmlinux.*' /include/config /include/generated)

# The files of an earlier integration, as rsync's patterns.
ours() {
	echo '/.bpf-async-manifest'
	[ ! -f "$tree/.bpf-async-manifest" ] ||
		sed -n 's/^  "\(.*\)": ".*/\/\1/p' "$tree/.bpf-async-manifest" | sed 's/[*?[\]/\\&/g'
}

# copy FOLDER [OPTION...]: the source into it.
copy() {
	rsync -a "${@:2}" "$pristine/" "$1/" >&2 ||
		die "copying $what failed" "make room in $CACHE and run the same command again"
}

# The user's tree changes as they work: rsync brings over what is new. Files
# that integration writes are left to it, else they would be new every time.
refresh() {
	if [ -e "$pristine/.git" ] &&
		[ -n "$(git --no-optional-locks -C "$pristine" status --porcelain 2>/dev/null)" ]; then
		say "tree: note: KSRC has uncommitted changes, they are in what is built"
	fi
	copy "$tree" --delete --exclude=/.git --exclude-from=<(ours) "${PRODUCTS[@]/#/--exclude=}"
	if [ -e "$tree/.config" ] || [ -e "$pristine/include/config" ]; then
		make -s -C "$tree" mrproper >&2
	fi
}

check_source
make_cache
if [ -n "${KSRC:-}" ]; then
	pristine=$(cd "$KSRC" && pwd -P) what=KSRC
	[ ! -e "$pristine/.bpf-async-manifest" ] ||
		die "KSRC=$KSRC has our files already" "build it with its own make, or name a tree without them"
	[[ $CACHE/ != "$pristine"/* ]] || die "the cache $CACHE lies inside KSRC=$KSRC" "set BPF_ASYNC_CACHE to another path"
	name=$(kernel_version "$pristine")-$(sha256sum <<<"$pristine" | cut -c 1-8)
else
	pristine=$("$SCRIPTS/source.sh")
	name=${pristine##*/linux-} what="Linux ${pristine##*/linux-}"
fi
tree=$CACHE/trees/$name
# What is up to date needs no change: then builds that use the tree need not end first.
current() {
	[ -z "${KSRC:-}" ] && [ -d "$tree" ] || return
	lock "$tree.lock" "the tree $name" -s
	"$SCRIPTS/integrate.py" --check --from "$pristine" "$tree" >/dev/null 2>&1
}
if (current); then
	echo "$tree"
	exit
fi
lock "$tree.lock" "the tree $name"
[ -d "$tree" ] || {
	need_disk "$CACHE" 2500 "a copy of $what"
	say "tree: copying $what"
}
# Debian's source never changes once it is unpacked: one copy does.
if [ -n "${KSRC:-}" ]; then
	refresh
elif [ ! -d "$tree" ]; then
	copy "$tree.part" && mv "$tree.part" "$tree"
fi
"$SCRIPTS/integrate.py" --from "$pristine" "$tree" >&2
echo "$tree"
