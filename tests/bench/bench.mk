# SPDX-License-Identifier: GPL-2.0
#
# make -f tests/bench/bench.mk KBUILD=<kernel build folder> OUT=<folder> TOOLS=<folder>
#
# Builds $(OUT)/bpf_async_bench and $(OUT)/bpf_async_bench.ko for that kernel.
# How programs, skeletons and objects are made is what regress.mk says: its
# rules take their sources from the folder of the first makefile, which is this.

all-bench:

include $(dir $(realpath $(firstword $(MAKEFILE_LIST))))../bpf/regress.mk

all-bench: $(OUT)/bpf_async_bench $(OUT)/bpf_async_bench.ko

$(OUT)/bench.bpf.o $(OBJS): $(wildcard $(HERE)../bpf/*.h) $(HERE)../bpf/util.c

$(OUT)/bpf_async_bench: $(OBJS) $(LIBBPF)
	$(CC) $(LINKER) $(OBJS) $(LIBBPF) -lelf -lz -lpthread -o $@

$(OUT)/bpf_async_bench.ko: $(HERE)kmod/bpf_async_bench.c $(HERE)kmod/Kbuild $(KBUILD)/vmlinux
	mkdir -p $(OUT)/kmod
	+$(KMAKE) -s -C $(KBUILD) M=$(HERE)kmod MO=$(OUT)/kmod modules
	cp $(OUT)/kmod/bpf_async_bench.ko $@.tmp
	mv $@.tmp $@

.PHONY: all-bench
