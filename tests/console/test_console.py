# SPDX-License-Identifier: GPL-2.0
"""What the console scanner must see, must not see, and where a report ends."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts")]
import console as scanner  # noqa: E402
from samples import BODIES, CUT, HEALTHY, STACK, console, stamped  # noqa: E402


def without_stamps(text):
    return [scanner.split_line(line, 0).msg for line in text.split("\n")]


class Reports(unittest.TestCase):
    def check(self, caller):
        for name, (kind, first_line, body) in BODIES.items():
            with self.subTest(name):
                text, wanted = console(body, caller)
                found = scanner.find_reports(text)
                self.assertEqual([report.kind for report in found], [kind])
                self.assertEqual(found[0].first_line, first_line)
                self.assertEqual(without_stamps(found[0].text), wanted)

    def test_each_kind(self):
        self.check("")

    def test_each_kind_with_the_caller_in_the_stamp(self):
        self.check("[    T77]")

    def test_every_kind_has_a_sample(self):
        shown = {kind for kind, _, _ in BODIES.values()}
        self.assertEqual({kind for kind, _ in scanner.HEADS}, shown)

    def test_healthy_consoles(self):
        for name, text in HEALTHY.items():
            with self.subTest(name):
                self.assertEqual(scanner.find_reports(stamped(text.split("\n"))), [])
                self.assertEqual(scanner.find_reports(text), [])


class Ends(unittest.TestCase):
    def kinds(self, text):
        return [report.kind for report in scanner.find_reports(text)]

    def test_two_reports(self):
        text = console(BODIES["WARN"][2])[0] + console(BODIES["KASAN"][2])[0]
        self.assertEqual(self.kinds(text), ["warn", "kasan"])

    def test_a_panic_after_an_oops_is_a_report_of_its_own(self):
        text = console(BODIES["int3"][2])[0] + console(BODIES["panic"][2])[0]
        self.assertEqual(self.kinds(text), ["oops", "panic"])

    def test_a_panic_in_an_unended_oops(self):
        text = stamped(["BUG: kernel NULL pointer dereference, address: 0", "Kernel panic - not syncing: in the middle"])
        self.assertEqual(self.kinds(text), ["oops", "panic"])

    def test_a_report_in_a_report(self):
        text = stamped([CUT, "WARNING: a.c:1 at a+0x1/0x2, CPU#0: a/1", CUT, "WARNING: b.c:1 at b+0x1/0x2, CPU#1: b/1"])
        self.assertEqual([report.first_line[:12] for report in scanner.find_reports(text)],
                         ["WARNING: a.c", "WARNING: b.c"])

    def test_the_console_ends_in_the_report(self):
        for name, (kind, _, body) in BODIES.items():
            text, wanted = console(body)
            lines = text.split("\r\n")
            head = next(i for i, line in enumerate(lines) if line.endswith(wanted[0]))
            named = next(i for i, line in enumerate(wanted) if scanner.kind_of(line) == kind)
            with self.subTest(name):
                self.assertEqual(self.kinds("\r\n".join(lines[:head + named + 1])), [kind])

    def test_a_report_without_end_is_cut(self):
        text = stamped([CUT, "WARNING: a.c:1 at a+0x1/0x2, CPU#0: a/1"] + ["more"] * 5000)
        report, = scanner.find_reports(text)
        self.assertLess(report.text.count("\n"), 500)

    def test_a_cut_with_nothing_known_behind_it(self):
        self.assertEqual(self.kinds(stamped([CUT, "a text of nobody"])), ["warn"])

    def test_a_cut_at_the_very_end(self):
        self.assertEqual(self.kinds(CUT), ["warn"])

    def test_a_trace_with_an_interrupt_in_it(self):
        lines = ["BUG: scheduling while atomic: a/1/0x2", "Call Trace:", " <IRQ>", " a+0x1/0x2", " </IRQ>", " <TASK>",
                 " b+0x1/0x2", " </TASK>", "something else"]
        report, = scanner.find_reports(stamped(lines))
        self.assertTrue(report.text.endswith(" </TASK>"))

    def test_bytes_that_are_no_text(self):
        self.assertEqual(self.kinds("\ufffd\x00\x1b[0m\n" + CUT + "\n"), ["warn"])


class CommandLine(unittest.TestCase):
    def call(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = scanner.main(["console.py", *arguments])
        return status, out.getvalue(), err.getvalue()

    def file(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".log", newline="")
        self.addCleanup(file.close)
        file.write(text)
        file.flush()
        return file.name

    def test_a_report(self):
        status, out, _ = self.call(self.file(console(BODIES["WARN"][2])[0]))
        self.assertEqual(status, 1)
        self.assertIn("report 1 of 1: warn: WARNING: made/up.c:34", out)

    def test_no_report(self):
        self.assertEqual(self.call(self.file(stamped(STACK.split("\n")))), (0, "", ""))

    def test_no_such_file(self):
        status, _, err = self.call("/nonexistent/console")
        self.assertEqual(status, 2)
        self.assertIn("cannot read /nonexistent/console", err)

    def test_no_argument(self):
        self.assertEqual(self.call()[0], 2)


if __name__ == "__main__":
    unittest.main()
