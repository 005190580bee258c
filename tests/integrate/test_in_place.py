# SPDX-License-Identifier: GPL-2.0
"""integrate.py TREE: what it inserts and copies, and when it refuses to."""

import subprocess
import sys
from unittest import main, mock

from synthetic import COPIED, KERNEL, LONG_AGO, REPOSITORY, TreeTest, snapshot, write_files

from integration import tree as tree_module


class Result(TreeTest):
    def test_inserts_and_copies(self):
        self.succeed(self.tree)
        self.assertEqual(self.text("kernel/bpf/Kconfig"),
                         'menu "m"\nconfig OURS\n\tbool "ours"\n\nendmenu\n')
        for relative, content in COPIED.items():
            self.assertEqual(self.text(relative), content)

    def test_captured_name_is_inserted(self):
        self.succeed(self.tree)
        self.assertEqual(
            self.text("kernel/bpf/code.c"),
            '#include "a.h"\n#include "OURS.h"\n\f\n#ifdef OURS\nint f(void *p__map)\n{\n'
            '\treturn ours(p__map);\n}\n#else\nint f(void *p__map)\n{\n\treturn 0;\n}\n'
            '#endif /* OURS */\n/* end */\n')

    def test_touches_nothing_else(self):
        self.succeed(self.tree)
        self.assertEqual(self.text("kernel/bpf/other.c"), KERNEL["kernel/bpf/other.c"])
        self.assertEqual(self.mtime("kernel/bpf/other.c"), LONG_AGO)
        expected = {*KERNEL, *COPIED, tree_module.MANIFEST}
        found = {name for name, entry in snapshot(self.tree).items() if entry[0] is not None}
        self.assertEqual(found, expected)

    def test_keeps_the_mode_of_a_changed_file(self):
        path = self.tree / "kernel/bpf/code.c"
        path.chmod(0o755)
        self.succeed(self.tree)
        self.assertEqual(path.stat().st_mode & 0o777, 0o755)

    def test_does_not_write_through_a_hard_link(self):
        path = self.tree / "kernel/bpf/Kconfig"
        path.unlink()
        path.hardlink_to(self.pristine / "kernel/bpf/Kconfig")
        self.succeed(self.tree)
        self.assertEqual((self.pristine / "kernel/bpf/Kconfig").read_text(),
                         KERNEL["kernel/bpf/Kconfig"])

    def test_leaves_build_products_of_the_repository_behind(self):
        write_files(self.source, {"samples/rust/m.mod.c": "", "samples/rust/m.o": "",
                                  "samples/rust/.m.o.cmd": "", "rust/.cache/x.rs": "",
                                  "samples/rust/m.rs": "// m\n"})
        self.succeed(self.tree)
        self.assertEqual([p.name for p in (self.tree / "samples/rust").iterdir()], ["m.rs"])
        self.assertFalse((self.tree / "rust/.cache").exists())


class Twice(TreeTest):
    def test_second_run_changes_nothing(self):
        self.succeed(self.tree)
        self.age()
        before = snapshot(self.tree)
        self.assertIn("nothing to do", self.succeed(self.tree))
        self.assertEqual(snapshot(self.tree), before)

    def test_second_run_needs_no_manifest(self):
        self.succeed(self.tree)
        self.age()
        (self.tree / tree_module.MANIFEST).unlink()
        self.succeed(self.tree)
        for relative in ("kernel/bpf/Kconfig", "kernel/bpf/code.c", *COPIED):
            self.assertEqual(self.mtime(relative), LONG_AGO)

    def test_finishes_what_an_interrupted_run_began(self):
        self.succeed(self.tree)
        whole = {name: entry[0] for name, entry in snapshot(self.tree).items()}
        (self.tree / tree_module.MANIFEST).unlink()
        (self.tree / "kernel/bpf/ours.c").unlink()
        write_files(self.tree, {"kernel/bpf/code.c": KERNEL["kernel/bpf/code.c"]})
        self.succeed(self.tree)
        self.assertEqual({n: e[0] for n, e in snapshot(self.tree).items()}, whole)

    def test_updates_and_removes_unchanged_copies(self):
        self.succeed(self.tree)
        write_files(self.source, {"kernel/bpf/ours.c": "int newer;\n"})
        (self.source / "rust/kernel/ours/a.rs").unlink()
        self.succeed(self.tree)
        self.assertEqual(self.text("kernel/bpf/ours.c"), "int newer;\n")
        self.assertFalse((self.tree / "rust").exists())


