# SPDX-License-Identifier: GPL-2.0
"""The plots: well-formed, nothing outside, every number in its place."""

import re
import sys
import unittest
import xml.etree.ElementTree as tree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from bench import svg  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
SERIES = [("c", "C"), ("rust", "Rust")]


def rectangles(picture, colour):
    return [tuple(float(r.get(key)) for key in ("x", "y", "width", "height"))
            for r in tree.fromstring(picture.encode()).iter(f"{SVG}rect") if r.get("fill") == colour]


class Ticks(unittest.TestCase):
    def test_round_and_far_enough(self):
        for largest in (0.3, 1, 7, 99, 100, 1001, 2987, 1e6):
            found = svg.ticks(largest)
            self.assertEqual(found[0], 0)
            self.assertGreaterEqual(found[-1], largest * 0.999)
            self.assertLess(found[-2], largest)
            self.assertIn(f"{found[1]:e}"[0], "125")
            self.assertLessEqual(len(found), 8)

    def test_nothing(self):
        self.assertEqual(svg.ticks(0), [0, 1])


class Bars(unittest.TestCase):
    def picture(self, rows, mark=None):
        return svg.bars("title <&>", "less is better", "from", "instructions", SERIES, rows, mark)

    def test_length_is_the_value(self):
        picture = self.picture([("start", {"c": 200, "rust": 100}, None, None)])
        # The first of each colour is the legend's.
        c, rust = (rectangles(picture, svg.COLOURS[key])[1] for key in ("c", "rust"))
        self.assertAlmostEqual(c[2], 2 * rust[2], delta=0.2)
        self.assertEqual(c[0], rust[0])

    def test_says_what_it_is(self):
        picture = self.picture([("start", {"c": 200, "rust": 100}, 50, None)], "the floor")
        texts = [element.text for element in tree.fromstring(picture.encode()).iter(f"{SVG}text")]
        for text in ("title <&>", "less is better", "from", "instructions", "C", "Rust", "start", "200", "100",
                     "the floor"):
            self.assertIn(text, texts)
        self.assertIn("SPDX-License-Identifier: GPL-2.0", picture)

    def test_one_kernel_alone_and_nothing(self):
        picture = svg.bars("t", "s", "f", "u", SERIES[1:], [("start", {"rust": 0}, None, None)])
        self.assertEqual(rectangles(picture, svg.COLOURS["c"]), [])
        tree.fromstring(self.picture([]).encode())

    def test_spread_stays_inside(self):
        picture = self.picture([("start", {"c": 9, "rust": 10}, None, {"c": 2.0, "rust": 0.5})])
        across = [float(x) for x in re.findall(r'x[12]?="(-?[0-9.]+)"', picture)]
        self.assertGreaterEqual(min(across), 0)
        self.assertLessEqual(max(across), svg.WIDTH)


class Lines(unittest.TestCase):
    def test_axis_is_logarithmic_and_up_is_more(self):
        picture = svg.lines("t", "s", "f", ("timers", "instructions"), [1000, 10000, 100000],
                            [("arm", "#123456", "5 4", [10, 20, 20])])
        points = [(float(c.get("cx")), float(c.get("cy")))
                  for c in tree.fromstring(picture.encode()).iter(f"{SVG}circle")]
        self.assertEqual(len(points), 3)
        self.assertAlmostEqual(points[1][0] - points[0][0], points[2][0] - points[1][0], delta=0.2)
        self.assertLess(points[1][1], points[0][1])
        self.assertEqual(points[1][1], points[2][1])


if __name__ == "__main__":
    unittest.main()
