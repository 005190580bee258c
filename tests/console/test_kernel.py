# SPDX-License-Identifier: GPL-2.0
"""kernel.sh with a stand-in for make: when it builds, when it does not, whom it waits for. And what is wrong with
the words of a command is said at once, in one line, before any build or boot."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("config", "include", "integration", "kernel", "rust", "samples", "scripts", "tests/bench")
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


class WithClone(unittest.TestCase):
    """A clone of this repository, a cache of its own, and what builds in it is a stand-in."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clone, self.cache = Path(folder.name) / "clone", Path(folder.name) / "cache"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Makefile", self.clone)
        tree = self.cache / "trees/7.3.4"
        tree.mkdir(parents=True)
        self.install(self.clone / "scripts/tree.sh", f"#!/bin/sh\necho {tree}\n")
        self.install(self.clone / "scripts/root.sh", "#!/bin/sh\n")
        self.install(self.cache / "tools/bin/make", MAKE)
        self.install(self.cache / "tools/bin/df", "#!/bin/sh\necho 9999M\n")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS")) and
                    name not in ("IMPL", "DEBUG", "FLAVOR", "ARCH", "KVER", "KSRC", "CONFIG_EXTRA", "BPF_ASYNC_WAIT")}
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

    def check_builds(self, *options, then=False, **env):
        """It builds, and the second time takes what is there. The image."""
        for expected in (True, then):
            status, image, said, asked = self.kernel(*options, **env)
            self.assertEqual((status, asked, Path(image).is_file()), (0, expected, True), said)
        return Path(image)

    def check_refused(self, says, *options, status=1, **env):
        found, _, said, asked = self.kernel(*options, **env)
        self.assertEqual((found, asked), (status, False))
        self.assertRegex(said, f"^{says}[^\n]*\n$")

    def rewrite(self, path, text):
        """As long as it was, and with the same times."""
        times = path.stat()
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


class Built(WithClone):
    def test_each_kernel_is_one(self):
        images = {self.check_builds(**env) for env in (
            {}, {"IMPL": "c"}, {"ARCH": "arm64"}, *({"FLAVOR": name} for name in "debug kcsan rt cfi up".split()))}
        self.assertEqual(len(images), 8)
        self.assertFalse(self.kernel()[3])
        self.assertFalse((self.cache / "made").exists())
        self.check_builds("--always", then=True)

    def test_refused(self):
        for env, says in (({"ARCH": "vax"}, "ARCH is x86_64 or arm64, not 'vax'; "),
                          ({"FLAVOR": "hot"}, "FLAVOR is one of plain debug .*, not 'hot'; "),
                          ({"DEBUG": "1"}, "DEBUG=1 has no meaning here; say FLAVOR=debug ")):
            self.check_refused(f"error: {says}", **env)
        self.check_refused("", "--all")

    def test_what_it_was_built_from(self):
        image = self.check_builds()
        for name in ("rust/kernel/bpf.rs", "kernel/bpf/async_rust.c", "include/linux/bpf_async.h",
                     "integration/anchors.toml", "config/base.config", "scripts/toolchain.sh", "rust/kernel/new.rs"):
            with open(self.clone / name, "a", encoding="utf-8") as file:
                file.write("\n")
            self.assertTrue(self.kernel()[3], name)
        self.rewrite(image, "imagf\n")
        self.assertTrue(self.kernel()[3])
        image.unlink()
        self.check_builds()

    def test_a_build_that_failed(self):
        self.check_builds()
        source = self.clone / "rust/kernel/bpf.rs"
        before = source.read_text()
        source.write_text(before + "\n")
        (self.cache / "broken").touch()
        self.assertEqual(self.kernel()[0], 1)
        (self.cache / "broken").unlink()
        source.write_text(before)           # the folder is no longer what it was built from
        self.check_builds()

    def test_a_tree_of_ones_own(self):
        tree = self.cache / "linux"
        helpers = tree / "kernel/bpf/helpers.c"
        for path, text in ((tree / "Makefile", "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n"),
                           (tree / "Kbuild", ""), (helpers, "one")):
            self.install(path, text)
        self.check_builds(KSRC=str(tree))
        self.rewrite(helpers, "two")
        self.check_builds(KSRC=str(tree))
        (tree / "kernel/bpf/new.c").touch()
        self.check_builds(KSRC=str(tree))
        self.check_builds()

    def test_own_options(self):
        """They come last, in a folder of their own."""
        own, plain = self.cache / "own.config", self.check_builds().parents[3] / ".config"
        before = plain.read_text()
        for text in ("# mine\nCONFIG_OWN=y\n# CONFIG_VETH is not set\n", "CONFIG_OWN=m\n"):
            own.write_text(text)
            build = self.check_builds(CONFIG_EXTRA=str(own)).parents[3]
            self.assertRegex(build.name, r"^7\.3\.4-rust-extra-[0-9a-f]{8}$")
            self.assertTrue((build / ".config").read_text().endswith(text))
        self.assertEqual(plain.read_text(), before)
        self.assertFalse(self.kernel()[3])
        own.write_text("CONFIG_OWN=y\nOWN=y\n")
        self.check_refused(f"error: CONFIG_EXTRA={own} has no option in line 2, 'OWN=y'; ", CONFIG_EXTRA=str(own))
        own.write_text("CONFIG_OWN=y\nCONFIG_REFUSED=y\n")
        status, _, said, asked = self.kernel(CONFIG_EXTRA=str(own))
        self.assertEqual((status, asked), (1, False))
        self.assertIn("CONFIG_REFUSED=y (is n)", said)
        own.unlink()
        self.check_refused(f"error: CONFIG_EXTRA={own} is no file; ", CONFIG_EXTRA=str(own))


