# SPDX-License-Identifier: GPL-2.0
"""What is made of the results: the table of machines, README.md and the documents, and KUnit's verdict."""

import contextlib
import io
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import kunit  # noqa: E402  (found beside this file)
import machines  # noqa: E402
import readme  # noqa: E402


def data(commit="1234", **tests):
    return {"tests": {name: {impl: {"status": status} for impl, status in columns.items()}
                      for name, columns in tests.items()},
            "built": {impl: {"repository": commit} for impl in ("c", "rust")}}


class Machines(unittest.TestCase):
    def test_table(self):
        one, both = data(a={"rust": "pass"}), data(a={"rust": "pass", "c": "fail"})
        some = data(a={"c": "pass", "rust": "pass"}, b={"c": "crash", "rust": "known"},
                    d={"c": "left out", "rust": "skip"})
        some["tests"]["a"]["c"]["failed before"] = ["late"]
        changed = data("5678567 with changes", a={"rust": "fail"})
        rows = machines.collect([
            ("regress-rust-odd.json", one), ("regress-rust-rt.json", one), ("regress-arm64.json", both),
            ("kunit-rust-rt.json", {"passed": 3, "failed": 1, "built": changed["built"]}),
            ("regress-rust-only.json", one), ("regress-rust-kcsan.json", {"cases": []}),
            ("selftests-rust.json", changed), ("selftests.json", some),
            ("regress-c-arm64.json", data(a={"c": "skip"}))])
        self.assertEqual(machines.render(rows).split("\n"), [
            "machine             selftests: C  Rust          ours: C  Rust  KUnit  commit",
            "x86-64              1/2, 1 again  1/1, 1 known  -        -     -      1234",
            "x86-64, PREEMPT_RT  -             -             -        1/1   3/4    1234, 5678567+",
            "arm64               -             -             -        1/1   -      1234",
            "odd                 -             -             -        1/1   -      1234"])

    def test_commit_is_that_of_the_code(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(machines, "ROOT", folder):
            def git(*words):
                return subprocess.run(["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
                                      check=True, capture_output=True, text=True).stdout.strip()

            def commit(path):
                (Path(folder) / path).parent.mkdir(exist_ok=True)
                (Path(folder) / path).write_text(path)
                git("add", ".")
                git("commit", "-q", "-m", path)
                return git("rev-parse", "--short=7", "HEAD")

            git("init", "-q")
            before, code = commit("README.md"), commit("rust/a.rs")
            commit("config/matrix")
            self.assertEqual(machines.code_of(commit("docs/a")), code)
            self.assertEqual(machines.code_of(before), before)      # there is none
            self.assertEqual(machines.code_of("1234"), "1234")      # of another repository


class Readme(unittest.TestCase):
    def files(self, **out):
        """What README.md and a document of such a folder become, and what is said."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as said:
            root = Path(folder)
            for path, text in {"README.md": self.MARKDOWN.format(self.BEFORE),
                               "docs/a.rst": self.RST.format("    old\n"), **out}.items():
                (root / path).parent.mkdir(exist_ok=True)
                (root / path).write_text(text)
            found = readme.files(root)
            return {str(path.relative_to(root)): text for path, text in found.items()}, said.getvalue()

    BEFORE = "machine  C    Rust  commit\nother    7/7  8/8   5\narm64    1/1  2/2   1, 4\n"
    MARKDOWN = "before\n<!-- out/machines.txt -->\n```\n{}```\n<!-- end of output -->\nafter\n"
    RST = "before\n\n.. out/b.txt\n\n::\n\n{}\n.. end of output\n\n.. figure:: bench-x.svg\n   :alt: y\n"

    def test_filled(self):
        table = "machine  C    Rust  commit\nx86-64   1/1  -     3\narm64    2/2  3/3   2\nother    1/1  1/1   3\n"
        document = self.RST.format("    one\n\n      two\n")
        out = {"out/machines.txt": table, "out/b.txt": "one  \n\n  two\n\n", "out/bench-x.svg": "plot"}
        expected = {"README.md": self.MARKDOWN.format(table), "docs/a.rst": document, "docs/bench-x.svg": "plot"}
        self.assertEqual(self.files(**out), (expected, ""))
        self.assertEqual(self.files(**out, **{"docs/a.rst": document}), (expected, ""))     # again

    def test_what_is_not_there_stays_and_is_named(self):
        found, said = self.files(
            **{"out/machines.txt": "machine  C    Rust  commit\narm64    3/3  -     4, 2\nx86-64   2/2  -     3\n"})
        self.assertEqual(found["README.md"], self.MARKDOWN.format(
            "machine  C    Rust  commit\nx86-64   2/2  -     3\narm64    3/3  2/2   1, 2, 4\nother    7/7  8/8   5\n"))
        self.assertIn("old", found["docs/a.rst"])
        self.assertIsNone(found["docs/bench-x.svg"])
        for words in ("has not all of arm64", "has not all of other", "out/b.txt is not there", "out/bench-x.svg is not there"):
            self.assertIn(words, said)


class KUnit(unittest.TestCase):
    KTAP = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: {}\n    1..2\n{}\nok 1 {}\n"

    def test_verdict(self):
        suites = {"good": "    ok 1 a\n    ok 2 b\n", "bad": "    # a: x\n    not ok 1 a\n    ok 2 b # SKIP no CPU\n",
                  "empty": "",
                  kunit.DOCTESTS: "    ok 1 rust_doctest_kernel_bpf_rs_0\n    not ok 2 rust_doctest_kernel_x_rs_0\n"}
        text = "noise\n" + "".join(self.KTAP.format(name, body, name) for name, body in suites.items())
        passed, bad = kunit.judge(kunit.parse(text), ["good", "bad", "empty", "lost"], ["bpf_rs", "wq_rs"])
        self.assertEqual((passed, bad), (3, [
            "empty: no test in it", "lost: not in this kernel", "doctests of wq_rs: none in this kernel",
            "bad.a: failed", "bad.b: skipped"]))


if __name__ == "__main__":
    unittest.main()
