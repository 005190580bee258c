# SPDX-License-Identifier: GPL-2.0
"""Which of the kernel's own selftests concern timers and work queues, and what is known of ours."""

import re
import tomllib
from dataclasses import dataclass

from kernels import ROOT

# Files of tools/testing/selftests/bpf/prog_tests (verifier_async_cb_context
# is one line of verifier.c there; build.mk wraps it).
WRAPPED = "verifier_async_cb_context"
FILES = (
    "timer", "timer_crash", "timer_lockup", "timer_mim", "timer_start_deadlock",
    "timer_start_delete_race", "wq", "free_timer", "rhash_timer",
    "async_stack_depth", WRAPPED, "test_struct_ops_assoc", "ksock_wq",
)
# Only these subtests of a test are ours.
SUBTESTS = {"struct_ops_assoc": "st_ops_assoc_in_timer*"}

LIMIT = 60                # seconds for one test
LIMITS = {"timer_stress": 120, "timer_stress_async_cancel": 120}

# Tests that decide by chance: how often they are run at most, and the result
# that is no decision. timer_lockup gives up when the race it needs has not
# happened in some fifty thousand rounds, about twice in ten runs. The others
# look for a callback's effect after a fixed few microseconds, which an
# emulated CPU on a busy host may have spent waiting; a failure is run again,
# and both stay to be seen. rhash_timer needs memory that is used again after a
# grace period, and with one CPU it does not wait for one. A kernel's report or a
# time limit is final.
ATTEMPTS = {"timer_lockup": (10, "SKIP")}
ATTEMPTS |= dict.fromkeys(("timer", "timer_mim", "timer_async_cancel", "timer_interrupt", "rhash_timer", "wq"),
                          (3, "FAIL"))
NEEDS_CPUS = ("timer_lockup",)

# What C does not have on a kernel of this flavor, by the words of a test that fails for it.
C_LACKS = {
    "rt": ("bpf_timer cannot be used for PREEMPT_RT", "C refuses bpf_timer on PREEMPT_RT"),
    "up": (r"FAIL:.*-12\b", "C needs memory for what is called in NMI, which has none without SMP"),
}

SAMPLE = "rust_bpf_async.ko"

# Ours: one may wait for as many turns as its host has in minutes, and is only ended when it hangs.
OWN = ROOT / "tests/selftests"
OWN_LIMIT = 1800


@dataclass(frozen=True)
class Test:
    name: str             # as test_progs calls it
    filter: str           # its argument -a, or the path of a module
    limit: int            # seconds
    attempts: int = 1
    again: str = "-"      # the result after which it is run again: SKIP or FAIL
    kind: str = "kernel"  # what guest.sh does with it; own: says what it does while it does it; module: is loaded
    # What cases.toml says of it.
    what: str = ""
    hazard: str = ""
    c_says: tuple = ()
    c_may_say: tuple = ()
    known: tuple = ()
    append: str = ""
    arch: str = ""
    cpus: int = 0
    own_boot: bool = False
    one_thread: bool = False
    seconds: int = 0

    def line(self):
        """The line of guest.sh's plan."""
        return f"{self.kind}\t{self.name}\t{self.filter}\t{self.limit}\t{self.attempts}\t{self.again}\n"


def own(slowness=1):
    """The tests of this repository, in the order of the table that says what is known of them."""
    table = tomllib.loads((OWN / "cases.toml").read_text(encoding="utf-8"))
    return [Test(name=name, filter=name, kind="own", limit=OWN_LIMIT * slowness,
                 **{key: tuple(value) if isinstance(value, list) else value for key, value in case.items()})
            for name, case in table.items()]


def files(tree):
    """(files to build, {name: why it is left out}) for a kernel tree."""
    folder = tree / "tools/testing/selftests/bpf"
    have = [name for name in FILES
            if (folder / ("progs" if name == WRAPPED else "prog_tests") / f"{name}.c").is_file()]
    return have, {name: "not among the selftests of this kernel version" for name in FILES if name not in have}


def upstream(header, kernel):
    """What the generated prog_tests/tests.h defines and is the kernel's, and with Rust its sample module."""
    ours = [test.name for test in own()]
    tests = [Test(name, f"{name}/{SUBTESTS[name]}" if name in SUBTESTS else name,
                  LIMITS.get(name, LIMIT) * kernel.slowness, *ATTEMPTS.get(name, ()))
             for name in re.findall(r"^DEFINE_TEST\((\w+)\)$", header, re.M) if name not in ours]
    if kernel.impl == "rust":
        tests.append(Test(SAMPLE, str(kernel.folder / "samples/rust" / SAMPLE), LIMIT * kernel.slowness, kind="module"))
    return tests
