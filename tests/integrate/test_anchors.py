# SPDX-License-Identifier: GPL-2.0
"""The table of anchors, and what holds of insertion whatever the file and the anchors are."""

import random
import re
from unittest import main

from synthetic import TABLE, TreeTest

from integration.anchors import Anchor, FileSpec, MismatchError, TableError, load


class Table(TreeTest):
    def load(self, text):
        path = self.top / "anchors.toml"
        path.write_text(text)
        return load(path)

    def test_loads(self):
        table = self.load(TABLE)
        self.assertEqual(table.kernels, ((7, 2), (7, 3)))
        self.assertEqual([len(spec.anchors) for spec in table.files], [1, 3])

    def test_mistakes_are_named(self):
        for old, new, message in (
                ('kernels =', 'kernel =', "kernels"),
                ('"7.2"', '"seven"', "seven"),
                ("where = \"after\"", "where = \"above\"", "before or after"),
                ("ours({arg})", "ours({argument})", "captures no {argument}"),
                ("\nconfig OURS", "\nconfig THEIRS", "no inserted line matches the trace"),
                (r"'int f\(void", r"'int f(void", 'anchor "function": no regular expression'),
                ('name = "end"', 'name = "first"', "two anchors"),
                ('name = "end"', 'name = "end"\ntypo = 1', "typo"),
                ('path = "kernel/bpf/code.c"', 'path = "../code.c"', "inside the kernel tree"),
                ('path = "kernel/bpf/code.c"', 'path = "kernel/bpf/Kconfig"', "listed twice"),
                ("[[file]]", "[[file", "not valid TOML")):
            with self.subTest(message):
                self.assertIn(old, TABLE)
                with self.assertRaisesRegex(TableError, re.escape(message)):
                    self.load(TABLE.replace(old, new))

    def test_missing_table(self):
        (self.source / "integration/anchors.toml").unlink()
        self.assertIn("cannot be read", self.refuse(self.tree))


CODE = """int f(void)
{
	return 1;
}

int g(void)
{
	int n = h(1);

	return 1;
}
"""
EDITS = r"""
[[file]]
path = "a.c"

[[file.anchor]]
name = "value"
function = 'int g\(.*'
pattern = '(?P<indent>\s*)return 1;'
where = "replace"
lines = '{indent}return n;'

[[file.anchor]]
name = "call"
pattern = '.* = h\(1\);'
where = "replace"
lines = "\tint n;\n\n\tn = h(2);"

[[file.anchor]]
name = "empty line"
function = 'int g\(.*'
pattern = ''
where = "replace"
lines = ''

[[file.anchor]]
name = "more"
function = 'int g\(.*'
pattern = '\s*return 1;'
where = "before"
lines = "\tn++;"
"""

THROUGH = r"""
[[file]]
path = "a.c"

[[file.anchor]]
name = "all"
function = 'int g\(.*'
pattern = '\s*int n = .*'
through = '\s*return 1;'
where = "replace"
lines = "\treturn 2;"
"""


