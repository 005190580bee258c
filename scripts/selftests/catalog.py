# SPDX-License-Identifier: GPL-2.0
"""Which of the kernel's own selftests concern timers and work queues."""

import re
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
# and both stay to be seen. A kernel's report or a time limit is final.
ATTEMPTS = {"timer_lockup": (10, "SKIP")}
ATTEMPTS |= dict.fromkeys(("timer", "timer_mim", "timer_async_cancel", "timer_interrupt", "wq"),
                          (3, "FAIL"))
NEEDS_PMU = re.compile(r"timer_stress_nmi_")

SAMPLE = "rust_bpf_async.ko"


@dataclass(frozen=True)
class Test:
    name: str             # as test_progs calls it
    filter: str           # its argument -a
    limit: int            # seconds
    attempts: int = 1
    again: str = "-"      # the result after which it is run again: SKIP or FAIL
    needs: str = "-"      # what the machine must have: pmu, or nothing

    def line(self):
        """The line of guest.sh's plan."""
        return "\t".join((self.name, self.filter, str(self.limit),
                          str(self.attempts), self.again, self.needs))


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
    """What the generated prog_tests/tests.h defines, as Test objects."""
    factor = SLOW_FACTOR if slow else 1
    found = []
    for name in re.findall(r"^DEFINE_TEST\((\w+)\)$", header, re.M):
        found.append(Test(
            name=name,
            filter=f"{name}/{SUBTESTS[name]}" if name in SUBTESTS else name,
            limit=LIMITS.get(name, LIMIT) * factor,
            attempts=ATTEMPTS.get(name, (1, "-"))[0],
            again=ATTEMPTS.get(name, (1, "-"))[1],
            needs="pmu" if NEEDS_PMU.match(name) else "-"))
    return found
