#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [KSRC=/path] docs.sh: the pages of our document, as the kernel's own htmldocs
# makes them, and those of the kernel crate, with what is private in it, as make
# rustdoc does. A warning that names a file of ours is an error. Prints where the
# pages are.

. "$(dirname "$0")/lib.sh"
. "$SCRIPTS/toolchain.sh"
. "$SCRIPTS/config.sh"

export IMPL=rust FLAVOR=plain ARCH=x86_64 WITH=docs
check_config_extra
make_cache
ensure_setup
find_toolchain
tree=$("$SCRIPTS/tree.sh")
name=${tree##*/}
out=$CACHE/docs/$name
log=$LOGS/docs-$name
pages=$out/Documentation/output
mkdir -p "$out"
# The tree must not change under a build.
lock "$tree.lock" "the tree $name" -s
lock "$out.lock" "the pages of $name"

# RUSTDOC has another meaning there. What is not in this folder is unknown to it.
logged "docs: the document" "$log.log" '\[ *[0-9]+%\]' -- \
	make -C "$tree" O="$out" SPHINXDIRS=bpf htmldocs || failed "htmldocs failed" "$log.log"

only_kernel_crate "$out/rustdoc" --document-private-items
fragments >"$out/fragments"
allnoconfig "$out" >"$log-config.log" 2>&1 || failed "allnoconfig failed" "$log-config.log"
logged "docs: the crate" "$log-rustdoc.log" '  [A-Z]' -- \
	"${KMAKE[@]}" -C "$tree" O="$out" -j"$(nproc)" RUSTDOC="$out/rustdoc" rustdoc ||
	failed "rustdoc failed" "$log-rustdoc.log"

ours=$("$SCRIPTS/integrate.py" --list | awk '$1 == "copy" { print $2 }' | grep -E '\.(rs|rst)$' | paste -sd'|')
# rustdoc names the file in the line after the message.
! grep -hE -B 1 "($ours):[0-9]+" "$log.log" "$log-rustdoc.log" >&2 ||
	die "the lines above are about files of ours" "fix what they say"
cat <<EOF
document  $pages/bpf/rust_async.html
crate     $pages/rust/rustdoc/kernel/bpf/index.html
EOF
