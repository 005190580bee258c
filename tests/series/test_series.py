# SPDX-License-Identifier: GPL-2.0
"""The series: what each patch takes, and the commits and mails that are made of a made-up kernel."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tomllib
import unittest
from pathlib import Path
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests/integrate")]

import integrate  # noqa: E402
import patches  # noqa: E402
from integration import anchors, series  # noqa: E402
from synthetic import KERNEL, TREES, TreeTest, snapshot, write_files  # noqa: E402

OURS = {
    "kernel/bpf/ours.c": "/* ours */\nint ours;\n/* the second part */\nint more;\nint end;\n",
    "rust/kernel/ours/a.rs": "// a\n",
}
DIFF = """# SPDX-License-Identifier: GPL-2.0
diff --git a/kernel/bpf/ours.c b/kernel/bpf/ours.c
--- a/kernel/bpf/ours.c
+++ b/kernel/bpf/ours.c
@@ -2,2 +2,4 @@
 int ours;
+/* the second part */
+int more;
 int end;
"""
REPAIR = r"""
[[file]]
path = "kernel/bpf/code.c"
anchor = [{name = "value", pattern = '(?P<indent>\s*)return %d;', where = "replace", lines = '{indent}return %d;'}]
"""
SERIES = {
    "series/01-begin.txt": "# SPDX\nbpf: Begin\n\nIt begins.\n---\nkernel/bpf/ours.c\n"
                           "kernel/bpf/code.c: first\n",
    "series/02-rest.txt": "# SPDX\nbpf: The rest\n\nIt ends.\n---\nrust/kernel/ours/a.rs\nrust/kernel/bpf.rs\n"
                          "kernel/bpf/Kconfig: *\nkernel/bpf/code.c: end; function\n",
    "series/02-rest.diff": DIFF,
    "series/repairs/01-one.txt": "# SPDX\nbpf: One\n\nIt returns 1.\n---\nH1\nH2\n",
    "series/repairs/01-one.toml": REPAIR % (0, 1),
    "series/repairs/02-two.txt": "# SPDX\nbpf: Two\n\nIt returns 2.\n---\nH3\n",
    "series/repairs/02-two.toml": REPAIR % (1, 2),
    "series/repairs/cover.txt": "# SPDX\nbpf: Repairs\n\n@patches@ for Linux @kernel@.\n",
    "series/cover.txt": "# SPDX\nbpf: A series\n\nIt has @patches@ patches for Linux @kernel@.\n"
                        "Tests: @regress@, start: @c start abs@ @r start abs@, bench @bench state@\n",
    "tests/bench/baseline.json": '{"operations": {}}\n',
    "docs/results.rst": "    OK: C: 1 pass; Rust: 2 pass (also in out/regress.json)\n",
    "docs/bench.rst": "    start abs           ~347   318   0.92          295   52/23  start()\n",
    "rust/kernel/bpf.rs": "// bpf\n",
}


def git(*words, where):
    run = subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test", "-C", where, *words],
                         env=series.git_env(), check=True, capture_output=True, text=True)
    return run.stdout.strip()


class Made(TreeTest):
    """A user's git tree of the made-up kernel (TREE), and a repository of ours."""

    def fresh(self):
        super().fresh()
        self.repo, self.out = self.top / "repo.git", self.top / "mails"
        for folder in (self.repo, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        write_files(self.source, OURS | SERIES)
        (self.source / "rust/kernel/bpf").mkdir()
        write_files(self.tree, {"kernel/bpf/helpers.c": ""})
        git("init", "-q", where=self.tree)
        self.commit()
        git("init", "-q", "--bare", self.repo, where=self.top)
        (self.repo / "objects/info/alternates").write_text(f"{self.tree}/.git/objects\n")

    def commit(self):
        git("add", "-A", where=self.tree)
        git("commit", "-q", "-m", "base", where=self.tree)

    def make(self, *words):
        """Exit status and standard error."""
        err = io.StringIO()
        with contextlib.redirect_stderr(err), mock.patch.object(integrate, "REPOSITORY", self.source):
            status = patches.main(["--repo", str(self.repo), "--base", git("rev-parse", "HEAD", where=self.tree),
                                   "--out", str(self.out), *words])
        return status, err.getvalue()

    def show(self, what):
        return git("show", what, where=self.repo)

    def letter(self):
        return next(self.out.glob("0000-*")).read_text()

    def test_mails_give_the_tree_that_integration_gives(self):
        before = snapshot(self.tree)
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(snapshot(self.tree), before)
        mails = sorted(self.out.iterdir())
        self.assertEqual(len(mails), 3)
        git("am", "-q", *mails[1:], where=self.tree)
        self.assertEqual(git("rev-parse", "HEAD^{tree}", where=self.tree),
                         git("rev-parse", "series^{tree}", where=self.repo))
        self.assertIn("nothing to do", self.succeed(self.tree))
        self.assertEqual(git("status", "--short", where=self.tree), f"?? {integrate.MANIFEST}")

    def test_each_patch_has_its_part(self):
        self.make()
        self.assertEqual(self.show("series~1:kernel/bpf/ours.c"), "/* ours */\nint ours;\nint end;")
        self.assertIn("int more;", self.show("series:kernel/bpf/ours.c"))
        self.assertIn("OURS.h", self.show("series~1:kernel/bpf/code.c"))
        self.assertNotIn("ours(p__map)", self.show("series~1:kernel/bpf/code.c"))
        self.assertIn("ours(p__map)", self.show("series:kernel/bpf/code.c"))
        self.assertEqual(git("log", "--format=%s", "-2", "series", where=self.repo), "bpf: The rest\nbpf: Begin")

    def test_cover_letter_is_filled_in(self):
        self.make()
        letter = self.letter()
        self.assertIn("Subject: [RFC PATCH bpf-next 0/2] bpf: A series\n", letter)
        self.assertIn("It has 2 patches for Linux 7.3.4.\nTests: C: 1 pass; Rust: 2 pass, "
                      "start:   347   318, bench on this code\n", letter)
        self.assertIn(f"base-commit: {git('rev-parse', 'HEAD', where=self.tree)}\n", letter)
        self.assertNotIn("Signed-off-by", letter)

    def test_fixes(self):
        self.make()
        first = git("rev-parse", "series", where=self.repo)
        self.assertEqual(self.make("--fixes", "repairs")[0], 0)
        for commit, value in (("repairs~1", 1), ("repairs", 2)):
            self.assertIn(f"return {value};", self.show(f"{commit}:kernel/bpf/code.c"))
        self.assertEqual(git("diff", "--name-only", "repairs~2", "repairs", where=self.repo), "kernel/bpf/code.c")
        self.assertIn("Subject: [PATCH bpf 0/2] bpf: Repairs\n", self.letter())
        self.assertIn("2 for Linux 7.3.4.", self.letter())
        # The series is as it was, and the same files give the same commits.
        self.assertEqual(git("rev-parse", "series", where=self.repo), first)
        self.make()
        self.assertEqual(git("rev-parse", "series", where=self.repo), first)

    def test_refusals(self):
        def edit(path, old, new):
            return lambda: self.edit(self.source, path, old, new)

        def write(path, text):
            return lambda: write_files(self.source, {path: text})

        def other_kernel():
            write_files(self.tree, {"kernel/bpf/code.c": "int other;\n"})
            self.commit()

        def no_kernel():
            (self.tree / "Makefile").unlink()
            self.commit()

        def later():
            self.edit(self.source, "series/01-begin.txt", "kernel/bpf/ours.c\n", "")
            self.edit(self.source, "series/02-rest.txt", "---\n", "---\nkernel/bpf/ours.c\n")

        def again():
            self.make()
            shutil.rmtree(self.out)
            git("pull", "-q", self.repo, "series", where=self.tree)

        one, two, repair = "series/01-begin.txt", "series/02-rest.txt", ("--fixes", "repairs")
        for change, words, *messages in (
                (edit("series/cover.txt", "@patches@", "@patchez@"), (), "there is no value @patchez@"),
                (write("kernel/bpf/new.c", ""), (), "kernel/bpf/new.c: is in no patch"),
                (edit(one, "kernel/bpf/code.c: first\n", ""), (), 'kernel/bpf/code.c: anchor "first": is in no patch'),
                (edit(two, "end; function", "end; function; first"), (), '02-rest: kernel/bpf/code.c: anchor "first": '
                 "is in 01-begin already"),
                (edit(two, "---\n", "---\nrust/kernel/b.rs\n"), (), "02-rest: rust/kernel/b.rs: there is none in this"),
                (edit(one, "code.c: first", "code.c:"), (), 'names no anchor, or its file for the second time'),
                (edit(one, "---\n", ""), (), "01-begin: needs a subject, a body, a line --- and what it takes"),
                (edit(one, "It begins.", "x" * 76), (), "01-begin: more than 75 characters"),
                (write("series/03-none.txt", "s\n\nb\n---\n"), (), "03-none: takes nothing"),
                (write("series/04-more.txt", ""), (), "the numbers of the patches are not 01, 02 and so on"),
                (write("series/03-three.diff", ""), (), "03-three.diff: there is no 03-three.txt"),
                (edit("kernel/bpf/ours.c", "int more;", "long more;"), (), "02-rest.diff: does not fit"),
                (later, (), "02-rest.diff: kernel/bpf/ours.c: no earlier patch takes it"),
                (other_kernel, (), 'kernel/bpf/code.c: anchor "first" matched 0 times'),
                (no_kernel, (), "holds no kernel"),
                (again, (), "kernel/bpf/ours.c: is a file of kernel 7.3.4 already",
                 "kernel/bpf/code.c: holds insertions of ours already"),
                (edit("series/repairs/02-two.toml", "return 1;", "return 3;"), repair,
                 '02-two: kernel/bpf/code.c: anchor "value" matched 0 times'),
                (edit("series/repairs/02-two.txt", "H3\n", ""), repair, "02-two: names no test"),
                (write("series/repairs/03-three.toml", REPAIR), repair, "03-three.toml: there is no 03-three.txt"),
                (lambda: None, ("--fixes", "repair"), "there is no series repair, but repairs")):
            self.fresh()
            change()
            with self.subTest(messages):
                status, err = self.make(*words)
                self.assertEqual(status, 1)
                for message in messages:
                    self.assertIn(message, err)
                self.assertFalse(self.out.exists())

    def test_renewed_diff_is_the_same_difference(self):
        self.edit(self.source, "kernel/bpf/ours.c", "/* ours */\n", "/* new */\n/* ours */\n")
        self.assertEqual(self.make("--renew")[0], 0)
        diff = (self.source / "series/02-rest.diff").read_text()
        self.assertRegex(diff, r"\A# SPDX.*\ndiff --git a/kernel/bpf/ours.c b/kernel/bpf/ours.c\n")
        self.assertIn(" /* new */\n", diff)
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(self.show("series~1:kernel/bpf/ours.c"), "/* new */\n/* ours */\nint ours;\nint end;")


class Real(unittest.TestCase):
    """The two series of this repository."""

    def setUp(self):
        self.assertTrue(TREES, "BPF_ASYNC_TREES names no pristine kernel")
        self.table = anchors.load(REPOSITORY / "integration/anchors.toml")
        self.copies = integrate.sources()
        self.patches = series.load(REPOSITORY / "series", self.table, self.copies)
        self.fixes = series.load_fixes(REPOSITORY / "series/c-fixes")
        self.trees = [integrate.Tree(root, self.table.kernels) for root in TREES]

    def last(self, loaded, tree):
        return {path: content for state in series.states(loaded, self.copies, tree) for path, content in state.items()}

    def letter(self, folder, loaded):
        return patches.cover((folder / "cover.txt").read_text(), patches.values("7.3.4", loaded, self.copies))

    def test_no_sign_off_and_no_tag(self):
        for text in (*(p.read_text() for p in (REPOSITORY / "series").glob("*.txt")), *(p.body for p in self.fixes)):
            self.assertNotRegex(text, r"(?m)^[A-Z][a-z]+(-[a-z]+)*-by: |^Cc: ")

    def test_cover_letters(self):
        self.assertNotRegex(self.letter(REPOSITORY / "series", self.patches), r"@[\w -]+@|TODO|FIXME")
        letter = self.letter(REPOSITORY / "series/c-fixes", self.fixes)
        for number, patch in enumerate(self.fixes, 1):
            said = re.search(rf"(?m)^{number}  ((?:async|timer|wq)_.*\n(?:   .*\n)*)", letter)[1]
            self.assertEqual(re.findall(r"\b(?:async|timer|wq)_\w+", said), list(patch.tests))

    def test_each_case_of_a_fix_shows_a_bug(self):
        cases = tomllib.loads((REPOSITORY / "tests/selftests/cases.toml").read_text())
        for name in (name for patch in self.fixes for name in patch.tests):
            self.assertIn("c_says", cases[name])

    def test_fixes_leave_room_for_the_insertions(self):
        for tree in self.trees:
            fixed = self.last(self.fixes, tree)
            self.assertIn("kernel/bpf/helpers.c", fixed)
            for spec in self.table.files:
                spec.insert(fixed.get(spec.path, tree.read(spec.path)), tree.version)

    def test_last_state_is_what_integration_makes(self):
        for tree in self.trees:
            wanted = dict(self.copies)
            for spec in self.table.files:
                wanted[spec.path] = spec.insert(tree.read(spec.path), tree.version)
            last = self.last(self.patches, tree)
            self.assertEqual([p for p in sorted({*last, *wanted}) if last.get(p) != wanted.get(p)], [])

    def test_maintainers_names_each_file(self):
        [spec] = [s for s in self.table.files if s.path == "MAINTAINERS"]
        named = [line.split()[1] for a in spec.anchors for line in a.lines if line.startswith("F:")]
        self.assertEqual(named, sorted(named))
        for path in self.copies:
            self.assertTrue(any(path == n or n.endswith("/") and path.startswith(n) for n in named), path)
        for name in named:
            self.assertTrue(any(path.startswith(name) for path in self.copies), name)


class ReadersOfTheRfc(unittest.TestCase):
    """docs/rfc.rst names nothing that is not there."""

    def setUp(self):
        self.text = (REPOSITORY / "docs/rfc.rst").read_text()

    def test_each_literal_is_in_the_repository(self):
        names = git("ls-files", "--cached", "--others", "--exclude-standard", "Makefile", "rust", "tests",
                    where=REPOSITORY).split("\n")
        files = "\n".join([*names, *((REPOSITORY / n).read_text(errors="replace") for n in names
                                     if (REPOSITORY / n).is_file() and "test_series" not in n)])
        literals = set(re.findall(r"``(.+?)``", self.text))
        self.assertGreater(len(literals), 30)

        def there(literal):
            if literal.endswith("/"):
                return (REPOSITORY / literal).is_dir()
            target = re.match(r"make ([a-z]+)", literal)
            words = [f"{target[1]}: ##"] if target else literal.split("::")
            return all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", files) for word in words)

        self.assertEqual([literal for literal in sorted(literals) if not there(literal)], [])


if __name__ == "__main__":
    unittest.main()
