#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# into-tree.sh TREE: our selftests into those of a kernel tree, where its own
# Makefile then builds them with all others. Files are copied as they are; the
# module's name goes into the two lists that have the modules' names.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../tests/selftests/bpf" && pwd -P)
bpf=${1:?into-tree.sh TREE: which tree?}/tools/testing/selftests/bpf
[ -f "$bpf/test_progs.h" ] || { echo "error: $bpf has no test_progs.h; name the top directory of a kernel" >&2; exit 1; }

for file in "$here"/*/*; do
	name=${file#"$here/"}
	[ ! -e "$bpf/$name" ] || cmp -s "$file" "$bpf/$name" ||
		{ echo "error: $bpf/$name is there and another; take it away first" >&2; exit 1; }
done
cp -r "$here"/{prog_tests,progs,test_kmods} "$bpf/"
# The list begins so in either file, and is continued in further lines.
sed -i '/bpf_async_test/!s/^\(TEST_KMODS := \|MODULES = \)bpf_testmod\.ko/& bpf_async_test.ko/' \
	"$bpf/Makefile" "$bpf/test_kmods/Makefile"
for list in "$bpf"/{,test_kmods/}Makefile; do
	grep -q 'bpf_async_test\.ko' "$list" ||
		{ echo "error: $list has no list of modules of the known form; add bpf_async_test.ko by hand" >&2; exit 1; }
done
