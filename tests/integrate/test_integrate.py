# SPDX-License-Identifier: GPL-2.0
"""integrate.py: what it inserts, copies, updates and takes away, and when it refuses to."""

import shutil
from pathlib import Path
from unittest import main, mock

from synthetic import COPIED, KERNEL, REPOSITORY, TREES, TreeTest, contents, snapshot, write_files

import integrate
from integration import anchors

INTEGRATED = {
    "kernel/bpf/Kconfig": 'menu "m"\nconfig OURS\n\tbool "ours"\n\nendmenu\n',
    "kernel/bpf/code.c":
        '#include "a.h"\n#include "OURS.h"\n\f\n#ifdef OURS\nint f(void *p__map)\n{\n\treturn ours(p__map);\n}\n#else\n'
        'int f(void *p__map)\n{\n\treturn 0;\n}\n#endif /* OURS */\n/* end */\n'}
KCONFIG, CODE = INTEGRATED
TABLE = "integration/anchors.toml"


class Both(TreeTest):
    """TREE, and --from PRISTINE TREE."""

    def drop_kconfig(self):
        """The table has no insertions into that file any longer."""
        head, _, rest = (self.source / TABLE).read_text().split("[[file]]")
        (self.source / TABLE).write_text(f"{head}[[file]]{rest}")

    def ways(self):
        """The arguments of both ways, each with fresh folders."""
        for words in ([self.tree], ["--from", self.pristine, self.tree]):
            self.fresh()
            with self.subTest(words=words):
                yield words

    def test_result(self):
        for words in self.ways():
            (self.tree / CODE).chmod(0o755)
            before = snapshot(self.pristine)
            self.assertIn("kernel 7.3.4: 4 files written, 0 removed", self.succeed(*words))
            for relative, content in (KERNEL | COPIED | INTEGRATED).items():
                self.assertEqual(self.text(relative), content)
            self.assertEqual(self.written(), {*COPIED, *INTEGRATED, integrate.MANIFEST})
            self.assertEqual((self.tree / CODE).stat().st_mode & 0o777, 0o755)
            self.assertEqual(snapshot(self.pristine), before)

    def test_second_run_writes_nothing(self):
        for words in self.ways():
            self.succeed(*words)
            before = snapshot(self.tree)
            self.assertIn("nothing to do", self.succeed(*words))
            self.assertEqual(snapshot(self.tree), before)
            (self.tree / integrate.MANIFEST).unlink()
            self.age()
            self.succeed(*words)
            self.assertEqual(self.written(), {integrate.MANIFEST})

    def test_finishes_what_an_interrupted_run_began(self):
        for words in self.ways():
            self.succeed(*words)
            whole = contents(self.tree)
            (self.tree / integrate.MANIFEST).unlink()
            (self.tree / "kernel/bpf/ours.c").unlink()
            write_files(self.tree, {CODE: KERNEL[CODE]})
            self.succeed(*words)
            self.assertEqual(contents(self.tree), whole)

    def test_updates_and_removes_copies(self):
        for words in self.ways():
            self.succeed(*words)
            self.age()
            write_files(self.source, {"kernel/bpf/ours.c": "int newer;\n"})
            (self.source / "rust/kernel/ours/a.rs").unlink()
            self.assertIn("1 files written, 1 removed", self.succeed(*words))
            self.assertEqual(self.text("kernel/bpf/ours.c"), "int newer;\n")
            self.assertFalse((self.tree / "rust").exists())
            self.assertEqual(self.written(), {"kernel/bpf/ours.c", integrate.MANIFEST})

    def test_from_updates_and_restores_insertions(self):
        words = ["--from", self.pristine, self.tree]
        self.assertIn("is not up to date: 5 files to write", self.refuse("--check", *words))
        self.succeed(*words)
        self.assertEqual(self.succeed("--check", *words), "")
        self.age()
        self.edit(self.source, TABLE, 'bool "ours"', 'bool "better"')
        self.assertIn("is not up to date: 2 files to write", self.refuse("--check", *words))
        self.assertEqual(self.written(), set())
        self.succeed(*words)
        self.assertEqual(self.text(KCONFIG), INTEGRATED[KCONFIG].replace("ours", "better"))
        self.assertEqual(self.written(), {KCONFIG, integrate.MANIFEST})
        self.age()
        self.drop_kconfig()
        # What a manifest names is not removed if it is the kernel's.
        self.edit(self.tree, integrate.MANIFEST, '"kernel/bpf/ours.c"', '"kernel/bpf/other.c": "", "kernel/bpf/ours.c"')
        (self.tree / CODE).chmod(0o444)
        self.succeed(*words)
        self.assertEqual(self.text(KCONFIG), KERNEL[KCONFIG])
        self.assertEqual(self.text("kernel/bpf/other.c"), KERNEL["kernel/bpf/other.c"])
        self.assertEqual(self.written(), {KCONFIG, integrate.MANIFEST})

    def test_does_not_write_through_a_hard_link(self):
        (self.tree / KCONFIG).unlink()
        (self.tree / KCONFIG).hardlink_to(self.pristine / KCONFIG)
        self.succeed(self.tree)
        self.assertEqual((self.pristine / KCONFIG).read_text(), KERNEL[KCONFIG])

    def test_leaves_build_products_of_the_repository_behind(self):
        write_files(self.source, {"samples/rust/m.mod.c": "", "samples/rust/m.o": "", "samples/rust/.m.o.cmd": "",
                                  "rust/.cache/x.rs": "", "samples/rust/m.rs": "// m\n"})
        self.succeed(self.tree)
        self.assertEqual([p.name for p in (self.tree / "samples/rust").iterdir()], ["m.rs"])
        self.assertFalse((self.tree / "rust/.cache").exists())

    def refusals(self, words, cases):
        """Of each case: whether it is a second run, what is done before, what has to be said."""
        for second, change, *messages in cases:
            self.fresh()
            if second:
                self.succeed(*words)
            change()
            with self.subTest(messages):
                err = self.refuse(*words)
                for message in messages:
                    self.assertIn(message, err)

    def test_refusals_in_place(self):
        def edit(path, old, new):
            return lambda: self.edit(self.tree, path, old, new)

        def edit_and_drop():
            self.edit(self.tree, "kernel/bpf/ours.c", "ours", "edited")
            (self.source / "kernel/bpf/ours.c").unlink()

        def two_files():
            self.edit(self.tree, CODE, "/* end */", "")
            self.edit(self.tree, KCONFIG, "endmenu", "")

        another = "holds another form of our insertions, line "
        self.refusals([self.tree], [
            (False, edit(CODE, "/* end */", "/* END */"), f'{CODE}: anchor "end" matched 0 times instead of once',
             r', pattern: /\* end \*/ (kernel 7.3.4)', "integrate.py: nothing was changed\n"),
            (False, edit(CODE, "/* end */", "/* end */\n/* end */"), "matched 2 times instead of once (lines 7, 8)"),
            (False, edit(CODE, "/* end */", "/* end */ int x;"), "matched 0 times"),
            (False, two_files, f'{CODE}: anchor "end"', f'{KCONFIG}: anchor "switch"'),
            (False, (self.tree / CODE).unlink, f"{CODE}: no such file in kernel 7.3.4"),
            (True, edit(KCONFIG, '"ours"', '"our own"'), f"{KCONFIG}: {another}2 (config OURS)"),
            (True, edit(CODE, '#include "OURS.h"\n', ""), f"{CODE}: {another}"),
            (False, edit(KCONFIG, 'menu "m"\n', 'config OURS\n\tbool "ours"\n\nmenu "m"\n'), f"{KCONFIG}: {another}"),
            (True, self.drop_kconfig, f"{KCONFIG}: holds insertions of an earlier run that are no longer wanted"),
            (False, lambda: write_files(self.source, {"kernel/bpf/other.c": "int mine;\n"}),
             "kernel/bpf/other.c: exists in kernel 7.3.4 with other content"),
            (True, edit("kernel/bpf/ours.c", "ours", "edited"), "kernel/bpf/ours.c: exists in kernel 7.3.4"),
            (True, edit_and_drop, "kernel/bpf/ours.c: was copied by an earlier run", "edited since"),
            (False, lambda: (self.tree / CODE).chmod(0o444), f"{CODE}: is read-only"),
            (False, lambda: write_files(self.tree, {"rust": "a file\n"}), "cannot be written"),
            (False, edit("Makefile", "VERSION", "VERSIO"), "not a kernel tree"),
            (False, lambda: shutil.rmtree(self.tree / "kernel"), "not a kernel tree"),
            (False, lambda: shutil.rmtree(self.tree), "no such folder"),
            (False, edit("Makefile", "PATCHLEVEL = 3", "PATCHLEVEL = 4"), "kernel 7.4.4 is not supported",
             "7.2.y or 7.3.y"),
            (False, (self.source / TABLE).unlink, f"{TABLE}: cannot be read"),
            *((False, lambda text=text: write_files(self.tree, {integrate.MANIFEST: text}), integrate.MANIFEST)
              for text in ("{", "[]", '{"copied": {"../x": ""}, "changed": {}}'))])

    def test_refusals_from_pristine(self):
        another = "holds another form of our insertions, line "
        self.refusals(["--from", self.pristine, self.tree], [
            (True, lambda: self.edit(self.pristine, CODE, "/* end */", ""), 'anchor "end" matched 0 times'),
            (False, lambda: self.edit(self.pristine, CODE, "return 0;", "return OURS;"), f"{CODE}: {another}"),
            (False, lambda: self.succeed(self.pristine), f"{CODE}: {another}", f"{KCONFIG}: {another}"),
            (False, lambda: write_files(self.source, {"kernel/bpf/other.c": KERNEL["kernel/bpf/other.c"]}),
             "kernel/bpf/other.c: is a file of kernel 7.3.4 itself"),
            (False, lambda: self.edit(self.tree, "Makefile", "SUBLEVEL = 4", "SUBLEVEL = 5"), "is kernel 7.3.5, "),
            (False, lambda: shutil.rmtree(self.pristine), "no such folder")])
        self.fresh()
        self.assertIn("same folder", self.refuse("--from", self.tree, self.tree))

    def test_failure_while_writing(self):
        """The tree is as it was, and the next run works."""
        real = Path.write_bytes
        full = OSError(28, "No space left on device", "a/file"), "a/file: cannot be written: No space left on device\n"
        for number, error, message in (*((number, *full) for number in range(1, 6)),
                                       (3, KeyboardInterrupt(), "interrupted: nothing was changed\n")):
            left = [None] * (number - 1)

            def write_bytes(path, content):
                if not left:
                    raise error
                left.pop()
                return real(path, content)
            with mock.patch.object(Path, "write_bytes", write_bytes):
                self.assertEqual(self.refuse(self.tree), f"integrate.py: {message}")
        self.succeed(self.tree)

    def test_list(self):
        self.assertEqual(self.succeed("--list"), "copy   kernel/bpf/ours.c\ncopy   rust/kernel/ours/a.rs\n"
                         "change kernel/bpf/Kconfig (1 insertions)\nchange kernel/bpf/code.c (3 insertions)\n")

    def test_check(self):
        before = snapshot(self.tree)
        self.assertEqual(self.succeed("--check", self.tree),
                         f"{KCONFIG}: 1 insertions (kernel 7.3.4)\n{CODE}: 3 insertions (kernel 7.3.4)\n"
                         "2 new files, 0 of them there already (kernel 7.3.4)\n")
        self.assertEqual(snapshot(self.tree), before)
        self.succeed(self.tree)
        said = self.succeed("--check", self.tree)
        self.assertEqual(said.count("has our insertions"), 2)
        self.assertIn("2 of them there already", said)
        self.edit(self.tree, "rust/kernel/ours/a.rs", "a", "b")
        self.assertIn("it is not overwritten", self.refuse("--check", self.tree))

    def test_bad_arguments(self):
        for words in ([], [self.tree, "--list"], ["--check"], [self.tree, "--check", "--list"],
                      ["--list", "--from", self.tree]):
            self.assertIn("usage", self.refuse(*words))


