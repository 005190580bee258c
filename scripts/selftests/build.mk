# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own BPF selftests, only those chosen, for one kernel.
#
# The selftests' own Makefile builds a thousand programs and everything they
# need. This one compiles a runner (test_progs) with the chosen tests only, out
# of the same sources, in a few seconds. Nothing is written outside OUT and
# TOOLDIR. selftests/build.py calls it, with these in the environment (the
# command line has what the kernel's own make needs, LLVM=-22 and the like, and
# hands it on to every make below):
#
# SRC      kernel source tree
# KERNEL   its build folder, with a vmlinux that has BTF
# OUT      where to build
# TOOLDIR  bpftool and libbpf, shared by the kernels of one version
# TESTS    names of files in prog_tests/, without .c
# OWN      a second folder of that form: all tests in it are built, none is chosen
# ROOT     root file system of the guest, where ARCH is not this machine's

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all tools FORCE

LLVM    ?= 1
CLANG   := clang$(filter -%,$(LLVM))
SELF    := $(SRC)/tools/testing/selftests/bpf
BPFTOOL := $(TOOLDIR)/bpftool
HOSTLIB := $(TOOLDIR)/libbpf/libbpf.a
LIBBPF  := $(HOSTLIB)
CC      := $(CLANG)
ifeq ($(ARCH),arm64)
CC      := $(CLANG) --target=aarch64-linux-gnu --sysroot=$(ROOT)
LIBBPF  := $(TOOLDIR)/libbpf-$(ARCH)/libbpf.a
LINKER  := -fuse-ld=lld
endif

