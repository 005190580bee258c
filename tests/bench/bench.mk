# SPDX-License-Identifier: GPL-2.0
#
# make -f tests/bench/bench.mk KBUILD=<kernel build folder> OUT=<folder> TOOLS=<folder> [ROOT=<folder>]
#
# Builds $(OUT)/bpf_async_bench and $(OUT)/bpf_async_bench.ko for that kernel.
# libbpf and bpftool come from the kernel's own source; TOOLS keeps them for
# every kernel of that version. Nothing is written to the source or here. With ARCH=arm64
# in the environment ROOT is that machine's root file system, which the program is linked for.

HERE	:= $(dir $(realpath $(firstword $(MAKEFILE_LIST))))
SRC	:= $(realpath $(KBUILD)/source)
ifeq ($(SRC),)
SRC	:= $(realpath $(KBUILD))
endif
ifeq ($(wildcard $(KBUILD)/vmlinux),)
$(error $(KBUILD) holds no vmlinux: build the kernel first)
endif
ifeq ($(OUT),)
$(error OUT= is missing: the folder for what is built)
endif
ifeq ($(TOOLS),)
$(error TOOLS= is missing: the folder for libbpf and bpftool)
endif

CLANG	?= clang
KMAKE	?= $(MAKE)
BPFTOOL	:= $(TOOLS)/bpftool/bootstrap/bpftool
HOSTLIB	:= $(TOOLS)/libbpf/libbpf.a
LIBBPF	:= $(HOSTLIB)
CC	:= $(CLANG)
BPFARCH	:= x86
ifeq ($(ARCH),arm64)
BPFARCH	:= arm64
CC	:= $(CLANG) --target=aarch64-linux-gnu --sysroot=$(ROOT)
LIBBPF	:= $(TOOLS)/libbpf-arm64/libbpf.a
LINKER	:= -fuse-ld=lld
endif
COMMON	:= $(HERE)../selftests/bpf/progs/async_common.h
HEADERS	:= $(wildcard $(HERE)*.h) $(COMMON)
PROGS	:= $(patsubst $(HERE)%.bpf.c,%,$(wildcard $(HERE)*.bpf.c))
SKELS	:= $(PROGS:%=$(OUT)/%.skel.h)
OBJS	:= $(patsubst $(HERE)%.c,$(OUT)/%.o,$(filter-out %.bpf.c,$(wildcard $(HERE)*.c)))

all: $(OUT)/bpf_async_bench $(OUT)/bpf_async_bench.ko

# One build at a time: other users of the same folder wait. bpftool builds a
# libbpf of its own inside its folder.
$(HOSTLIB) $(BPFTOOL) &:
	mkdir -p $(TOOLS)/libbpf $(TOOLS)/bpftool $(TOOLS)/include
	flock $(TOOLS)/lock env -u ARCH sh -ec ' \
	  test -x $(BPFTOOL) -a -f $(HOSTLIB) && exit; \
	  $(MAKE) -s -C $(SRC)/tools/lib/bpf OUTPUT=$(TOOLS)/libbpf/ \
	    DESTDIR=$(TOOLS) prefix= CC=$(CLANG) install_headers $(TOOLS)/libbpf/libbpf.a; \
	  $(MAKE) -s -C $(SRC)/tools/bpf/bpftool OUTPUT=$(TOOLS)/bpftool/ \
	    CC=$(CLANG) HOSTCC=$(CLANG) bootstrap'

$(TOOLS)/libbpf-arm64/libbpf.a: $(HOSTLIB)
	mkdir -p $(@D)
	flock $(TOOLS)/lock $(MAKE) -s -C $(SRC)/tools/lib/bpf OUTPUT=$(@D)/ CC="$(CC)" \
	  LD=$(CLANG:clang%=ld.lld%) AR=$(CLANG:clang%=llvm-ar%) $@

$(OUT)/vmlinux.h: $(KBUILD)/vmlinux | $(BPFTOOL)
	mkdir -p $(OUT)
	$(BPFTOOL) btf dump file $< format c >$@.tmp
	mv $@.tmp $@

$(OUT)/%.bpf.o: $(HERE)%.bpf.c $(OUT)/vmlinux.h $(HEADERS)
	$(CLANG) -target bpfel -mcpu=v3 -O2 -g -Wall -fms-extensions -Wno-microsoft-anon-tag \
	  -D__TARGET_ARCH_$(BPFARCH) -I$(OUT) -I$(HERE) -I$(TOOLS)/include -c $< -o $@

$(OUT)/%.skel.h: $(OUT)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf >$@.tmp
	mv $@.tmp $@

$(OUT)/%.o: $(HERE)%.c $(SKELS) $(HEADERS)
	$(CC) -O2 -g -Wall -D_GNU_SOURCE -I$(OUT) -I$(HERE) -I$(TOOLS)/include -c $< -o $@

$(OUT)/bpf_async_bench: $(OBJS) $(LIBBPF)
	$(CC) $(LINKER) $(OBJS) $(LIBBPF) -lelf -lz -lpthread -o $@

$(OUT)/bpf_async_bench.ko: $(HERE)kmod/bpf_async_bench.c $(HERE)kmod/Kbuild $(KBUILD)/vmlinux
	mkdir -p $(OUT)/kmod
	+$(KMAKE) -s -C $(KBUILD) M=$(HERE)kmod MO=$(OUT)/kmod modules
	cp $(OUT)/kmod/bpf_async_bench.ko $@.tmp
	mv $@.tmp $@

.PHONY: all
.SECONDARY:
.DELETE_ON_ERROR:
