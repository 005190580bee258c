# SPDX-License-Identifier: GPL-2.0
"""Which of the kernel's own selftests concern timers and work queues, and what is known of ours."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

# Files of tools/testing/selftests/bpf/prog_tests (verifier_async_cb_context
# is one line of verifier.c there; build.mk wraps it).
FILES = (
    "timer", "timer_crash", "timer_lockup", "timer_mim", "timer_start_deadlock",
    "timer_start_delete_race", "wq", "free_timer", "rhash_timer",
    "async_stack_depth", "verifier_async_cb_context", "test_struct_ops_assoc",
    "ksock_wq",
)
# Only these subtests of a test are ours.
SUBTESTS = {"struct_ops_assoc": "st_ops_assoc_in_timer*"}

LIMIT = 60                # seconds for one test
LIMITS = {"timer_stress": 120, "timer_stress_async_cancel": 120}
SLOW_FACTOR = 4           # a kernel that checks what it does is that much slower

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
NEEDS_PMU = re.compile(r"timer_stress_nmi_")
NEEDS_CPUS = ("timer_lockup",)

# What C does not have on a kernel of this flavor, by the words of a test that fails for it.
C_LACKS = {
    "rt": ("bpf_timer cannot be used for PREEMPT_RT", "C refuses bpf_timer on PREEMPT_RT"),
    "up": (r"FAIL:.*-12\b", "C needs memory for what is called in NMI, which has none without SMP"),
}

SAMPLE = "rust_bpf_async.ko"

# Ours: one may wait for as many turns as its host has in minutes, and is only ended when it hangs.
OWN = Path(__file__).resolve().parents[2] / "tests/selftests"
OWN_LIMIT = 1800


@dataclass(frozen=True)
class Test:
    name: str             # as test_progs calls it
    filter: str           # its argument -a
    limit: int            # seconds
    attempts: int = 1
    again: str = "-"      # the result after which it is run again: SKIP or FAIL
    needs: str = "-"      # what the machine must have: pmu, or nothing
    own: bool = False     # of this repository: says what it does while it does it
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
        return "\t".join((self.name, self.filter, str(self.limit), str(self.attempts), self.again,
                          self.needs, "own" if self.own else "-"))

    def machine(self):
        """What its boot is like: tests of the same can share one."""
        return self.append, self.one_thread, self.cpus


def groups(tests, impl):
    """The tests of each boot. What may crash the C kernel crashes the Rust
    kernel only by mistake, and then the next boot goes on with the next test.
    A limit that both have is shown in a boot of its own on both."""
    found = {}
    for test in tests:
        alone = test.name if test.known or (test.own_boot and impl == "c") else ""
        found.setdefault((alone, *test.machine()), []).append(test)
    return list(found.values())


def own(slow=False, folder=OWN):
    """The tests of this repository, in the order of the table that says what is known of them."""
    with open(folder / "cases.toml", "rb") as file:
        table = tomllib.load(file)
    return [Test(name=name, filter=name, own=True, limit=OWN_LIMIT * (SLOW_FACTOR if slow else 1),
                 **{key: tuple(value) if isinstance(value, list) else value for key, value in case.items()})
            for name, case in table.items()]


def defined(folder=OWN):
    """The tests that are in the sources of this repository."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((folder / "bpf/prog_tests").glob("*.c")))
    return re.findall(r"^void (?:serial_)?test_(\w+)\((?:void)?\)", text, re.M)


def files(tree):
    """(files to build, {name: why it is left out}) for a kernel tree."""
    folder = Path(tree) / "tools/testing/selftests/bpf"
    have, absent = [], {}
    for name in FILES:
        path = folder / f"prog_tests/{name}.c"
        if name == "verifier_async_cb_context":
            path = folder / f"progs/{name}.c"
        if path.is_file():
            have.append(name)
        else:
            absent[name] = "not among the selftests of this kernel version"
    return have, absent


def tests(header, slow=False):
    """What the generated prog_tests/tests.h defines and is the kernel's, as Test objects."""
    factor = SLOW_FACTOR if slow else 1
    found, ours = [], defined()
    for name in re.findall(r"^DEFINE_TEST\((\w+)\)$", header, re.M):
        if name in ours:
            continue
        found.append(Test(
            name=name,
            filter=f"{name}/{SUBTESTS[name]}" if name in SUBTESTS else name,
            limit=LIMITS.get(name, LIMIT) * factor,
            attempts=ATTEMPTS.get(name, (1, "-"))[0],
            again=ATTEMPTS.get(name, (1, "-"))[1],
            needs="pmu" if NEEDS_PMU.match(name) else "-"))
    return found