class Kernels(TreeTest):
    """The real anchors on the kernels of BPF_ASYNC_TREES."""

    def setUp(self):
        super().setUp()
        self.assertTrue(TREES, "BPF_ASYNC_TREES names no pristine kernel")
        self.source = REPOSITORY
        self.table = anchors.load(REPOSITORY / TABLE)

    def each(self):
        """For every kernel: its pristine tree, and TREE with the files that a run can touch."""
        for pristine in TREES:
            shutil.rmtree(self.tree)
            for relative in ("Makefile", *(spec.path for spec in self.table.files)):
                (self.tree / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(pristine / relative, self.tree / relative)
            with self.subTest(kernel=pristine.name):
                yield pristine

    def test_both_ways_agree_and_twice_is_once(self):
        for pristine in self.each():
            self.succeed("--check", pristine)
            self.succeed(self.tree)
            before = snapshot(self.tree)
            self.assertIn("nothing to do", self.succeed(self.tree))
            # This also finds a file of ours that is one of the kernel.
            self.assertIn("nothing to do", self.succeed("--from", pristine, self.tree))
            self.assertEqual(snapshot(self.tree), before)
            for spec in self.table.files:
                # Lines of the kernel are neither altered nor taken away.
                rest = iter((self.tree / spec.path).read_text().split("\n"))
                for line in (pristine / spec.path).read_text().split("\n"):
                    self.assertIn(line, rest)

    def test_every_anchor_is_needed(self):
        """Without its line, each anchor is named as the one that does not match."""
        for pristine in self.each():
            for spec in self.table.files:
                lines = anchors.split((pristine / spec.path).read_bytes())
                for anchor in spec.anchors:
                    [(index, _, _)] = anchor.hits(lines)
                    with self.assertRaises(anchors.Refused) as caught:
                        spec.insert(anchors.join(lines[:index] + lines[index + 1:]), "7.3")
                    self.assertIn(f'{spec.path}: anchor "{anchor.name}" matched 0 times', str(caught.exception))


if __name__ == "__main__":
    main()