class Mismatch(TreeTest):
    def assert_named(self, err, count):
        for part in ("kernel/bpf/code.c", '"end"', f"matched {count} times", r"/\* end \*/",
                     "kernel 7.3.4", "nothing was changed"):
            self.assertIn(part, err)

    def test_no_match(self):
        self.edit(self.tree, "kernel/bpf/code.c", "/* end */", "/* END */")
        self.assert_named(self.refuse(self.tree), 0)

    def test_two_matches(self):
        self.edit(self.tree, "kernel/bpf/code.c", "/* end */", "/* end */\n/* end */")
        self.assert_named(self.refuse(self.tree), 2)

    def test_whole_lines_only(self):
        self.edit(self.tree, "kernel/bpf/code.c", "/* end */", "/* end */ int x;")
        self.assert_named(self.refuse(self.tree), 0)

    def test_every_mismatch_is_named(self):
        self.edit(self.tree, "kernel/bpf/code.c", "/* end */", "")
        self.edit(self.tree, "kernel/bpf/Kconfig", "endmenu", "")
        err = self.refuse(self.tree)
        self.assertIn("kernel/bpf/code.c", err)
        self.assertIn("kernel/bpf/Kconfig", err)

    def test_missing_file(self):
        (self.tree / "kernel/bpf/code.c").unlink()
        self.assertIn("kernel/bpf/code.c: no such file in kernel 7.3.4", self.refuse(self.tree))


class Refused(TreeTest):
    def test_older_insertion(self):
        self.succeed(self.tree)
        self.edit(self.tree, "kernel/bpf/Kconfig", '"ours"', '"our own"')
        err = self.refuse(self.tree)
        self.assertIn("kernel/bpf/Kconfig: holds another form of our insertions, line 2", err)

    def test_part_of_the_insertions(self):
        self.succeed(self.tree)
        self.edit(self.tree, "kernel/bpf/code.c", '#include "OURS.h"\n', "")
        self.assertIn("another form of our insertions", self.refuse(self.tree))

    def test_insertion_elsewhere(self):
        self.edit(self.tree, "kernel/bpf/Kconfig", 'menu "m"\n',
                  'config OURS\n\tbool "ours"\n\nmenu "m"\n')
        self.assertIn("another form of our insertions", self.refuse(self.tree))

    def test_insertion_that_is_no_longer_wanted(self):
        self.succeed(self.tree)
        table = self.source / "integration/anchors.toml"
        text = table.read_text()
        start = text.index("[[file]]")
        table.write_text(text[:start] + text[text.index("[[file]]", start + 1):])
        self.assertIn("kernel/bpf/Kconfig: holds insertions of an earlier run",
                      self.refuse(self.tree))

    def test_kernel_file_is_never_overwritten(self):
        write_files(self.source, {"kernel/bpf/other.c": "int mine;\n"})
        self.assertIn("kernel/bpf/other.c: exists in kernel 7.3.4", self.refuse(self.tree))

    def test_edited_copy_is_never_overwritten(self):
        self.succeed(self.tree)
        self.edit(self.tree, "kernel/bpf/ours.c", "ours", "edited")
        self.assertIn("kernel/bpf/ours.c: exists", self.refuse(self.tree))

    def test_edited_copy_is_never_removed(self):
        self.succeed(self.tree)
        self.edit(self.tree, "kernel/bpf/ours.c", "ours", "edited")
        (self.source / "kernel/bpf/ours.c").unlink()
        self.assertIn("edited since", self.refuse(self.tree))

    def test_read_only_file(self):
        (self.tree / "kernel/bpf/code.c").chmod(0o444)
        self.assertIn("kernel/bpf/code.c: is read-only", self.refuse(self.tree))

    def test_no_kernel_tree(self):
        for relative in ("Makefile", "kernel/bpf/Kconfig"):
            with self.subTest(without=relative):
                other = self.top / "other"
                write_files(other, {"Makefile": "all:\n"})
                self.assertIn("not a kernel tree", self.refuse(other))
        self.assertIn("no such folder", self.refuse(self.top / "nowhere"))

    def test_kernel_makefile_without_the_kernel(self):
        other = self.top / "other"
        write_files(other, {"Makefile": KERNEL["Makefile"]})
        self.assertIn("not a kernel tree", self.refuse(other))

    def test_unsupported_version(self):
        for old, new, shown in (("PATCHLEVEL = 3", "PATCHLEVEL = 4", "7.4.4"),
                                ("VERSION = 7", "VERSION = 6", "6.4.4")):
            self.edit(self.tree, "Makefile", old, new)
            err = self.refuse(self.tree)
            self.assertIn(f"kernel {shown} is not supported", err)
            self.assertIn("7.2.y or 7.3.y", err)

    def test_damaged_manifest(self):
        for content in ("{", "[]", '{"copied": {"../x": ""}, "changed": {}}'):
            write_files(self.tree, {tree_module.MANIFEST: content})
            self.assertIn(tree_module.MANIFEST, self.refuse(self.tree))

    def test_bad_arguments(self):
        self.refuse()
        self.refuse(self.tree, "--list")
        self.refuse(self.tree, "--check", self.tree)


