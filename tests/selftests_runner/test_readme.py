# SPDX-License-Identifier: GPL-2.0
"""What the commands printed, in README.md and the documents."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from readme import DOCUMENT, README, filled, plots  # noqa: E402  (found beside this file)

MARKDOWN = "before\n<!-- out/a.txt -->\n```\n{}```\n<!-- end of output -->\nafter\n"
RST = "before\n\n.. out/a.txt\n\n::\n\n{}\n.. end of output\n\nafter\n"
OUTPUT = "one  \n\n  two\n\n"


class Readme(unittest.TestCase):
    def fill(self, text, block, indent, output=OUTPUT):
        said = []
        return filled(text, block, indent, lambda name: output, said.append), said

    def test_markdown(self):
        self.assertEqual(self.fill(MARKDOWN.format("old\n"), README, ""),
                         (MARKDOWN.format("one\n\n  two\n"), []))

    def test_empty_block_is_filled(self):
        self.assertEqual(self.fill(MARKDOWN.format(""), README, "")[0], MARKDOWN.format("one\n\n  two\n"))

    def test_document(self):
        self.assertEqual(self.fill(RST.format("    old\n"), DOCUMENT, "    "),
                         (RST.format("    one\n\n      two\n"), []))

    def test_again_changes_nothing(self):
        once = self.fill(RST.format("    old\n"), DOCUMENT, "    ")[0]
        self.assertEqual(self.fill(once, DOCUMENT, "    ")[0], once)

    def test_what_is_not_there_stays_and_is_named(self):
        text = RST.format("    old\n")
        self.assertEqual(self.fill(text, DOCUMENT, "    ", None),
                         (text, ["out/a.txt is not there: its block stays as it is"]))

    def test_a_table_that_would_lose_a_machine_stays(self):
        text = MARKDOWN.replace("out/a.txt", "out/machines.txt").format("machine  C\nx86-64   1/1\narm64    1/1\n")
        filled_in, said = self.fill(text, README, "", "machine  C\nx86-64   2/2\n")
        self.assertEqual(filled_in, text)
        self.assertIn("arm64", said[0])
        self.assertIn("2/2", self.fill(text, README, "", "machine  C\nx86-64   2/2\narm64    1/1\n")[0])

    def test_plots(self):
        text = "x\n\n.. figure:: bench-scale.svg\n   :alt: y\n\n.. figure:: other.svg\n"
        self.assertEqual(plots(text), [("bench-scale.svg", "out/bench-scale.svg")])


if __name__ == "__main__":
    unittest.main()
