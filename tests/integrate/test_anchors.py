# SPDX-License-Identifier: GPL-2.0
"""The table of anchors, and what holds of insertion whatever the file and the anchors are."""

import random
import re
from unittest import main

from synthetic import TABLE, TreeTest

from integration.anchors import Anchor, FileSpec, InputError, Refused, load

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
BEGIN = "[[file]]\npath = 'a.c'\nanchor = ["
VALUE = r"""
  {name = "value", function = 'int g\(.*', pattern = '(?P<indent>\s*)return 1;', where = "replace",
   lines = '{indent}return n;'},
  {name = "call", pattern = '.* = h\(1\);', where = "replace", lines = "\tint n;\n\n\tn = h(2);"},
  {name = "empty line", function = 'int g\(.*', pattern = '', where = "replace", lines = ''},
  {name = "more", function = 'int g\(.*', pattern = '\s*return 1;', where = "before", lines = "\tn++;"},
]"""
ALL = r"""
  {name = "all", function = 'int g\(.*', pattern = '\s*int n = .*', through = '\s*return 1;', where = "replace",
   lines = "\treturn 2;"},
"""
# An inline table is one line.
VALUE, ALL = VALUE.replace(",\n   ", ", "), ALL.replace(",\n   ", ", ")
EDITS, THROUGH = BEGIN + VALUE, f"{BEGIN}{ALL}]"


class Table(TreeTest):
    def load(self, text, edits=False):
        (self.top / "table.toml").write_text(text)
        return load(self.top / "table.toml", edits)

    def insert(self, edits, code=CODE):
        [spec] = self.load(edits, edits=True).files
        return spec.insert(code.encode(), "7.3").decode()

    def test_mistakes_are_named(self):
        for old, new, message in (
                ('kernels =', 'kernel =', "the key 'kernels' is missing"),
                ('"7.2"', '"seven"', "seven"),
                ('where = "after"', 'where = "above"', 'anchor "first": where must be before or after'),
                ('where = "after"', 'where = "replace"', "where must be before or after"),
                ('where = "after"', 'where = "after", through = ""', "unknown key through"),
                ("ours({arg})", "ours({argument})", "captures no {argument}"),
                ("\nconfig OURS", "\nconfig THEIRS", "no inserted line matches the trace"),
                (r"'int f\(void", r"'int f(void", 'anchor "function": no regular expression'),
                ('name = "end"', 'name = "first"', "kernel/bpf/code.c: two anchors have one name"),
                ('name = "end"', 'name = "end", typo = 1', "unknown key typo"),
                ('path = "kernel/bpf/code.c"', 'path = "kernel/bpf/Kconfig"', "listed twice"),
                ("[[file]]", "[[file", "not valid TOML")):
            with self.subTest(message), self.assertRaisesRegex(InputError, re.escape(message)):
                self.assertIn(old, TABLE)
                self.load(TABLE.replace(old, new, 1))
        with self.assertRaisesRegex(InputError, "through needs"):
            self.load(THROUGH.replace('"replace"', '"after"'), edits=True)

    def test_edits(self):
        self.assertEqual(self.insert(EDITS), CODE.replace(
            "\tint n = h(1);\n\n\treturn 1;", "\tint n;\n\n\tn = h(2);\n\tn++;\n\treturn n;"))
        self.assertEqual(self.insert(THROUGH), CODE.replace("\tint n = h(1);\n\n\treturn 1;", "\treturn 2;"))

    def test_edits_that_do_not_fit(self):
        in_f, in_g, in_x = (f"function = 'int {name}\\(.*', pattern = '(?P" for name in "fgx")
        for edits, code, message in (
                (EDITS.replace(in_g, "pattern = '(?P"), CODE, '"value" matched 2 times'),
                (EDITS.replace(in_g, in_x), CODE, '"value" matched 0 times'),
                # The function ends before the line, or before the last line to replace.
                (EDITS.replace(in_g, in_f), CODE.replace("\treturn 1;\n}\n\nint g", "}\n\nint g"),
                 '"value" matched 0 times'),
                (THROUGH, CODE.replace("\n\n\treturn 1;\n}\n", "\n}\n\treturn 1;\n"), '"all" matched 0 times'),
                # Two replace the same line.
                (EDITS.replace('where = "before"', 'where = "replace"'), CODE, '"more"'),
                (BEGIN + ALL + VALUE, CODE, '"value"')):
            with self.subTest(message), self.assertRaisesRegex(Refused, message):
                self.insert(edits, code)


class Property(TreeTest):
    """Seeded random files and anchors, several at one line among them."""

    def case(self, rng):
        lines = [rng.choice(["", "}", "#endif", f"line {n}"]) for n in range(rng.randint(1, 12))]
        unique = [line for line in lines if lines.count(line) == 1 and line]
        anchors = []
        for number in range(rng.randint(1, 5) if unique else 0):
            line = rng.choice(unique)
            block = [rng.choice(["", "}", "#endif", line]) for _ in range(rng.randint(0, 3))]
            block.insert(rng.randint(0, len(block)), f"ours {number}")
            anchors.append(Anchor(str(number), re.escape(line), rng.choice(["before", "after"]), tuple(block)))
        return lines + rng.choice([[], [""]]), FileSpec("f", "ours", tuple(anchors))

    def test_insertion(self):
        for seed in range(500):
            lines, spec = self.case(random.Random(seed))
            content = "\n".join(lines).encode()
            with self.subTest(seed=seed):
                result = spec.insert(content, "7.3")
                added = sum(len(anchor.lines) for anchor in spec.anchors)
                self.assertEqual(len(result.split(b"\n")), len(lines) + added)
                # Inserted lines only: what was there is still there, in its order.
                rest = iter(result.split(b"\n"))
                self.assertTrue(all(line in rest for line in content.split(b"\n")))
                # It is recognised, also next to lines that look like ours.
                self.assertFalse(spec.has_all(content, "7.3"))
                self.assertEqual(spec.has_all(result, "7.3"), bool(spec.anchors))
                self.assertEqual(spec.find_trace(result) is not None, bool(spec.anchors))
                for anchor in spec.anchors:
                    [(index, _, _)] = anchor.hits(lines)
                    for number in (0, 2):
                        other = lines[:index] + [lines[index]] * number + lines[index + 1:]
                        with self.assertRaisesRegex(Refused, f"matched {number} times"):
                            spec.insert("\n".join(other).encode(), "7.3")


if __name__ == "__main__":
    main()