class Waiting(WithClone):
    def test_another_run_holds_the_tree(self):
        lock = self.cache / "trees/7.3.4.lock"
        self.install(self.clone / "scripts/other.sh", OTHER)
        with subprocess.Popen([self.clone / "scripts/other.sh", lock], stdout=subprocess.PIPE, text=True,
                              start_new_session=True) as other:
            self.assertEqual(other.stdout.readline(), "held\n")
            self.check_refused(
                rf"waiting for pid {other.pid} \(/bin/bash .*/scripts/other\.sh .*\), which uses the tree 7\.3\.4\n"
                rf"error: pid {other.pid} .* after 1 s; ", status=124, BPF_ASYNC_WAIT="1")
            process = subprocess.Popen([self.clone / "scripts/kernel.sh"], env=self.env, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertIn(f"waiting for pid {other.pid} ", process.stderr.readline())
            os.killpg(other.pid, signal.SIGKILL)
        self.assertTrue(process.communicate(timeout=120)[0].endswith("bzImage\n"))
        self.assertEqual(process.returncode, 0)
        # What is built needs no lock.
        with open(lock, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(self.kernel(BPF_ASYNC_WAIT="1")[0], 0)
            self.assertEqual(self.kernel("--always", BPF_ASYNC_WAIT="1")[0], 124)


class Arguments(WithClone):
    def test_words_of_make(self):
        self.install(self.clone / "scripts/kernel.sh", '#!/bin/sh\n: >"$BPF_ASYNC_CACHE/started"\nexit 3\n')
        for words, says in (("stress SECONDS=abc", "SECONDS is a number from 1, not 'abc'; "),
                            ("stress SECONDS=0", "SECONDS is a number from 1, not '0'; "),
                            ("stress SEED=-1", "SEED is a number, not '-1'; "),
                            ("stress IMPL=zzz", "IMPL is rust or c, not 'zzz'; "),
                            ("bench ONLY=zzz", "no operation begins with 'zzz'; "),
                            ("bench IMPL=zzz", "IMPL is rust, c or both, not 'zzz'; "),
                            ("vm CMD=true TIMEOUT=abc", "TIMEOUT is a number of seconds, not 'abc'; "),
                            ("vm CMD=true CPUS=0", "CPUS is a number from 1 to 16, not '0'; "),
                            ("vm CMD=true CPUS=17", "CPUS is a number from 1 to 16, not '17'; "),
                            ("selftests IMPL=zzz", "IMPL is rust, c or both, not 'zzz'; "),
                            ("vm", "CMD is empty; "),
                            ("stress", ""), ("stress SECONDS=5 SEED=0", ""), ("bench", ""), ("bench ONLY=load", ""),
                            ("bench ONLY=off\\ st", ""), ("vm CMD=true TIMEOUT=5", "")):
            (self.cache / "started").unlink(missing_ok=True)
            done = subprocess.run(f"make -C {self.clone} {words}", shell=True, env=self.env, text=True,
                                  capture_output=True, timeout=120, check=False)
            said = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
            self.assertEqual((self.cache / "started").exists(), not says, said)
            if says:
                self.assertEqual(len(said), 1, said)
                self.assertIn(says, said[0])

    def test_every_operation_that_is_measured(self):
        table = (ROOT / "tests/bench/ops.h").read_text().split("ops[] = {")[1]
        names = re.findall(r'\{\s*"([^"]+)",', table)
        self.assertEqual(len(names), table.count(".what ="))
        words = [word for name in names for word in ("--only", name)]
        done = subprocess.run([sys.executable, ROOT / "scripts/bench.py", *words, "--dry-run"], check=False)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
