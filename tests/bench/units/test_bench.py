# SPDX-License-Identifier: GPL-2.0
"""What is made of what the boots print: tables, problems, verdicts, changes, plots (for which make setup installs
matplotlib)."""

import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import compare, parts, plots, trace  # noqa: E402
from kernels import BuildError  # noqa: E402


class Kernel:
    """Each boot prints the next of these, and then the last one."""

    def __init__(self, impl, *boots, arch="x86_64"):
        self.impl, self.label, self.arch, self.boots = impl, f"7.3.4-{impl}", arch, list(boots)

    def boot(self, *_, **__):
        return self.boots.pop(0) if len(self.boots) > 1 else self.boots[0]


def counted(start=347, end=800):
    return [["floor start", "295", "295", "295.0", "256", "exact", "-", "hrtimer_start()"],
            ["start", str(start), "340", "348.2", "256", "exact", "floor start", "start(), stopped"],
            ["end", str(end), "790", "805.0", "3", "about", "-", "end of a map"]]


@mock.patch.object(parts, "say", mock.Mock())
class Parts(unittest.TestCase):
    def test_boots_differ(self):
        for second, arch, found in ((counted(), "x86_64", []), (counted(348), "x86_64", ["start: 347, 348"]),
                                    (counted(348), "arm64", []), (counted(end=900), "x86_64", []),
                                    (counted(end=1100), "x86_64", ["end: 800, 1100"])):
            self.assertEqual(parts.counts([Kernel("c", counted(), second, arch=arch)], [])[2],
                             [f"two boots differ: 7.3.4-c: {what} instructions" for what in found])

    def test_table_of_counts(self):
        lines = parts.counts([Kernel("c", counted()), Kernel("rust", counted(360))], [])[1].splitlines()
        self.assertEqual(lines[2].split()[:7], ["start", "347", "360", "1.04", "more", "295", "52/65"])
        self.assertIn("~800", lines[3])
        # One kernel, and without the floor.
        lines = parts.counts([Kernel("rust", counted()[1:])], [])[1].splitlines()
        self.assertEqual(lines[1].split()[:3], ["start", "347", "start(),"])

    def test_growth(self):
        def rows(last):
            return [[str(size), phase, str(100 * last if phase == "arm" and size == parts.SIZES[-1] else 100)]
                    for phase in parts.PHASES for size in parts.SIZES]
        for c, rust, steeper in ((1, 1.3, ["more timers make 'arm' slower on Rust than on C"]), (1, 1, []),
                                 (1, 1.2, []), (2, 2.2, []), (2, 1, [])):
            self.assertEqual(parts.scale([Kernel("c", rows(c)), Kernel("rust", rows(rust))], [])[2], steeper)
        self.assertRaisesRegex(BuildError, "not measured for all", parts.scale, [Kernel("c", rows(1)[:-1])], [])

    @mock.patch.dict(os.environ, VM_ACCEL="tcg")
    def test_load(self):
        rows = [["load", "start", "one", "64", "2000000"], ["load", "start", "one", "64", "3000000"],
                ["late", "timer", "15000", "30000"]]
        text = parts.load([Kernel("c", rows)], [])[1]
        self.assertIn("start: 64 CPUs, one timer    2.50 ±20%  more than the host's", text)
        self.assertIn("timer                               15     30  expiry", text)
        self.assertRaisesRegex(BuildError, "said nothing", parts.load, [Kernel("c", rows[:2])], [])


B, E, S = trace.BEGIN, trace.END, trace.STORE
TEXT, OBJECT, STACK, PER_CPU = 0xFFFFFFFF81000000, 0xFFFF888000200000, 0xFFFF888000100000, 0xFFFF888000300000
INSTRUCTIONS = {TEXT: "pushq\t%rbx", TEXT + 2: "lock", TEXT + 6: "xchgq\t%rax, (%rdi)", TEXT + 9: "xchgw\t%ax, %ax",
                TEXT + 11: "movq\t%rax, 0x8(%rdi)", TEXT + 20: "incl\t%gs:0x100(%rip)", TEXT + 27: "retq",
                TEXT + 0x100: "lock", TEXT + 0x200: "nop", TEXT + 0x300: "nop"}


class Symbols:
    """Functions at +0, +0x100, +0x200 and +0x300."""

    names = ("bpf_timer_start", "call_rcu", "_kmalloc_nolock_noprof", "__kmalloc_nolock_noprof")
    all = {"__per_cpu_start": TEXT, "__per_cpu_end": TEXT + 0x1000}

    def at(self, address):
        i = (address - TEXT) // 0x100
        return self.names[i], TEXT + i * 0x100