class Edits(TreeTest):
    """A table of edits: lines that are replaced or deleted, also in one function of several."""

    IN_G, IN_F, IN_X = (f"function = 'int {name}\\(.*'\npattern = '(?P" for name in "gfx")

    def load(self, text=EDITS):
        path = self.top / "edits.toml"
        path.write_text(text)
        [spec] = load(path, edits=True).files
        return spec

    def mismatch(self, old, new, code=CODE):
        self.assertIn(old, EDITS)
        with self.assertRaises(MismatchError) as caught:
            self.load(EDITS.replace(old, new)).insert(code)
        return [(m.anchor.name, len(m.found)) for m in caught.exception.mismatches]

    def test_result(self):
        self.assertEqual(self.load().insert(CODE), CODE.replace(
            "\tint n = h(1);\n\n\treturn 1;", "\tint n;\n\n\tn = h(2);\n\tn++;\n\treturn n;"))

    def test_line_of_two_functions(self):
        self.assertEqual(self.mismatch(self.IN_G, "pattern = '(?P"), [("value", 2)])

    def test_function_that_is_not_there(self):
        self.assertEqual(self.mismatch(self.IN_G, self.IN_X), [("value", 0)])

    def test_function_ends(self):
        code = CODE.replace("\treturn 1;\n}\n\nint g", "}\n\nint g")
        self.assertEqual(self.mismatch(self.IN_G, self.IN_F, code), [("value", 0)])

    def test_line_replaced_twice(self):
        self.assertEqual(self.mismatch('where = "before"', 'where = "replace"'), [("more", 1)])

    def test_through(self):
        spec = self.load(THROUGH)
        self.assertEqual(spec.insert(CODE), CODE.replace("\tint n = h(1);\n\n\treturn 1;", "\treturn 2;"))
        for code in (CODE.replace("1;\n}\n", "1;\n}\n\treturn 1;\n").replace("\n\n\treturn 1;", "\n"), EDITS):
            with self.assertRaises(MismatchError):
                spec.insert(code)
        with self.assertRaises(MismatchError):
            self.load(THROUGH + EDITS[EDITS.index("\n[[file.anchor]]"):]).insert(CODE)
        with self.assertRaisesRegex(TableError, "through needs"):
            self.load(THROUGH.replace('"replace"', '"after"'))

    def test_not_in_the_table_of_insertions(self):
        for old, new, message in (('where = "after"', 'where = "replace"', "before or after"),
                                  ('where = "after"', 'where = "after"\nthrough = ""', "unknown key through"),
                                  ('name = "first"', 'name = "first"\nfunction = "f"', "unknown key function")):
            path = self.top / "anchors.toml"
            path.write_text(TABLE.replace(old, new, 1))
            with self.assertRaisesRegex(TableError, message):
                load(path)


class Property(TreeTest):
    """Seeded random files and anchors, several at one line among them."""

    ROUNDS = 500

    def case(self, rng):
        lines = [rng.choice(["", "}", "#endif", f"line {n}"]) for n in range(rng.randint(1, 12))]
        unique = [line for line in lines if lines.count(line) == 1 and line]
        anchors = []
        for number in range(rng.randint(1, 5)):
            if not unique:
                break
            line = rng.choice(unique)
            block = [rng.choice(["", "}", "#endif", line]) for _ in range(rng.randint(0, 3))]
            block.insert(rng.randint(0, len(block)), f"ours {number}")
            anchors.append(Anchor(str(number), re.compile(re.escape(line)),
                                  rng.choice(["before", "after"]), tuple(block)))
        ending = rng.choice(["", "\n"])
        return "\n".join(lines) + ending, FileSpec("f", re.compile("ours"), tuple(anchors))

    def test_insertion(self):
        for seed in range(self.ROUNDS):
            with self.subTest(seed=seed):
                text, spec = self.case(random.Random(seed))
                result = spec.insert(text)
                added = sum(len(anchor.lines) for anchor in spec.anchors)
                self.assertEqual(len(result.split("\n")), len(text.split("\n")) + added)
                # Inserted lines only: what was there is still there, in its order.
                rest = iter(result.split("\n"))
                self.assertTrue(all(line in rest for line in text.split("\n")))
                # Exactly once, for ever.
                self.assertEqual(spec.ensure(text), result)
                self.assertEqual(spec.ensure(result), result)

    def test_any_doubled_or_missing_anchor_line_is_a_mismatch(self):
        for seed in range(self.ROUNDS):
            text, spec = self.case(random.Random(seed))
            for anchor in spec.anchors:
                [(index, _)] = anchor.hits(text.split("\n"))
                for replacement in ([], [text.split("\n")[index]] * 2):
                    lines = text.split("\n")
                    lines[index:index + 1] = replacement
                    with self.subTest(seed=seed), self.assertRaises(MismatchError) as caught:
                        spec.insert("\n".join(lines))
                    self.assertIn(len(replacement),
                                  [len(m.found) for m in caught.exception.mismatches])


if __name__ == "__main__":
    main()
