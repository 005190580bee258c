# SPDX-License-Identifier: GPL-2.0
"""What the console scanner must see, must not see, and where a report ends. The consoles are written for the tests."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import console as scanner  # noqa: E402

CUT = "------------[ cut here ]------------"
END = "---[ end trace 0000000000000000 ]---"
RULE = "=" * 66
WARNING = "WARNING: made/up.c:34 at made_up+0x12/0x40, CPU#1: probe/77"
OPCODE = "Oops: invalid opcode: 0000 [#1] SMP"
STACK = """CPU: 0 UID: 0 PID: 77 Comm: probe Not tainted 7.3.4 #1 PREEMPT
Call Trace:
 <IRQ>
 dump_stack_lvl+0x20/0x50
 </IRQ>
 <TASK>
 ? made_up_caller+0x1f/0x30
 </TASK>""".split("\n")

# How a report goes on after the line that names the fault, and what it begins with.
TRACED = [], STACK                                  # ends with its trace
MARKED = [], [*STACK, "Modules linked in: probe(O)", END]
CUT_OFF = [CUT], MARKED[1]
RULED = [RULE], ["Read of size 8 at addr ffff888001234567 by task probe/77", "", *STACK, "", "Freed by task 78:",
                 " kfree+0x10/0x20", "Memory state around the buggy address:", RULE]
LOCKS = [RULE[:29]], ["7.3.4 Not tainted", "-> #1 (b){+.+.}-{3:3}:", "       lock_acquire+0x10/0x20", *STACK]
ALONE = [], []                                      # ends with its only line

REPORTS = [(kind, line, *shape) for kind, line, shape in (
    ("panic", "Kernel panic - not syncing: made up reason",
     ([], [*STACK, "Kernel Offset: disabled", "---[ end Kernel panic - not syncing: made up reason ]---"])),
    ("oops", "BUG: kernel NULL pointer dereference, address: 0000000000000008", MARKED),
    ("oops", "BUG: unable to handle page fault for address: ffffc90000123000", MARKED),
    ("oops", "Oops: int3: 0000 [#1] SMP", MARKED),
    ("oops", "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP", MARKED),
    ("oops", "Unable to handle kernel paging request at virtual address dead000000000100",     # arm64
     ([], ["Mem abort info:", "Internal error: Oops: 0000000096000004 [#1]  SMP", "Call trace:", " a+0x1/0x2", END])),
    ("cfi", "CFI failure at made_up+0x12/0x40 (target: down+0x0/0x20; expected type: 0x12345678)", MARKED),
    ("BUG", "kernel BUG at made/up.c:12!", ([CUT], [OPCODE, *MARKED[1]])),
    ("BUG", "kernel BUG at rust/helpers/bug.c:7!", CUT_OFF),
    ("BUG", "BUG: Bad page state in process probe  pfn:01234", TRACED),
    ("warn", WARNING, CUT_OFF),
    ("warn", WARNING, ([CUT, "this should never be seen"], MARKED[1])),
    ("warn", "WARNING: CPU: 0 PID: 77 at made/up.c:34 made_up+0x12/0x40", CUT_OFF),     # older kernels
    ("odebug", "ODEBUG: free active (active state 0) object: 0000000012345678 object type: hrtimer",
     ([CUT, WARNING], MARKED[1])),
    ("refcount", "refcount_t: underflow; use-after-free.", ([CUT], [WARNING, *MARKED[1]])),
    ("list", "list_add corruption. next->prev should be prev (ffff1), but was ffff2.", ([CUT], [WARNING, *MARKED[1]])),
    ("list", "list_del corruption, ffff1->next is LIST_POISON1 (dead000000000100)",
     ([CUT], ["kernel BUG at lib/list_debug.c:56!", OPCODE, *MARKED[1]])),
    ("ubsan", "UBSAN: array-index-out-of-bounds in made/up.c:5:9", CUT_OFF),
    ("kasan", "BUG: KASAN: slab-use-after-free in made_up+0x10/0x20", RULED),
    ("kcsan", "BUG: KCSAN: data-race in made_up / made_down", RULED),
    ("kfence", "BUG: KFENCE: use-after-free read in made_up+0x10/0x20", RULED),
    ("kmsan", "BUG: KMSAN: uninit-value in made_up+0x10/0x20", RULED),
    ("lockdep", "WARNING: possible circular locking dependency detected", LOCKS),
    ("lockdep", "WARNING: possible recursive locking detected", LOCKS),
    ("lockdep", "WARNING: inconsistent lock state", LOCKS),
    ("lockdep", "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", LOCKS),
    ("lockdep", "[ BUG: Invalid wait context ]", LOCKS),
    ("lockdep", "BUG: MAX_LOCKDEP_CHAINS too low!", TRACED),
    ("rcu usage", "WARNING: suspicious RCU usage", LOCKS),
    ("rcu stall", "rcu: INFO: rcu_preempt self-detected stall on CPU", TRACED),
    ("rcu stall", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", TRACED),
    ("rcu stall", "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 1", TRACED),
    ("rcu stall", "INFO: rcu_tasks detected stalls on tasks:", TRACED),
    ("soft lockup", "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [probe:77]", TRACED),
    ("hard lockup", "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0", TRACED),
    ("hung task", "INFO: task probe:77 blocked for more than 120 seconds.", TRACED),
    ("workqueue lockup", "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!",
     ([], ["Showing busy workqueues and worker pools:", "workqueue events: flags=0x0"])),
    ("atomic", "BUG: scheduling while atomic: probe/77/0x00000002", TRACED),
    ("atomic", "BUG: sleeping function called from invalid context at made/up.c:7", TRACED),
    ("atomic", "BUG: using smp_processor_id() in preemptible [00000000] code: probe/77", TRACED),
    ("slab", "BUG kmalloc-192 (Not tainted): Poison overwritten", LOCKS),
    ("slab", "BUG kmalloc-64 (Tainted: [B]=BAD_PAGE): Object already free", LOCKS),
    ("slab", "BUG probe_cache (Not tainted): Objects remaining on __kmem_cache_shutdown()", LOCKS),
    ("kmemleak", "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", ALONE),
    ("rust panic", "rust_kernel: panicked at rust/kernel/made_up.rs:5:9:", ([], ["made up message"])),
)]

HEALTHY = ["Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible!",
           "clocksource: Watchdog remote CPU 1 read timed out",
           'virtme-ng-init: WARNING: failed to run: "udevadm" settle (error: Permission denied)',
           "kmemleak: Kernel memory leak detector initialized (mem pool available: 15762)",
           "kmemleak: Automatic memory scanning thread started",
           "ODEBUG: selftest passed",
           "ODEBUG: 14 of 14 active objects replaced",
           "INFO: NMI handler (made_up) took too long to run: 1.234 msecs",
           "INFO: lockdep is turned off.",
           "perf: interrupt took too long (2500 > 2487), lowering kernel.perf_event_max_sample_rate to 79000",
           "Disabling lock debugging due to kernel taint",
           *STACK,
           "sysrq: Show backtrace of all active CPUs", "NMI backtrace for cpu 0", *STACK,
           "sysrq: Show State", "task:kworker/0:1     state:I stack:0     pid:10    tgid:10    ppid:2", *STACK,
           "Showing busy workqueues and worker pools:",
           "workqueue: work func made_up enqueued on deprecated workqueue. Use system_{percpu|dfl}_wq instead.",
           "workqueue: made_up hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
           "WARNING: can't access registers at asm_sysvec_call_function+0x1a/0x20",
           RULE, "nothing to see", RULE,
           "probe: the text BUG: unable to handle page fault is only quoted here",
           "reboot: Power down"]


def stamped(lines, start, caller=""):
    """As the serial console shows it: time stamps and carriage returns."""
    return "".join(f"[{start + i / 1e4:12.6f}]{caller} {line}\r\n" for i, line in enumerate(lines))


class Reports(unittest.TestCase):
    def test_each(self):
        for caller in ("", "[    T77]"):
            for kind, line, before, after in REPORTS:
                body = [*before, line, *after]
                # What has neither trace nor end mark ends with a silence.
                rest = stamped([" another line", *HEALTHY], 20.5 if len(after) > 2 or not after else 40, caller)
                # In the middle of a console, and where the console ends in the report.
                for lines, rest in ((body, rest), (body[:len(before) + 1], "")):
                    text = stamped(HEALTHY, 0, caller) + stamped(lines, 20, caller) + rest
                    found = scanner.find_reports(text)
                    self.assertEqual([report[:2] for report in found], [(kind, line)])
                    self.assertEqual(found[0].text + "\n", stamped(lines, 20, caller).replace("\r", ""))

    def test_every_kind_is_here(self):
        self.assertEqual({kind for kind, _ in scanner.HEADS}, {kind for kind, *_ in REPORTS})

    def test_healthy(self):
        for text in (stamped(HEALTHY, 0), "\n".join(HEALTHY)):
            self.assertEqual(scanner.find_reports(text), [])

    def test_where_one_ends(self):
        warning, null = [CUT, WARNING], "BUG: kernel NULL pointer dereference, address: 0"
        for lines, kinds in (
                ([*warning, *MARKED[1], RULE, "BUG: KASAN: a", *RULED[1]], ["warn", "kasan"]),
                ([null, END, "Kernel panic - not syncing: a"], ["oops", "panic"]),
                ([null, "Kernel panic - not syncing: in the middle"], ["oops", "panic"]),
                ([*warning, "Kernel panic - not syncing: a"], ["warn", "panic"]),
                ([*warning, *warning], ["warn", "warn"]),
                ([*warning, *["more"] * 20, RULE, "BUG: KASAN: a", RULE], ["warn", "kasan"]),
                (["BUG: scheduling while atomic: a/1/0x2", *STACK, "BUG: Bad page map"], ["atomic", "BUG"]),
                (["BUG: scheduling while atomic: a/1/0x2", "Call trace:", " a+0x1/0x2", "BUG: Bad page map"],
                 ["atomic", "BUG"]),
                ([CUT, "a text of nobody", CUT, "refcount_t: a"], ["warn", "refcount"]),
                ([CUT, "a text of nobody"], ["warn"]), ([CUT], ["warn"]), (["\ufffd\x00\x1b[0m", CUT, ""], ["warn"])):
            for text in (stamped(lines, 1), "\n".join(lines)):
                self.assertEqual([report.kind for report in scanner.find_reports(text)], kinds)

    def test_one_without_end_is_cut(self):
        report, = scanner.find_reports(stamped([CUT, WARNING] + ["more"] * 5000, 1))
        self.assertLess(report.text.count("\n"), 500)


if __name__ == "__main__":
    unittest.main()
