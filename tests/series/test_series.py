# SPDX-License-Identifier: GPL-2.0
"""The series: what each patch takes, and the commits and mails that are made of a made-up kernel."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests/integrate")]

import patches  # noqa: E402
from integration import anchors, fixes, plan, series, tree  # noqa: E402
from synthetic import KERNEL, TABLE, snapshot, write_files  # noqa: E402

TREES = [Path(p) for p in os.environ.get("BPF_ASYNC_TREES", "").split(":") if p]

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

[[file.anchor]]
name = "value"
function = 'int f\(.*'
pattern = '(?P<indent>\s*)return %d;'
where = "replace"
lines = '{indent}return %d;'
"""
SERIES = {
    "series/01-begin.txt": "# SPDX\nbpf: Begin\n\nIt begins.\n---\nkernel/bpf/ours.c\n"
                           "kernel/bpf/code.c: first\n",
    "series/02-rest.txt": "# SPDX\nbpf: The rest\n\nIt ends.\n---\nrust/kernel/ours/a.rs\n"
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


def git(*words, where, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(["git", "-C", where, *words], env=env, check=True, capture_output=True,
                          text=True, **more).stdout.strip()


class Made(unittest.TestCase):
    """A made-up repository, a user's git tree of a made-up kernel, and a repository of ours."""

    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="series-test-"))
        self.addCleanup(shutil.rmtree, self.top)
        self.source, self.base, self.repo = (self.top / n for n in ("source", "base", "repo.git"))
        # The table of statistics needs a file; it is no part of this kernel.
        write_files(self.source, OURS | SERIES | {"integration/anchors.toml": TABLE})
        write_files(self.base, KERNEL | {"kernel/bpf/helpers.c": ""})
        (self.source / "rust/kernel/bpf").mkdir()
        self.edit("series/02-rest.txt", "rust/kernel/ours", "rust/kernel/bpf.rs\nrust/kernel/ours")
        git("init", "-q", where=self.base)
        git("add", "-A", where=self.base)
        git("commit", "-q", "-m", "base", where=self.base)
        git("init", "-q", "--bare", self.repo, where=self.top)
        (self.repo / "objects/info/alternates").write_text(f"{self.base}/.git/objects\n")

    def edit(self, relative, old, new):
        path = self.source / relative
        self.assertIn(old, path.read_text())
        path.write_text(path.read_text().replace(old, new))

    def make(self, *words):
        """Exit status and standard error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = patches.main(["--source", str(self.source), "--repo", str(self.repo), "--base",
                                   git("rev-parse", "HEAD", where=self.base), "--out", str(self.top / "mails"), *words])
        return status, err.getvalue()

    def refuse(self, *words, fixes=()):
        status, err = self.make(*fixes)
        self.assertEqual(status, 1)
        for word in words:
            self.assertIn(word, err)
        self.assertFalse((self.top / "mails").exists())

    def show(self, what):
        return git("show", what, where=self.repo)

    def test_mails_give_the_tree_that_integration_gives(self):
        before = snapshot(self.base)
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(snapshot(self.base), before)
        mails = sorted((self.top / "mails").iterdir())
        self.assertEqual(len(mails), 3)
        user = self.top / "user"
        git("clone", "-q", self.base, user, where=self.top)
        git("am", "-q", *mails[1:], where=user)
        self.assertEqual(git("rev-parse", "HEAD^{tree}", where=user),
                         git("rev-parse", "series^{tree}", where=self.repo))
        table = anchors.load(self.source / "integration/anchors.toml")
        todo = plan.in_place(table, plan.sources(self.source), tree.open_tree(user, table.kernels))
        self.assertEqual(set(todo.contents), {tree.MANIFEST})
        self.assertEqual(todo.removals, [])

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
        letter = next((self.top / "mails").glob("0000-*")).read_text()
        self.assertIn("Subject: [RFC PATCH bpf-next 0/2] bpf: A series\n", letter)
        self.assertIn("It has 2 patches for Linux 7.3.4.\nTests: C: 1 pass; Rust: 2 pass, "
                      "start:   347   318, bench on this code\n", letter)
        self.assertIn(f"base-commit: {git('rev-parse', 'HEAD', where=self.base)}\n", letter)
        self.assertNotIn("Signed-off-by", letter)

    def test_the_same_files_give_the_same_commits(self):
        self.make()
        first = git("rev-parse", "series", where=self.repo)
        self.make()
        self.assertEqual(git("rev-parse", "series", where=self.repo), first)

    def test_unknown_value(self):
        self.edit("series/cover.txt", "@patches@", "@patchez@")
        self.refuse("@patchez@")

    def test_file_in_no_patch(self):
        write_files(self.source, {"kernel/bpf/new.c": ""})
        self.refuse("kernel/bpf/new.c: is in no patch")

    def test_anchor_in_no_patch(self):
        self.edit("series/01-begin.txt", "kernel/bpf/code.c: first\n", "")
        self.refuse('kernel/bpf/code.c: anchor "first": is in no patch')

    def test_taken_twice(self):
        self.edit("series/02-rest.txt", "end; function", "end; function; first")
        self.refuse("02-rest", 'anchor "first": is in 01-begin already')

    def test_nothing_of_that_name(self):
        self.edit("series/02-rest.txt", "rust/kernel/ours/a.rs", "rust/kernel/ours/a.rs\nrust/kernel/b.rs")
        self.refuse("02-rest: rust/kernel/b.rs: there is none in this repository")

    def test_diff_that_does_not_fit(self):
        self.edit("kernel/bpf/ours.c", "int more;", "long more;")
        self.refuse("02-rest.diff: does not fit")

    def test_diff_of_a_file_that_comes_later(self):
        self.edit("series/01-begin.txt", "kernel/bpf/ours.c\n", "")
        self.edit("series/02-rest.txt", "---\n", "---\nkernel/bpf/ours.c\n")
        self.refuse("02-rest.diff: kernel/bpf/ours.c: no earlier patch takes it")

    def test_anchor_that_does_not_match_the_base(self):
        write_files(self.base, {"kernel/bpf/code.c": "int other;\n"})
        git("commit", "-q", "-a", "-m", "other", where=self.base)
        self.refuse('kernel/bpf/code.c: anchor "first" matched 0 times')

    def test_base_that_has_the_series_already(self):
        self.make()
        shutil.rmtree(self.top / "mails")
        git("pull", "-q", self.repo, "series", where=self.base)
        self.refuse("kernel/bpf/ours.c: is a file of kernel 7.3.4 already",
                    "kernel/bpf/code.c: holds insertions of ours already")

    def test_base_that_is_no_kernel(self):
        git("rm", "-q", "Makefile", where=self.base)
        git("commit", "-q", "-m", "none", where=self.base)
        self.refuse("holds no kernel")

    def test_long_line(self):
        self.edit("series/01-begin.txt", "It begins.", "x" * 76)
        self.refuse("01-begin: more than 75 characters")

    def test_renewed_diff_is_the_same_difference(self):
        self.edit("kernel/bpf/ours.c", "/* ours */\n", "/* new */\n/* ours */\n")
        self.assertEqual(patches.main(["--source", str(self.source), "--renew"]), 0)
        diff = (self.source / "series/02-rest.diff").read_text()
        self.assertIn("# SPDX", diff)
        self.assertIn(" /* new */\n", diff)
        self.assertEqual(self.make()[0], 0)
        self.assertEqual(self.show("series~1:kernel/bpf/ours.c"), "/* new */\n/* ours */\nint ours;\nint end;")


    def test_fixes(self):
        self.assertEqual(self.make("--fixes", "repairs")[0], 0)
        for commit, value in (("repairs~1", 1), ("repairs", 2)):
            self.assertEqual(self.show(f"{commit}:kernel/bpf/code.c").split("return ")[1][:2], f"{value};")
        self.assertEqual(git("diff", "--stat", "repairs~2", "repairs", where=self.repo).count("|"), 1)
        letter = next((self.top / "mails").glob("0000-*")).read_text()
        self.assertIn("Subject: [PATCH bpf 0/2] bpf: Repairs\n", letter)
        self.assertIn("2 for Linux 7.3.4.", letter)

    def test_fixes_do_not_change_the_series(self):
        self.make()
        first = git("rev-parse", "series", where=self.repo)
        self.make("--fixes", "repairs")
        self.assertEqual(git("rev-parse", "series", where=self.repo), first)

    def test_fix_that_does_not_match(self):
        self.edit("series/repairs/02-two.toml", "return 1;", "return 3;")
        self.refuse('02-two: kernel/bpf/code.c: anchor "value" matched 0 times', fixes=("--fixes", "repairs"))

    def test_fix_without_a_case(self):
        self.edit("series/repairs/02-two.txt", "H3\n", "")
        self.refuse("02-two: names no test", fixes=("--fixes", "repairs"))

    def test_edits_without_a_mail(self):
        (self.source / "series/repairs/03-three.toml").write_text(REPAIR)
        self.refuse("03-three.toml: there is no 03-three.txt", fixes=("--fixes", "repairs"))

    def test_fixes_that_are_not_there(self):
        self.refuse("there is no series repair, but repairs", fixes=("--fixes", "repair"))


class RealFixes(unittest.TestCase):
    """The series of fixes of this repository."""

    def setUp(self):
        self.fixes = fixes.load(REPOSITORY / "series/c-fixes")

    def test_each_case_is_there_and_shows_a_bug(self):
        cases = tomllib.loads((REPOSITORY / "tests/selftests/cases.toml").read_text())
        for patch, _ in self.fixes:
            for name in patch.files:
                self.assertIn("c_says", cases[name])

    def test_no_sign_off(self):
        for patch, _ in self.fixes:
            self.assertNotRegex(patch.body, r"(?m)^[A-Z][a-z]+(-[a-z]+)*-by: |^Cc: ")

    def test_cover_letter(self):
        letter = patches.cover((REPOSITORY / "series/c-fixes/cover.txt").read_text(),
                               {"kernel": "7.3.4", "patches": len(self.fixes)})
        for number, (patch, _) in enumerate(self.fixes, 1):
            said = re.search(rf"(?m)^{number}  ((?:async|timer|wq)_.*\n(?:   .*\n)*)", letter)[1]
            self.assertEqual(re.findall(r"\b(?:async|timer|wq)_\w+", said), list(patch.files))

    def test_fits_the_kernel_and_leaves_room_for_the_insertions(self):
        table = anchors.load(REPOSITORY / "integration/anchors.toml")
        for root in TREES:
            pristine = tree.open_tree(root, table.kernels)
            fixed = {}
            for changed in fixes.states(self.fixes, pristine):
                fixed |= changed
            specs = [s for s in table.files if s.path in fixed]
            self.assertIn("kernel/bpf/helpers.c", [s.path for s in specs])
            for spec in specs:
                spec.insert(fixed[spec.path].decode())


class Real(unittest.TestCase):
    """The series of this repository."""

    def setUp(self):
        self.table = anchors.load(REPOSITORY / "integration/anchors.toml")
        self.copies = plan.sources(REPOSITORY)
        self.patches = series.load(REPOSITORY / "series", self.table)

    def test_everything_is_in_one_patch(self):
        series.check(self.patches, self.table, self.copies)

    def test_no_sign_off_and_no_tag(self):
        for path in (REPOSITORY / "series").glob("*.txt"):
            self.assertNotRegex(path.read_text(), r"(?m)^[A-Z][a-z]+(-[a-z]+)*-by: |^Cc: ")

    def test_cover_letter(self):
        values = patches.values(REPOSITORY, "7.3.4", self.patches)
        letter = patches.cover((REPOSITORY / "series/cover.txt").read_text(), values)
        self.assertNotRegex(letter, r"@[\w -]+@|TODO|FIXME")

    def test_maintainers_names_each_file(self):
        [spec] = [s for s in self.table.files if s.path == "MAINTAINERS"]
        named = [line.split()[1] for a in spec.anchors for line in a.lines if line.startswith("F:")]
        self.assertEqual(named, sorted(named))
        for path in self.copies:
            self.assertTrue(any(path == n or n.endswith("/") and path.startswith(n) for n in named), path)
        for name in named:
            self.assertTrue(any(path == name or path.startswith(name) for path in self.copies), name)

    def test_last_state_is_what_integration_makes(self):
        self.assertTrue(TREES, "BPF_ASYNC_TREES names no pristine kernel")
        for root in TREES:
            pristine = tree.open_tree(root, self.table.kernels)
            states = series.states(self.patches, self.table, self.copies, pristine)
            last = {path: content for state in states for path, content in state.items()}
            wanted = dict(self.copies)
            for spec in self.table.files:
                text = pristine.read(spec.path).decode("utf-8", "surrogateescape")
                wanted[spec.path] = spec.insert(text).encode("utf-8", "surrogateescape")
            self.assertEqual([p for p in sorted({*last, *wanted}) if last.get(p) != wanted.get(p)], [])


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

    def test_each_case_has_a_result(self):
        results = (REPOSITORY / "docs/results.rst").read_text()
        for case in set(re.findall(r"\bH\d+\b", self.text)):
            self.assertRegex(results, rf"(?m)^    {case} ")


if __name__ == "__main__":
    unittest.main()
