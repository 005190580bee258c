# SPDX-License-Identifier: GPL-2.0
"""The real anchors on real kernels: BPF_ASYNC_TREES=/path/linux-7.3.4:/path/linux-7.2.12"""

import os
import shutil
from pathlib import Path
from unittest import main, skipUnless

from synthetic import REPOSITORY, TreeTest, snapshot

from integration import anchors, plan

TREES = [Path(p) for p in os.environ.get("BPF_ASYNC_TREES", "").split(":") if p]


@skipUnless(TREES, "BPF_ASYNC_TREES names no pristine kernel trees")
class Kernels(TreeTest):
    def setUp(self):
        super().setUp()
        self.source = REPOSITORY
        self.table = anchors.load(REPOSITORY / "integration/anchors.toml")

    def each(self):
        """For every kernel: its pristine tree, and TREE with the files that a run can touch."""
        for pristine in TREES:
            shutil.rmtree(self.tree)
            for relative in ("Makefile", *(spec.path for spec in self.table.files)):
                target = self.tree / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(pristine / relative, target)
            with self.subTest(kernel=pristine.name):
                yield pristine

    def test_anchors_match(self):
        for pristine in self.each():
            self.succeed("--check", pristine)

    def test_both_ways_agree_and_twice_is_once(self):
        for pristine in self.each():
            self.succeed(self.tree)
            self.age()
            before = snapshot(self.tree)
            self.assertIn("nothing to do", self.succeed(self.tree))
            self.assertIn("nothing to do", self.succeed("--from", pristine, self.tree))
            self.assertEqual(snapshot(self.tree), before)
            for spec in self.table.files:
                # Lines of the kernel are neither altered nor taken away.
                rest = iter((self.tree / spec.path).read_text().split("\n"))
                for line in (pristine / spec.path).read_text().split("\n"):
                    self.assertIn(line, rest)

    def test_no_new_file_is_one_of_the_kernel(self):
        copies = plan.sources(REPOSITORY)
        for pristine in self.each():
            self.assertEqual([c for c in copies if (pristine / c).exists()], [])

    def test_every_anchor_is_needed(self):
        """Without its line, each anchor stops the run by name, and nothing is written."""
        for _ in self.each():
            for spec in self.table.files:
                path = self.tree / spec.path
                text = path.read_text()
                for anchor in spec.anchors:
                    lines = text.split("\n")
                    [(index, _)] = anchor.hits(lines)
                    del lines[index]
                    path.write_text("\n".join(lines))
                    err = self.refuse(self.tree)
                    self.assertIn(f'{spec.path}: anchor "{anchor.name}" matched 0 times', err)
                path.write_text(text)
            self.succeed(self.tree)


if __name__ == "__main__":
    main()
