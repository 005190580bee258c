# SPDX-License-Identifier: GPL-2.0
"""The plots: well-formed, and every number in them. Needs matplotlib, which make setup installs."""

import json
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import plots, scale  # noqa: E402


def operation(c, rust, floor="none"):
    return {"exact": True, "floor": floor, "c": {"median": c}, "rust": {"median": rust}}


def results():
    many = {impl: {phase: {str(size): value for size in scale.SIZES} for phase in scale.OURS}
            for impl, value in (("c", 20), ("rust", 10))}
    rates = {impl: {"start, one, 2": {"median": value, "spread": 2.0}} for impl, value in (("c", 7e6), ("rust", 8e6))}
    return {"time": "2026-01-02T03:04:05Z",
            "kernels": dict.fromkeys(("c", "rust"), {"kernel": "7.3.4", "clang": "22", "rustc": "1.96", "qemu": "10"}),
            "operations": {"floor x": operation(31, 31), "start": operation(1200, 1100, "floor x")},
            "memory": {impl: {"slab": {"timer": size, "wq": 1.0, "deferred": 0}}
                       for impl, size in (("c", 192.25), ("rust", 96))},
            "scale": many, "load": {"accelerator": "tcg", "host_cpus": 2, "throughput": rates}}


class Plots(unittest.TestCase):
    def write(self, data):
        """{name: the texts of the plot}"""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "bench-x.json"
        path.write_text(json.dumps(data))
        found = [Path(name) for name in plots.write(path)]
        self.assertEqual(sorted(found), sorted(path.parent.glob("bench-x-*.svg")))
        self.text = {plot.stem.removeprefix("bench-x-"): plot.read_text() for plot in found}
        return {name: [each.text for each in tree.fromstring(text.encode()).iter("{http://www.w3.org/2000/svg}text")]
                for name, text in self.text.items()}

    def test_says_what_it_is(self):
        said = self.write(results())
        self.assertEqual(sorted(said), ["instructions", "memory", "scale", "throughput"])
        for name, texts in {"instructions": ("start", "1,200", "1,100", "C", "Rust", "Instructions of each operation"),
                            "memory": ("192", "96", "a timer"), "scale": ("1,000", "1,000,000", "arm, C", "arm, Rust"),
                            "throughput": ("start: 2 CPUs, one timer", "7", "8")}.items():
            for text in texts:
                self.assertIn(text, said[name])
            self.assertIn("SPDX-License-Identifier: GPL-2.0", self.text[name])

    def test_one_kernel_alone(self):
        data = results()
        del data["kernels"]["c"]
        self.assertNotIn("C", self.write(data)["instructions"])


if __name__ == "__main__":
    unittest.main()
