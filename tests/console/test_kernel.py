# SPDX-License-Identifier: GPL-2.0
"""kernel.sh with a stand-in for make: when it builds, when it does not, whom it waits for."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("config", "include", "integration", "kernel", "rust", "samples", "scripts")
TREE = """#!/bin/bash
mkdir -p "$BPF_ASYNC_CACHE/trees/7.3.4"
echo "$BPF_ASYNC_CACHE/trees/7.3.4"
"""
MAKE = """#!/bin/bash
echo "$*" >>"$BPF_ASYNC_CACHE/made"
for word; do case $word in O=*) out=${word#O=} ;; esac; done
case $* in
*allnoconfig) grep -v REFUSED "$KCONFIG_ALLCONFIG" >"$KCONFIG_CONFIG" ;;
*Image*)
	case $* in *ARCH=arm64*) image=$out/arch/arm64/boot/Image ;; *) image=$out/arch/x86/boot/bzImage ;; esac
	mkdir -p "${image%/*}"
	[ ! -e "$BPF_ASYNC_CACHE/broken" ] || exit 2
	echo image >"$image"
	;;
esac
"""
# A command of ours whose child holds the lock, as a build does.
OTHER = """#!/bin/bash
bash -c 'exec 9>>"$0"; flock 9; echo held; sleep 600; :' "$1"
:
"""
DF = """#!/bin/sh
echo 9999M
"""


class WithClone(unittest.TestCase):
    """A clone of this repository, a cache of its own, and what builds in it is a stand-in."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clone, self.cache = Path(folder.name) / "clone", Path(folder.name) / "cache"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.install(self.clone / "scripts/tree.sh", TREE)
        self.install(self.clone / "scripts/root.sh", "#!/bin/sh\n")
        self.install(self.cache / "tools/bin/make", MAKE)
        self.install(self.cache / "tools/bin/df", DF)
        self.env = {name: value for name, value in os.environ.items()
                    if name not in ("IMPL", "DEBUG", "FLAVOR", "ARCH", "KVER", "KSRC", "CONFIG_EXTRA", "BPF_ASYNC_WAIT")}
        self.env |= {"BPF_ASYNC_CACHE": str(self.cache), "BPF_ASYNC_SETUP": "1"}

    def install(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def kernel(self, *options, **env):
        """(exit status, last line of stdout, stderr, whether make was asked to build)"""
        made = self.cache / "made"
        made.unlink(missing_ok=True)
        done = subprocess.run([self.clone / "scripts/kernel.sh", *options], env=self.env | env, text=True,
                              capture_output=True, timeout=120, check=False)
        asked = made.exists() and "Image" in made.read_text()
        return done.returncode, (done.stdout.splitlines() or [""])[-1], done.stderr, asked

    def builds(self, *options, **env):
        status, image, said, asked = self.kernel(*options, **env)
        self.assertEqual(status, 0, said)
        self.assertTrue(Path(image).is_file())
        return asked


class Built(WithClone):
    def test_what_is_built_is_taken(self):
        self.assertTrue(self.builds())
        self.assertFalse(self.builds())
        self.assertFalse((self.cache / "made").exists())
        self.assertTrue(self.builds("--always"))
        self.assertFalse(self.builds())

    def test_each_kernel_is_one(self):
        self.assertTrue(self.builds())
        for env in ({"IMPL": "c"}, *({"FLAVOR": name} for name in ("debug", "kcsan", "rt", "cfi", "up")), {"ARCH": "arm64"}):
            self.assertTrue(self.builds(**env), env)
            self.assertFalse(self.builds(**env), env)
        self.assertFalse(self.builds())

    def test_what_is_no_flavor(self):
        for env, says in (({"ARCH": "vax"}, "ARCH is x86_64 or arm64, not 'vax'; "),
                          ({"FLAVOR": "hot"}, "FLAVOR is one of plain debug .*, not 'hot'; "),
                          ({"DEBUG": "1"}, "DEBUG=1 has no meaning here; say FLAVOR=debug ")):
            status, _, said, asked = self.kernel(**env)
            self.assertEqual((status, asked), (1, False))
            self.assertRegex(said, f"^error: {says}[^\n]*\n$")

    def test_our_files(self):
        self.builds()
        for name in ("rust/kernel/bpf.rs", "kernel/bpf/async_rust.c", "include/linux/bpf_async.h",
                     "integration/anchors.toml", "config/base.config", "scripts/toolchain.sh"):
            with open(self.clone / name, "a") as file:
                file.write("\n")
            self.assertTrue(self.builds(), name)
        self.assertFalse(self.builds())
        (self.clone / "rust/kernel/new.rs").touch()
        self.assertTrue(self.builds())

    def test_the_image(self):
        self.builds()
        image = self.cache / "build/7.3.4-rust/arch/x86/boot/bzImage"
        times = image.stat()
        image.write_text("imagf\n")
        os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertTrue(self.builds())
        image.unlink()
        self.assertTrue(self.builds())

    def test_a_build_that_failed(self):
        self.builds()
        source = self.clone / "rust/kernel/bpf.rs"
        before = source.read_text()
        source.write_text(before + "\n")
        (self.cache / "broken").touch()
        self.assertEqual(self.kernel()[0], 1)
        (self.cache / "broken").unlink()
        source.write_text(before)           # the folder is no longer what it was built from
        self.assertTrue(self.builds())

    def test_a_tree_of_ones_own(self):
        tree = self.cache / "linux"
        (tree / "kernel/bpf").mkdir(parents=True)
        (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n")
        (tree / "Kbuild").touch()
        helpers = tree / "kernel/bpf/helpers.c"
        helpers.write_text("one")
        env = {"KSRC": str(tree)}
        self.assertTrue(self.builds(**env))
        self.assertFalse(self.builds(**env))
        times = helpers.stat()
        helpers.write_text("two")
        os.utime(helpers, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.assertTrue(self.builds(**env))
        (tree / "kernel/bpf/new.c").touch()
        self.assertTrue(self.builds(**env))
        self.assertFalse(self.builds(**env))
        self.assertTrue(self.builds())

    def test_arguments(self):
        status, _, said, asked = self.kernel("--all")
        self.assertEqual((status, asked), (1, False))
        self.assertEqual(len(said.splitlines()), 1)


class Waiting(WithClone):
    """Another run holds the tree."""

    def setUp(self):
        super().setUp()
        (self.cache / "trees").mkdir(parents=True)
        lock = self.cache / "trees/7.3.4.lock"
        script = self.clone / "scripts/other.sh"
        self.install(script, OTHER)
        self.other = subprocess.Popen([script, lock], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(self.release)

    def release(self):
        if self.other.poll() is None:
            os.killpg(self.other.pid, signal.SIGKILL)
            self.other.wait()
        self.other.stdout.close()

    def test_whom_it_waits_for(self):
        self.assertEqual(self.other.stdout.readline(), "held\n")
        status, _, said, asked = self.kernel(BPF_ASYNC_WAIT="1")
        self.assertEqual((status, asked), (124, False))
        first, last = said.splitlines()
        self.assertRegex(first, rf"^waiting for pid {self.other.pid} \(/bin/bash .*/scripts/other\.sh .*\), which uses the tree 7\.3\.4$")
        self.assertRegex(last, rf"^error: pid {self.other.pid} .* after 1 s; ")

    def test_what_is_built_does_not_wait(self):
        self.assertEqual(self.other.stdout.readline(), "held\n")
        self.release()
        self.builds()
        with open(self.cache / "trees/7.3.4.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertFalse(self.builds(BPF_ASYNC_WAIT="1"))
            self.assertEqual(self.kernel("--always", BPF_ASYNC_WAIT="1")[0], 124)

    def test_it_goes_on(self):
        self.assertEqual(self.other.stdout.readline(), "held\n")
        process = subprocess.Popen([self.clone / "scripts/kernel.sh"], env=self.env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(f"waiting for pid {self.other.pid} ", process.stderr.readline())
        self.release()
        self.assertTrue(process.communicate(timeout=120)[0].endswith("bzImage\n"))
        self.assertEqual(process.returncode, 0)


class ConfigExtra(WithClone):
    def setUp(self):
        super().setUp()
        self.file = self.cache / "own.config"

    def refused(self, text, *says):
        if text is not None:
            self.file.write_text(text)
        status, _, said, asked = self.kernel(CONFIG_EXTRA=str(self.file))
        self.assertEqual((status, asked), (1, False))
        for words in says:
            self.assertIn(words, said)
        return said.splitlines()

    def test_own_options_come_last_in_a_folder_of_their_own(self):
        self.assertTrue(self.builds())
        plain = (self.cache / "build/7.3.4-rust/.config").read_text()
        self.file.write_text("# mine\nCONFIG_OWN=y\n# CONFIG_VETH is not set\n")
        env = {"CONFIG_EXTRA": str(self.file)}
        self.assertTrue(self.builds(**env))
        self.assertFalse(self.builds(**env))
        image = Path(self.kernel(**env)[1])
        self.assertRegex(image.parents[3].name, r"^7\.3\.4-rust-extra-[0-9a-f]{8}$")
        self.assertTrue((image.parents[3] / ".config").read_text().endswith(self.file.read_text()))
        self.assertEqual((self.cache / "build/7.3.4-rust/.config").read_text(), plain)
        self.assertFalse(self.builds())
        self.file.write_text("CONFIG_OWN=m\n")
        self.assertTrue(self.builds(**env))

    def test_what_is_no_file_of_options(self):
        self.assertEqual(len(self.refused(None, f"CONFIG_EXTRA={self.file} is no file; ")), 1)
        self.assertEqual(len(self.refused("CONFIG_OWN=y\nOWN=y\n", "no option in line 2, 'OWN=y'; ")), 1)

    def test_an_option_that_is_not_taken(self):
        said = self.refused("CONFIG_OWN=y\nCONFIG_REFUSED=y\n", "CONFIG_REFUSED=y (is n)", str(self.file))
        self.assertEqual(len([line for line in said if "REFUSED" in line or "error" in line]), 2)


if __name__ == "__main__":
    unittest.main()
