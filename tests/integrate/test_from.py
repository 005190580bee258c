# SPDX-License-Identifier: GPL-2.0
"""integrate.py --from PRISTINE TREE: always what the repository says now, with the least writing."""

import shutil
from unittest import main

from synthetic import COPIED, KERNEL, LONG_AGO, TreeTest, snapshot, write_files

from integration import tree as tree_module


class From(TreeTest):
    def apply(self):
        return self.succeed("--from", self.pristine, self.tree)

    def refuse_from(self):
        return self.refuse("--from", self.pristine, self.tree)

    def drop_from_table(self, path):
        table = self.source / "integration/anchors.toml"
        head, *entries = table.read_text().split("[[file]]")
        kept = [e for e in entries if f'path = "{path}"' not in e]
        self.assertEqual(len(kept), len(entries) - 1)
        table.write_text("[[file]]".join([head, *kept]))

    def test_same_result_as_in_place(self):
        self.apply()
        other = self.top / "other"
        shutil.copytree(self.pristine, other)
        self.succeed(other)
        contents = [{n: e[0] for n, e in snapshot(t).items()} for t in (self.tree, other)]
        self.assertEqual(*contents)

    def test_second_run_writes_nothing(self):
        self.apply()
        self.age()
        before = snapshot(self.tree)
        self.assertIn("nothing to do", self.apply())
        self.assertEqual(snapshot(self.tree), before)

    def test_changed_insertion_is_recomputed_and_only_that_file_is_written(self):
        self.apply()
        self.age()
        self.edit(self.source, "integration/anchors.toml", 'bool "ours"', 'bool "better"')
        self.apply()
        self.assertEqual(self.text("kernel/bpf/Kconfig"),
                         'menu "m"\nconfig OURS\n\tbool "better"\n\nendmenu\n')
        self.assertGreater(self.mtime("kernel/bpf/Kconfig"), LONG_AGO)
        for relative in ("kernel/bpf/code.c", "kernel/bpf/other.c", *COPIED):
            self.assertEqual(self.mtime(relative), LONG_AGO)

    def test_changed_copy_is_written_again(self):
        self.apply()
        self.age()
        write_files(self.source, {"kernel/bpf/ours.c": "int newer;\n"})
        self.apply()
        self.assertEqual(self.text("kernel/bpf/ours.c"), "int newer;\n")
        self.assertEqual(self.mtime("rust/kernel/ours/a.rs"), LONG_AGO)

    def test_copy_that_is_gone_from_the_repository_is_removed(self):
        self.apply()
        (self.source / "rust/kernel/ours/a.rs").unlink()
        self.apply()
        self.assertFalse((self.tree / "rust").exists())
        self.assertTrue((self.tree / "kernel/bpf/ours.c").exists())
        (self.source / "kernel/bpf/ours.c").unlink()
        self.apply()
        self.assertFalse((self.tree / "kernel/bpf/ours.c").exists())
        self.assertTrue((self.tree / "kernel/bpf/other.c").exists())

    def test_formerly_changed_file_is_restored(self):
        self.apply()
        self.age()
        self.drop_from_table("kernel/bpf/Kconfig")
        self.apply()
        self.assertEqual(self.text("kernel/bpf/Kconfig"), KERNEL["kernel/bpf/Kconfig"])
        # make must see that the file is not what it was built from.
        self.assertGreater(self.mtime("kernel/bpf/Kconfig"), LONG_AGO)

    def test_read_only_files_of_the_copy_are_no_obstacle(self):
        path = self.tree / "kernel/bpf/code.c"
        path.chmod(0o444)
        self.apply()
        self.assertIn("OURS", path.read_text())
        self.assertEqual(path.stat().st_mode & 0o777, 0o444)

    def test_pristine_is_never_touched(self):
        before = snapshot(self.pristine)
        self.apply()
        self.drop_from_table("kernel/bpf/Kconfig")
        self.apply()
        self.assertEqual(snapshot(self.pristine), before)

    def test_mismatch_leaves_the_tree(self):
        self.apply()
        self.edit(self.pristine, "kernel/bpf/code.c", "/* end */", "")
        err = self.refuse_from()
        self.assertIn('anchor "end" matched 0 times', err)
        self.assertIn("kernel 7.3.4", err)

    def test_pristine_with_insertions_is_refused(self):
        self.edit(self.pristine, "kernel/bpf/code.c", "return 0;", "return OURS;")
        self.assertIn("another form of our insertions", self.refuse_from())

    def test_pristine_already_integrated_is_refused(self):
        self.succeed(self.pristine)
        self.assertIn("another form of our insertions", self.refuse_from())

    def test_file_of_the_kernel_is_never_overwritten(self):
        write_files(self.source, {"kernel/bpf/other.c": KERNEL["kernel/bpf/other.c"]})
        self.assertIn("kernel/bpf/other.c: is a file of kernel 7.3.4 itself", self.refuse_from())

    def test_another_kernel_version_is_refused(self):
        self.edit(self.tree, "Makefile", "SUBLEVEL = 4", "SUBLEVEL = 5")
        self.assertIn("7.3.5", self.refuse_from())

    def test_same_folder_is_refused(self):
        self.assertIn("same folder", self.refuse("--from", self.tree, self.tree))

    def test_no_kernel_tree(self):
        self.assertIn("not a kernel tree", self.refuse("--from", self.top, self.tree))
        self.assertIn("not a kernel tree", self.refuse("--from", self.pristine, self.top))

    def test_manifest_cannot_remove_a_kernel_file(self):
        write_files(self.tree, {tree_module.MANIFEST:
                                '{"copied": {"kernel/bpf/other.c": ""}, "changed": {}}'})
        self.apply()
        self.assertEqual(self.text("kernel/bpf/other.c"), KERNEL["kernel/bpf/other.c"])


if __name__ == "__main__":
    main()