# A test of its own is a file of prog_tests/. verifier_async_cb_context is one
# line of verifier.c there, which wants all verifier programs: it gets a
# wrapper (below).
WRAPPED := $(filter verifier_async_cb_context,$(TESTS))
PLAIN   := $(filter-out $(WRAPPED),$(TESTS))
OWN_C   := $(wildcard $(OWN)/prog_tests/*.c)
TEST_C  := $(PLAIN:%=$(SELF)/prog_tests/%.c) $(OWN_C)
PROGS   := $(WRAPPED) $(sort $(shell sed -n 's/^\#include "\(.*\)\.skel\.h".*/\1/p' \
	$(TEST_C) $(wildcard $(OWN)/prog_tests/*.h)))
HELPERS := $(notdir $(basename $(wildcard $(addprefix $(SELF)/,$(addsuffix .c, \
	test_progs testing_helpers cgroup_helpers network_helpers trace_helpers \
	test_loader cap_helpers unpriv_helpers sysctl_helpers netlink_helpers \
	btf_helpers jit_disasm_helpers io_helpers disasm disasm_helpers \
	json_writer)))))

KMODS   := $(OUT)/bpf_testmod.ko $(patsubst $(OWN)/test_kmods/%.c,$(OUT)/%.ko,$(wildcard $(OWN)/test_kmods/*.c))

SKELS := $(PROGS:%=$(OUT)/%.skel.h)
OBJS  := $(patsubst %.c,$(OUT)/%.test.o,$(notdir $(TEST_C))) $(WRAPPED:%=$(OUT)/%.wrap.o) \
	 $(HELPERS:%=$(OUT)/%.o) $(OUT)/find_bit.o
GEN   := $(OUT)/prog_tests/tests.h $(OUT)/verification_cert.h

all: $(OUT)/test_progs $(KMODS)
tools: $(BPFTOOL)

# --- bpftool and libbpf, once per kernel version ---------------------------
# No skeletons in it: they need a vmlinux, and only decorate its listings.
$(BPFTOOL): $(wildcard $(addprefix $(SRC)/tools/,lib/bpf/*.[ch] lib/bpf/Makefile \
		bpf/bpftool/*.[ch] bpf/bpftool/Makefile))
	@echo "tools: libbpf and bpftool"
	@mkdir -p $(TOOLDIR)
	+@$(MAKE) -s -C $(SRC)/tools/bpf/bpftool OUTPUT=$(TOOLDIR)/ \
		SKIP_LLVM=1 SKIP_LIBBFD=1 SKIP_CRYPTO=1 VMLINUX_BTF= VMLINUX_H= \
		feature_display=0 ARCH=x86 $@
	@touch $@ $(HOSTLIB)
$(HOSTLIB): $(BPFTOOL) ;
$(TOOLDIR)/libbpf-arm64/libbpf.a: $(HOSTLIB)
	@echo "tools: libbpf of arm64"
	@mkdir -p $(@D)
	+@$(MAKE) -s -C $(SRC)/tools/lib/bpf OUTPUT=$(@D)/ CC="$(CC)" $@

# --- what a rebuild depends on besides files -------------------------------
CFLAGS := -g -O2 -std=gnu11 -rdynamic -fno-omit-frame-pointer -D_GNU_SOURCE \
	-DHAVE_GENHDR -I$(OUT) -I$(SELF) -I$(SELF)/libarena/include \
	-I$(TOOLDIR)/libbpf/include -I$(KERNEL)/include/generated -I$(SRC)/tools/lib \
	-I$(SRC)/tools/include -I$(SRC)/tools/arch/$(ARCH)/include \
	-I$(SRC)/tools/include/uapi
# The machine's own headers last, for what --target=bpf does not find.
SYSINC := $(shell $(CC) -v -E -x c /dev/null 2>&1 | \
	sed -n '/<\.\.\.> search starts here:/,/End of search list/s/^ \(\/.*\)/-idirafter \1/p')
BPFFLAGS := -g -O2 --target=bpfel -mcpu=v3 -std=gnu11 -fno-strict-aliasing \
	-fms-extensions -D__TARGET_ARCH_$(ARCH) -I$(OUT) -I$(SELF) \
	-I$(SELF)/libarena/include -I$(TOOLDIR)/libbpf/include \
	-I$(SRC)/tools/include/uapi -I$(SRC)/tools/include $(SYSINC)
# The kernel's own code is taken as it is, ours has to be without warning there and here.
QUIET  := -w
STRICT := -Wall -Werror -Wno-unused-but-set-variable \
	-Wno-unused-command-line-argument -I$(OWN)
STRICT_BPF := -Wall -Werror -Wno-microsoft-anon-tag -Wno-compare-distinct-pointer-types
CONFIG_LINE := $(shell $(CLANG) --version | head -n1) | $(TESTS) $(OWN_C) | $(CFLAGS) $(STRICT) | $(BPFFLAGS) $(STRICT_BPF)

$(OUT)/config: FORCE
	@mkdir -p $(OUT)/prog_tests
	@printf '%s\n' '$(CONFIG_LINE)' > $@.tmp
	@cmp -s $@.tmp $@ || { rm -f $(OUT)/*.d && mv $@.tmp $@; }
FORCE:

# --- generated headers ------------------------------------------------------
# vmlinux.h keeps its time stamp when a new vmlinux has the same types.
$(OUT)/vmlinux.stamp: $(KERNEL)/vmlinux $(BPFTOOL) $(OUT)/config
	@echo "gen: vmlinux.h"
	@$(BPFTOOL) btf dump file $< format c > $(OUT)/vmlinux.h.tmp
	@cmp -s $(OUT)/vmlinux.h.tmp $(OUT)/vmlinux.h || \
		mv $(OUT)/vmlinux.h.tmp $(OUT)/vmlinux.h
	@touch $@
$(OUT)/vmlinux.h: $(OUT)/vmlinux.stamp ;

$(OUT)/prog_tests/tests.h: $(TEST_C) $(OUT)/config
	@sed -n -E 's/^void (serial_)?test_([a-zA-Z0-9_]+)\((void)?\).*/DEFINE_TEST(\2)/p' \
		$(TEST_C) /dev/null > $@.tmp
	@for name in $(WRAPPED); do echo "DEFINE_TEST($$name)"; done >> $@.tmp
	@LC_ALL=C sort -o $@ $@.tmp

# test_progs ends at once when it cannot add this key to its session.
$(OUT)/verification_cert.h: $(OUT)/config
	@echo "gen: a key for test_progs"
	@openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 36500 \
		-subj '/CN=selftests' -outform DER -out $(OUT)/key.der \
		-keyout $(OUT)/key.pem 2> $(OUT)/key.log || \
		{ cat $(OUT)/key.log >&2; exit 1; }
	@{ echo 'unsigned char test_progs_verification_cert[] = {'; \
	   od -An -v -tx1 $(OUT)/key.der | sed 's/ \(..\)/0x\1,/g'; \
	   echo '};'; \
	   echo 'unsigned int test_progs_verification_cert_len ='; \
	   echo '	sizeof(test_progs_verification_cert);'; } > $@

# --- BPF programs and their skeletons ---------------------------------------
$(OUT)/%.bpf.o: $(SELF)/progs/%.c $(OUT)/vmlinux.h $(LIBBPF) $(OUT)/config
	@echo "bpf: $*"
	@$(CLANG) $(BPFFLAGS) $(QUIET) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(OUT)/%.bpf.o: $(OWN)/progs/%.c $(OUT)/vmlinux.h $(LIBBPF) $(OUT)/config
	@echo "bpf: $*"
	@$(CLANG) $(BPFFLAGS) $(STRICT_BPF) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(OUT)/%.skel.h: $(OUT)/%.bpf.o $(BPFTOOL)
	@$(BPFTOOL) gen object $(OUT)/$*.linked.o $<
	@$(BPFTOOL) gen skeleton $(OUT)/$*.linked.o name $* > $@

# --- the runner ----------------------------------------------------------------
$(OUT)/%.test.o: $(SELF)/prog_tests/%.c $(OUT)/config $(LIBBPF) | $(SKELS) $(GEN)
	@echo "test: $*"
	@$(CC) $(CFLAGS) $(QUIET) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(OUT)/%.test.o: $(OWN)/prog_tests/%.c $(OUT)/config $(LIBBPF) | $(SKELS) $(GEN)
	@echo "test: $*"
	@$(CC) $(CFLAGS) $(STRICT) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(OUT)/%.wrap.o: $(OUT)/config $(LIBBPF) $(OUT)/%.skel.h | $(GEN)
	@echo "test: $*"
	@printf '%s\n' '#include <test_progs.h>' '#include "$*.skel.h"' \
		'void test_$*(void) { RUN_TESTS($*); }' > $(OUT)/$*.wrap.c
	@$(CC) $(CFLAGS) $(QUIET) -c $(OUT)/$*.wrap.c -o $@

$(OUT)/find_bit.o: $(SRC)/tools/lib/find_bit.c $(OUT)/config
	@$(CC) $(CFLAGS) $(QUIET) -c $< -o $@

$(OUT)/%.o: $(SELF)/%.c $(OUT)/config $(LIBBPF) | $(GEN)
	@echo "helper: $*"
	@$(CC) $(CFLAGS) $(QUIET) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(OUT)/test_progs: $(OBJS) $(LIBBPF)
	@echo "link: test_progs"
	@$(CC) $(LINKER) -g -rdynamic -o $@.tmp $(OBJS) $(LIBBPF) -lelf -lz -lrt -lpthread \
		$(shell grep -q '^feature-libelf-zstd=1' $(TOOLDIR)/FEATURE-DUMP.bpftool \
			2>/dev/null && echo -lzstd)
	@mv $@.tmp $@

# --- modules: bpf_testmod is for wq, wq_failures and struct_ops_assoc ----------
$(KMODS): $(OUT)/%.ko: $(wildcard $(SELF)/test_kmods/bpf_testmod*.[ch] $(OWN)/test_kmods/*.[ch]) \
		$(KERNEL)/vmlinux $(OUT)/config
	@echo "module: $*"
	@rm -rf $(OUT)/kmod-$* && mkdir -p $(OUT)/kmod-$* && cp $(filter %.c %.h,$^) $(OUT)/kmod-$*/
	@printf '%s\n' 'obj-m := $*.o' 'ccflags-y := -I$$(src)' > $(OUT)/kmod-$*/Makefile
	+@$(MAKE) -s -C $(KERNEL) M=$(OUT)/kmod-$* modules
	@cp $(OUT)/kmod-$*/$*.ko $@.tmp && mv $@.tmp $@

# With another configuration line all of it is compiled again, and what it depended on
# may have been in another clone.
ifeq ($(strip $(file < $(OUT)/config)),$(strip $(CONFIG_LINE)))
-include $(wildcard $(OUT)/*.d)
endif