class Trace(unittest.TestCase):
    def test_runs(self):
        rows = [["task", "4096", "64"], ["run", "-", "1"], ["run", "start", "3"]]
        # What is outside; addresses that look like marks; programs and modules, with what they write; a long one.
        words = [9, S, B, B, TEXT, E, 9, B, TEXT, S, E, S, B, E, B, trace.MODULES, S, 1, TEXT + 2, S, OBJECT,
                 trace.MODULES + 8, S, 2, E, B, *[TEXT] * 9, E]
        self.assertEqual([*trace.samples(words)],
                         [[(TEXT, [])], [(TEXT, [E, B])], [(TEXT + 2, [OBJECT])], [(TEXT, [])] * 9])
        self.assertEqual(trace.runs(rows, words), ({"start": [(TEXT, [E, B])]}, range(4096, 4160)))
        for wrong, text in ((words[:-1], "ends within 'start'"), (words + [B, E], "has more in it"),
                            ([E, *words], "an end without a beginning")):
            self.assertRaisesRegex(BuildError, text, trace.runs, rows, wrong)

    def test_profile(self):
        for sample, expected in (
                # xchg with memory is locked, between registers it is not.
                ([(TEXT + offset, []) for offset in (0, 2, 6, 9, 0x100)],
                 {"instructions": 5, "own": 4, "locked": 3, "locked_own": 2}),
                # The stack, what is written twice, the task; and what another function writes.
                ([(TEXT, [STACK]), (TEXT + 11, [STACK + 64]), (TEXT + 11, [OBJECT]), (TEXT + 11, [OBJECT + 8]),
                  (TEXT + 11, [OBJECT + 0x1000]), (TEXT + 0x100, [OBJECT + 64])], {"lines": 2, "lines_own": 1}),
                # %gs:0x100(%rip) at TEXT + 27 + 0x100 is this CPU's copy of what is there.
                ([(TEXT + 20, [PER_CPU + 27 + 0x100]), (TEXT + 11, [PER_CPU + 64, OBJECT])], {"lines": 1}),
                # An allocator that calls another, and one that goes on after a call.
                ([(TEXT + offset, []) for offset in (0x200, 0x300, 0, 0x200, 0x100, 0x201)], {"allocations": 2})):
            private = trace.Private([sample], INSTRUCTIONS, Symbols(), range(OBJECT + 0x1000, OBJECT + 0x2000))
            found, _ = trace.profile(sample, INSTRUCTIONS, Symbols(), private)
            self.assertEqual({**found, **expected}, found)


HERE = {"kernel": "7.3.4", "clang": "22.1.8", "rustc": "1.96.0", "qemu": "7.2"}
OTHER = {**HERE, "rustc": "1.97.0"}
BOTH = ("c", "rust")
RESULTS = {
    "time": "2026-01-02T03:04:05Z",
    "kernels": {impl: HERE for impl in BOTH},
    "operations": {"floor x": {"exact": True, "floor": None, "c": {"median": 31}, "rust": {"median": 31}},
                   "start": {"exact": True, "floor": "floor x", "c": {"median": 3470}, "rust": {"median": 3550}},
                   "end": {"exact": False, "floor": None, "c": {"median": 1000}, "rust": {"median": 900}}},
    "trace": {"init": {"c": {"locked_own": 0, "locked": 42}, "rust": {"locked_own": 0, "locked": 41}}},
    "memory": {impl: {"slab": {"timer": size, "wq": 1.0, "deferred": 0}, "sizes": {"text": 3000, "functions": 20}}
               for impl, size in zip(BOTH, (128.0, 96.0))},
    "scale": {impl: {phase: {str(size): 1300.0 for size in parts.SIZES} for phase in parts.OURS} for impl in BOTH},
    "load": {"accelerator": "tcg", "host_cpus": 2, "throughput": {
        impl: {"start, one, 2": {"median": rate, "spread": 0.1}} for impl, rate in zip(BOTH, (4e6, 8e6))}},
}


def rust_counts(**counts):
    counts = {"start": 100, "init": 300, "about_end": 1000, **counts}
    return {name: {"exact": name != "about_end", "rust": {"median": count}} for name, count in counts.items() if count}


