#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# [IMPL=rust|c] [FLAVOR=debug|...] run.sh: a user's first BPF program, made and run by the
# commands that make bpf-dev prints, to the letter.

. "$(dirname "$0")/../../../scripts/lib.sh"

here=$(cd "$(dirname "$0")" && pwd -P)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$here/prog.bpf.c" "$here/loader.c" "$folder/"
"$SCRIPTS/bpf-dev.sh" >"$folder/said"
sed -n 's/^  //p' "$folder/said" >"$folder/commands"
[ "$(wc -l <"$folder/commands")" = 4 ] || die "make bpf-dev prints other commands than it did" "see $SCRIPTS/bpf-dev.sh"
cd "$folder"
bash -ex commands | tee out
grep -qx 'calls: 1' out && grep -q 'syscall  name start' out
