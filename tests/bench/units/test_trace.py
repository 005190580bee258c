# SPDX-License-Identifier: GPL-2.0
"""What is made of a trace: samples, locked instructions, shared lines, allocations."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import load, trace  # noqa: E402
from bench.kernels import BenchError  # noqa: E402

B, E, S = trace.BEGIN, trace.END, trace.STORE
TEXT = 0xFFFFFFFF81000000
OBJECT = 0xFFFF888000200000
STACK = 0xFFFF888000100000


class FakeSymbols:
    """bpf_timer_start at +0, call_rcu at +0x100, _kmalloc_nolock_noprof at +0x200, __kmalloc_... at +0x300."""

    names = ("bpf_timer_start", "call_rcu", "_kmalloc_nolock_noprof", "__kmalloc_nolock_noprof")
    all = {"__per_cpu_start": TEXT + 0x10000, "__per_cpu_end": TEXT + 0x20000}

    def at(self, address):
        i = (address - TEXT) // 0x100
        return self.names[i], TEXT + i * 0x100


class Samples(unittest.TestCase):
    def test_windows(self):
        self.assertEqual([list(w) for w in trace.windows([B, 7, E, B, 8, S, 9, E])], [[7], [8, S, 9]])

    def test_an_address_that_looks_like_a_mark(self):
        self.assertEqual([list(w) for w in trace.windows([B, 7, S, E, S, B, E])], [[7, S, E, S, B]])

    def test_end_without_beginning(self):
        with self.assertRaises(BenchError):
            list(trace.windows([7, E]))

    def test_programs_and_modules_are_left_out(self):
        words = [trace.MODULES, S, 1, TEXT, S, OBJECT, trace.MODULES + 8, S, 2]
        self.assertEqual(trace.sample(words), [(TEXT, [OBJECT])])

    def test_runs(self):
        rows = [["task", "4096", "64"], ["run", "-", "1"], ["run", "start", "3"]]
        words = [B, TEXT, E] + [B, TEXT, TEXT + 2, E] * 2 + [B] + [TEXT] * 9 + [E]
        samples, task = trace.runs(rows, words)
        self.assertEqual([address for address, _ in samples["start"]], [TEXT, TEXT + 2])
        self.assertIn(4100, task)
        for wrong in (words[:-1], words + [B, E]):
            with self.assertRaises(BenchError):
                trace.runs(rows, wrong)


class Profile(unittest.TestCase):
    TEXT = {TEXT: "pushq\t%rbx", TEXT + 2: "lock", TEXT + 6: "xchgq\t%rax, (%rdi)", TEXT + 9: "xchgw\t%ax, %ax",
            TEXT + 11: "movq\t%rax, 0x8(%rdi)", TEXT + 0x100: "lock", TEXT + 0x200: "nop", TEXT + 0x300: "nop",
            TEXT + 20: "incl\t%gs:0x100(%rip)", TEXT + 27: "retq"}

    def profile(self, *executed):
        each = list(executed)
        kinds = trace.Kinds([each], self.TEXT, FakeSymbols(), range(OBJECT + 0x1000, OBJECT + 0x2000))
        return trace.profile(each, self.TEXT, FakeSymbols(), kinds)

    def test_locked(self):
        found, functions = self.profile(*((address, []) for address in (TEXT, TEXT + 2, TEXT + 6, TEXT + 9)),
                                        (TEXT + 0x100, []))
        self.assertEqual((found["locked"], found["locked_own"], found["instructions"], found["own"]), (3, 2, 5, 4))
        self.assertEqual(functions, {"bpf_timer_start": 4, "call_rcu": 1})

    def test_lines(self):
        found, _ = self.profile((TEXT, [STACK]), (TEXT + 11, [STACK + 64]), (TEXT + 11, [OBJECT]),
                                (TEXT + 11, [OBJECT + 8]), (TEXT + 11, [OBJECT + 0x1000]),
                                (TEXT + 0x100, [OBJECT + 64]))
        self.assertEqual((found["lines_own"], found["lines"]), (1, 2))

    def test_per_cpu_data(self):
        # %gs:0x100(%rip) at TEXT + 27 + 0x100 is this CPU's copy of what is there.
        symbols = FakeSymbols()
        symbols.all = {"__per_cpu_start": TEXT, "__per_cpu_end": TEXT + 0x1000}
        base = OBJECT + 0x100000
        each = [(TEXT + 20, [base + 27 + 0x100])]
        kinds = trace.Kinds([each], self.TEXT, symbols, range(0))
        self.assertFalse(kinds.shared(base + 64))
        self.assertTrue(kinds.shared(OBJECT))

    def test_allocators_that_call_each_other(self):
        calls = [(TEXT + 0x200, []), (TEXT + 0x300, []), (TEXT + 11, []), (TEXT + 0x200, [])]
        self.assertEqual(self.profile(*calls)[0]["allocations"], 2)


class Spread(unittest.TestCase):
    def test_middle_half(self):
        found = load.spread([1, 2, 3, 4, 100])
        self.assertEqual((found["median"], found["samples"]), (3, 5))
        self.assertGreater(found["spread"], 0)
        self.assertEqual(load.spread([5, 5, 5])["spread"], 0)


if __name__ == "__main__":
    unittest.main()
