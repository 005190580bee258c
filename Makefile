# SPDX-License-Identifier: GPL-2.0
#
# A thin front of scripts/: each target calls one script, which does the work
# and says what to do when it cannot. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

## IMPL=rust|c: which implementation the kernel has (default rust)
IMPL ?= rust
## FLAVOR=plain|debug|kcsan|rt|cfi|up: of the kernel; what each is stands in config/ (default plain)
FLAVOR ?= plain
## ARCH=x86_64|arm64: the machine; arm64 is cross-built and emulated (default x86_64)
ARCH ?= x86_64
## KSRC=/path/to/linux: your own tree instead; it is not modified
KSRC ?=
## CONFIG_EXTRA=file: options of your own, CONFIG_FOO=y in each line
CONFIG_EXTRA ?=
## CMD='…': the command that make vm runs in the guest
CMD ?=
## CPUS=n: of the virtual machine (default 2, make regress 4)
CPUS ?=
## APPEND='…': more of the guest kernel's command line
APPEND ?=
## CASE=name: the one test that make regress runs
CASE ?=
## ONLY='name ...': parts of make bench, matrix, test-all, or of make patches CHECK=1
ONLY ?=
## TIMEOUT=s: how long the guest of make vm may take (default 300); if given, a wait for another run too
TIMEOUT ?=
## SECONDS=s: how long make stress goes on (default 60)
SECONDS ?= 60
## SEED=n: of make stress, to repeat a load
SEED ?=
## BASE=/path/to/linux: the git tree that make patches is for, instead of Debian's source; it is not modified
BASE ?=
## CHECK=1: make patches also applies, checks and compiles each patch (or ONLY='n ...')
CHECK ?=
## SERIES=c-fixes: make patches makes the fixes of the C code in series/c-fixes; CHECK=1 boots a kernel of each
SERIES ?=

# To the scripts as they were typed: a $ in CMD is the guest's, not make's.
override CMD := $(value CMD)
override APPEND := $(value APPEND)
export IMPL FLAVOR ARCH KSRC CONFIG_EXTRA CMD CPUS APPEND CASE ONLY TIMEOUT BASE CHECK SERIES
# To bash it is something else.
unexport SECONDS

.PHONY: help setup doctor tree stats kernel vm shell bpf-dev run selftests check regress stress matrix litmus models kunit bench bench-check bench-diff machines readme patches docs clients test test-all

help: ## this list
	@echo 'bpf_timer and bpf_wq of Linux in Rust. Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14
	@echo 'Variables:'
	@sed -n 's/^## \([A-Z_]*=[^:]*\): \(.*\)/  \1\t\2/p' Makefile | expand -t 24
	@echo 'Everything that is built is kept in $${BPF_ASYNC_CACHE:-~/.cache/bpf-async}.'

setup: ## install what is missing (Debian 12 and 13), without questions
	@scripts/setup.sh

doctor: ## list every tool, found and needed version, and what to do
	@scripts/doctor.sh

tree: ## the kernel source with our files in it; prints its path
	@scripts/tree.sh

stats: ## sizes of the Rust code, C beside it
	@mkdir -p out && scripts/stats.py | tee out/stats.txt

kernel: ## build the kernel; prints the image's path
	@scripts/kernel.sh --always

vm: ## run CMD in the kernel, on this machine's root file system
	@scripts/target.sh vm

shell: ## an interactive shell in the kernel
	@scripts/target.sh shell

bpf-dev: ## what a BPF program of your own needs: vmlinux.h, libbpf, bpftool; prints where they are
	@scripts/bpf-dev.sh

run: ## the main job: both kernels, the kernel's own selftests, one table
	@scripts/target.sh run

selftests: ## the selftests again, on the kernels that are built
	@IMPL=$(if $(filter file,$(origin IMPL)),both,$(IMPL)) scripts/target.sh selftests

check: ## what can be checked without a kernel, in seconds
	@scripts/check.sh

regress: ## our own selftests, on the kernel of IMPL (or IMPL=both), or CASE=name alone
	@scripts/target.sh regress

stress: ## everything at random, from all contexts, for SECONDS, on the kernel of IMPL and FLAVOR
	@scripts/target.sh stress '$(SECONDS)' '$(SEED)'

matrix: ## compile our files in every configuration of config/matrix (or ONLY='name ...'), no warning
	@scripts/matrix.sh

litmus: ## the memory model's word on every ordering the code relies on
	@scripts/litmus.sh

models: ## every interleaving of the code, on this machine (loom)
	@scripts/host.sh

kunit: ## the KUnit suites and doctests of our modules
	@scripts/target.sh kunit

bench: ## measure everything, C beside Rust, with plots (or IMPL=rust, ONLY=part or operation)
	@IMPL=$(if $(filter file,$(origin IMPL)),both,$(IMPL)) scripts/target.sh bench

bench-check: ## compare the instruction counts with those that were committed
	@IMPL=rust scripts/target.sh bench --check

bench-diff: ## what changed between the last two runs of make bench
	@scripts/bench.py --diff

machines: ## one table of what ran on which machine and flavor, and what it gave
	@scripts/machines.py

readme: ## put what run, regress IMPL=both, test and bench printed into README.md and docs/
	@scripts/readme.py

docs: ## our document and our modules as HTML pages, as the kernel makes them; prints where they are
	@scripts/docs.sh

patches: ## the repository as a mail series for a kernel tree; prints the folder with the mails
	@scripts/patches.sh

clients: ## the kernel's sched_ext schedulers that use timers, under load, on both kernels (or IMPL=rust)
	@IMPL=$(if $(filter file,$(origin IMPL)),both,$(IMPL)) scripts/clients.sh

test: ## everything that must hold
	@scripts/test.sh

test-all: ## what make test leaves out: other machines and flavors, matrix, patches (or ONLY='arm64 rt ...')
	@scripts/test-all.sh
