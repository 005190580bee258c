# SPDX-License-Identifier: GPL-2.0
"""Which kernel is meant, and whether it can be taken."""

import argparse
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import kernels  # noqa: E402


class Kernels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = Path(folder.name)
        patch = mock.patch.dict(os.environ, BPF_ASYNC_CACHE=folder.name)
        patch.start()
        self.addCleanup(patch.stop)

    def kernel(self, name, built=True, given=False):
        folder = self.cache / "build" / name
        files = {kernels.IMAGES["x86_64"]: "", "vmlinux": "", "Module.symvers": "", "source/Makefile": "",
                 ".config": "CONFIG_BPF_ASYNC_RUST=y\n", "include/config/kernel.release": "7.3.4\n",
                 **({".bpf-async-built": ""} if built else {})}
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        args = argparse.Namespace(flavor="plain", arch="x86_64", kernel_rust=str(folder) if given else None)
        return kernels.Kernel("rust", args)

    def test_the_one_that_is_built(self):
        kernel = self.kernel("7.3.4-rust")
        self.assertEqual((kernel.label, kernel.usual), ("7.3.4-rust", True))

    def test_a_build_that_did_not_end(self):
        with self.assertRaisesRegex(kernels.BuildError, "not been built to its end.*make kernel IMPL=rust"):
            self.kernel("7.3.4-rust", built=False)

    def test_a_tree_of_the_users(self):
        self.assertFalse(self.kernel("7.3.4-1234abcd-rust", given=True).usual)


if __name__ == "__main__":
    unittest.main()