class Interrupted(TreeTest):
    """A failure while writing: the tree is as it was, and the next run works."""

    def fail_at(self, number, error):
        real, calls = tree_module.Path.write_bytes, []

        def write_bytes(path, content):
            calls.append(path)
            if len(calls) == number:
                raise error
            return real(path, content)
        return mock.patch.object(tree_module.Path, "write_bytes", write_bytes)

    def test_full_disk(self):
        for number in range(1, 6):
            with self.fail_at(number, OSError(28, "No space left on device", "some/file")):
                self.assertIn("No space left on device", self.refuse(self.tree))
        self.succeed(self.tree)

    def test_ctrl_c(self):
        with self.fail_at(3, KeyboardInterrupt()):
            self.assertIn("interrupted", self.refuse(self.tree))
        self.succeed(self.tree)

    def test_file_where_a_folder_is_needed(self):
        write_files(self.tree, {"rust": "a file\n"})
        self.assertIn("cannot be written", self.refuse(self.tree))


class CommandLine(TreeTest):
    def test_exit_status(self):
        command = [sys.executable, REPOSITORY / "scripts/integrate.py", "--source", self.source]
        done = subprocess.run([*command, self.tree], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        done = subprocess.run([*command, self.top], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_list(self):
        self.assertEqual(self.succeed("--list").splitlines(), [
            "copy   kernel/bpf/ours.c", "copy   rust/kernel/ours/a.rs",
            "change kernel/bpf/Kconfig (1 insertions)",
            "change kernel/bpf/code.c (3 insertions)"])

    def test_check(self):
        before = snapshot(self.pristine)
        self.assertEqual(len(self.succeed("--check", self.pristine).splitlines()), 3)
        self.assertEqual(snapshot(self.pristine), before)
        self.edit(self.tree, "kernel/bpf/code.c", "/* end */", "")
        self.assertIn('"end"', self.refuse("--check", self.tree))

    def test_check_says_what_is_there(self):
        self.succeed(self.tree)
        said = self.succeed("--check", self.tree)
        self.assertEqual(said.count("has our insertions"), 2)
        self.assertIn("2 of them there already", said)

    def test_check_looks_at_the_copies(self):
        write_files(self.tree, {"rust/kernel/ours/a.rs": "of another\n"})
        self.assertIn("it is not overwritten", self.refuse("--check", self.tree))


if __name__ == "__main__":
    main()