class Compare(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "bench.json"

    def test_verdicts(self):
        compare.save_baseline(self.path, HERE, rust_counts())
        for environment, counts, expected, said in (
                (HERE, {}, 0, ["OK: 3 operations against bench.json: none takes over 2% more instructions"]),
                (HERE, {"start": 102, "init": 306, "about_end": 1290}, 0, ["OK: "]),
                (HERE, {"start": 103}, 1, ["REGRESSION: start: 100 -> 103 instructions (+3.0%)", "FAIL: "]),
                (HERE, {"about_end": 1310}, 1, ["REGRESSION: about_end: ", "FAIL: "]),
                (HERE, {"start": 80}, 0, ["LESS: start: 100 -> 80 instructions (-20.0%)", "OK: "]),
                (OTHER, {}, 0, ["NOTE: the baseline was counted with something else: rustc 1.96.0 -> 1.97", "OK: "]),
                (OTHER, {"start": 110}, 4, ["NOTE: ", "MORE: start: ", "SKIP: 3 operations against bench.json: "]),
                (HERE, {"new": 1}, 1, ["MISSING: new: measured, but not in the baseline", "FAIL: "]),
                (OTHER, {"new": 1}, 1, ["NOTE: ", "MISSING: new: ", "FAIL: "]),
                (HERE, {"init": None}, 1, ["MISSING: init: in the baseline, but no longer measured", "FAIL: "])):
            status, lines = compare.verdict(self.path, environment, rust_counts(**counts))
            self.assertEqual((status, len(lines), [line[:len(start)] for line, start in zip(lines, said)]),
                             (expected, len(said), said), counts)

    def test_each_change_is_named_and_noise_is_not(self):
        for place, value, *lines in (
                ("kernels/rust/rustc", "1.97.0", "Rust kernel: rustc 1.96.0 -> 1.97.0"),
                ("operations/start/rust/median", 3549, "start, Rust: 3550 -> 3549 instructions (-0.0%)"),
                ("operations/end/c/median", 1400, "end, C: 1000 -> 1400 instructions (+40.0%)"),
                ("operations/end/c/median", 1200),
                ("trace/init/rust/locked_own", 1, "init, Rust: 0 -> 1 locked instructions of its own"),
                ("memory/c/slab/timer", 192.0, "memory, C: 128.0 -> 192.0 bytes of timer"),
                ("memory/c/slab/timer", 128.3),
                ("memory/c/sizes/functions", 21, "memory, C: 20 -> 21 functions"),
                ("scale/rust/arm/1000", 1500.0, "scale, Rust: arm, 1,000 timers: 1300 -> 1500 each (+15.4%)"),
                ("scale/c/arm/1000", 1320.0), ("scale/c/destroy/1000", 1500.0),
                ("load/throughput/c/start, one, 2/median", 8e6,
                 "throughput, C: start, one, 2: 4.00 -> 8.00 million a second (+100.0%)"),
                ("load/throughput/c/start, one, 2/median", 4.5e6)):
            *keys, last = place.split("/")
            inner = new = json.loads(json.dumps(RESULTS))
            for key in keys:
                inner = inner[key]
            inner[last] = value
            self.assertEqual([*compare.changes(RESULTS, new)], lines, place)

    def test_one_side_only(self):
        for part in RESULTS:
            new = {key: value for key, value in RESULTS.items() if key != part}
            names = RESULTS["operations"] if part == "operations" else ()
            for old, later, side in ((RESULTS, new, "earlier"), (new, RESULTS, "later")):
                self.assertEqual([*compare.changes(old, later)],
                                 [f"{name}: only in the {side} results" for name in names])

    def test_earlier_results_are_kept(self):
        for number in range(3):
            compare.write(self.path, {"n": number})
            os.utime(self.path, (number * 100, number * 100))
        self.assertEqual(compare.read(self.path), {"n": 2})
        history = sorted(self.path.parent.glob("bench-history/bench-*.json"))
        self.assertEqual([compare.read(path)["n"] for path in history], [0, 1])

    def test_bad_files(self):
        for text, of_results, of_baseline in (
                (None, "there is no .*; run 'make bench' first", "there is no baseline"),
                ("", "cannot be read", "is no baseline"), ("[]", "is no file of results", "is no baseline"),
                ('{"environment": {}, "operations": 1}', "is no file of results", "is no baseline"),
                ('{"environment": {}, "operations": {}}', "", "no counts in it"),
                ('{"environment": {}, "operations": {"start": "x"}}', "", "no counts in it")):
            if text is not None:
                self.path.write_text(text)
            for error, read in ((of_baseline, lambda: compare.verdict(self.path, HERE, {})),
                                (of_results, lambda: compare.read(self.path))):
                if error:
                    self.assertRaisesRegex(BuildError, error, read)

    def test_plots(self):
        expected = {"instructions": ("start", "3,470", "3,550", "Instructions of each operation"),
                    "locked": ("init", "42", "41"), "memory": ("128", "96", "a timer"),
                    "scale": ("1,000", "1,000,000", "arm, C", "arm, Rust"),
                    "throughput": ("start: 2 CPUs, one timer", "4", "8")}
        self.path.write_text(json.dumps(RESULTS))
        self.assertEqual(plots.write(self.path), [str(self.path.with_name(f"bench-{name}.svg")) for name in expected])
        for name, texts in expected.items():
            svg = self.path.with_name(f"bench-{name}.svg").read_text()
            said = {each.text for each in tree.fromstring(svg.encode()).iter("{http://www.w3.org/2000/svg}text")}
            self.assertLessEqual({*texts, *(() if name == "scale" else ("C", "Rust"))}, said)
            self.assertIn("SPDX-License-Identifier: GPL-2.0", svg)
        self.path.write_text(json.dumps({**RESULTS, "kernels": {"rust": HERE}}))
        plots.write(self.path)
        self.assertNotIn(">C<", self.path.with_name("bench-instructions.svg").read_text())
