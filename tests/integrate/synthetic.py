# SPDX-License-Identifier: GPL-2.0
"""A made-up kernel tree and a made-up repository, small enough to see through."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

import integrate  # noqa: E402  (found through the line above)

# The pristine kernels on which the real anchors are tried: /path/linux-7.3.4:/path/linux-7.2.12
TREES = [Path(p) for p in os.environ.get("BPF_ASYNC_TREES", "").split(":") if p]
LONG_AGO = 1_000_000_000  # a time stamp that no write made now can have

TABLE = r"""
kernels = ["7.2", "7.3"]

[[file]]
path = "kernel/bpf/Kconfig"
trace = 'OURS'
anchor = [{name = "switch", pattern = 'endmenu', where = "before", lines = '''
config OURS
	bool "ours"

'''}]

[[file]]
path = "kernel/bpf/code.c"
trace = 'OURS'
anchor = [
  {name = "first", pattern = '#include "a\.h"', where = "after", lines = '#include "OURS.h"'},
  {name = "function", pattern = 'int f\(void \*(?P<arg>\w+)\)', where = "before", lines = '''
#ifdef OURS
int f(void *{arg})
{
	return ours({arg});
}
#else
'''},
  {name = "end", pattern = '/\* end \*/', where = "before", lines = '#endif /* OURS */'},
]
"""

KERNEL = {
    "Makefile": "# a comment\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n",
    "kernel/bpf/Kconfig": "menu \"m\"\nendmenu\n",
    "kernel/bpf/code.c": '#include "a.h"\n\f\nint f(void *p__map)\n{\n\treturn 0;\n}\n/* end */\n',
    "kernel/bpf/other.c": "int other;\n",
}

COPIED = {
    "kernel/bpf/ours.c": "int ours;\n",
    "rust/kernel/ours/a.rs": "// a\n",
}


def write_files(root, files):
    for relative, content in files.items():
        path = Path(root) / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def snapshot(root):
    """Everything that may not change: path -> (content, mtime, mode), (None, mode) of a folder."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        stat = path.stat()
        found[path.relative_to(root).as_posix()] = ((None, stat.st_mode) if path.is_dir() else
                                                    (path.read_bytes(), stat.st_mtime_ns, stat.st_mode))
    return found


def contents(root):
    return {name: entry[0] for name, entry in snapshot(root).items()}


class TreeTest(unittest.TestCase):
    """Gives each test a repository, a pristine kernel and a copy of it to work on."""

    def setUp(self):
        self.top = Path(tempfile.mkdtemp(prefix="integrate-test-"))
        self.addCleanup(shutil.rmtree, self.top)
        self.source, self.pristine, self.tree = (self.top / name for name in ("repository", "pristine", "tree"))
        self.fresh()

    def fresh(self):
        for folder in (self.source, self.pristine, self.tree):
            shutil.rmtree(folder, ignore_errors=True)
        write_files(self.source, COPIED | {"integration/anchors.toml": TABLE})
        write_files(self.pristine, KERNEL)
        shutil.copytree(self.pristine, self.tree)
        self.age()

    def run_tool(self, *arguments):
        """Exit status, standard output and standard error of the tool."""
        out, err = io.StringIO(), io.StringIO()
        with (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
              mock.patch.object(integrate, "REPOSITORY", self.source)):
            try:
                status = integrate.main(list(map(str, arguments)))
            except SystemExit as stop:  # argparse
                status = stop.code
        return status, out.getvalue(), err.getvalue()

    def succeed(self, *arguments):
        status, out, err = self.run_tool(*arguments)
        self.assertEqual((status, err), (0, ""))
        return out

    def refuse(self, *arguments):
        """The run must fail, say why, and leave TREE as it was; what it said is returned."""
        before = snapshot(self.tree)
        status, _, err = self.run_tool(*arguments)
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", err)
        self.assertEqual(snapshot(self.tree), before)
        return err

    def text(self, relative):
        return (self.tree / relative).read_text()

    def edit(self, root, relative, old, new):
        text = (root / relative).read_text()
        self.assertIn(old, text)
        (root / relative).write_text(text.replace(old, new, 1))

    def written(self):
        """The files of TREE that were written since age()."""
        return {name for name, entry in snapshot(self.tree).items()
                if entry[0] is not None and entry[1] != LONG_AGO * 10**9}

    def age(self):
        """Make every file of TREE old, so that a later write shows."""
        for path in self.tree.rglob("*"):
            os.utime(path, (LONG_AGO, LONG_AGO))
