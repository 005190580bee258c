# SPDX-License-Identifier: GPL-2.0
"""vm.py without a kernel: stand-ins for virtme-ng and QEMU play what a VM can do."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path
from unittest import mock

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from vmlib import accel, qemu  # noqa: E402

HANG = 300                          # seconds: no verdict, but the end of a test that hangs
VIRTME = r"""#!/bin/sh
echo "$@" > "$BPF_ASYNC_CACHE/asked"
echo '{qemu} -chardev file,id=console,path=/proc/self/fd/2 -append "{append}" -chardev' \
    file,id=ret,path=$TMPDIR/virtme_ret1 -device virtserialport,name=virtme.ret,chardev=ret
"""
QEMU = """#!/bin/bash
for word; do
    case $word in
    file,id=console,path=*) console=${word#*path=} ;;
    file,path=*,id=dmesg) console=${word#*path=} console=${console%,id=dmesg} ;;
    file,id=ret,path=*) status=${word#*path=} ;;
    esac
done
echo $$ > "$BPF_ASYNC_CACHE/pid"
echo "$@" > "$BPF_ASYNC_CACHE/given"
echo "[    0.000000] Linux version" > "$console"
eval "$PLAY"
"""
WELL = 'echo 0 > "$status"'
LOCKUP = 'printf "%s\n" "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]" "RIP: a" >> "$console"; '


class WithCache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = Path(folder.name)
        self.virtme, self.qemu = self.cache / "tools/virtme/bin/virtme-run", self.cache / "bin/qemu-system-x86_64"
        self.install(self.qemu, QEMU)
        self.install(self.virtme, VIRTME.format(qemu=self.qemu, append="root=/dev/root"))
        self.image = self.cache / "bzImage"
        self.image.touch()
        os.mkfifo(self.cache / "go")
        self.setenv(BPF_ASYNC_CACHE=str(self.cache), VM_ACCEL="tcg", PATH=f"{self.cache}/bin:{os.environ['PATH']}")

    def setenv(self, **values):
        change = mock.patch.dict(os.environ, values)
        change.start()
        self.addCleanup(change.stop)

    def install(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, play, *options, command=("--", "true"), **more):
        words = [sys.executable, str(SCRIPTS / "vm.py"), "--kernel", str(self.image), *options, *command]
        return subprocess.Popen(words, env={**os.environ, "PLAY": play}, **more)

    def vm(self, play, *options, **more):
        process = self.start(play, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        out, err = process.communicate(timeout=HANG)
        return process.returncode, out, err.decode()

    def started(self, then):
        """(vm.py, a handle of its QEMU that has begun to play)"""
        process = self.start(f"echo started; {then}; exec sleep {HANG}", stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"started\n")
        return process, int((self.cache / "pid").read_text())

    def check_gone(self, pid):
        for _ in range(HANG * 10):
            stat = Path(f"/proc/{pid}/stat")
            if not stat.exists() or " Z " in stat.read_text():
                return
            subprocess.run(["sleep", "0.1"], check=True)
        self.fail("QEMU outlived vm.py")

    def left(self):
        return list((self.cache / "vm").iterdir())


class Results(WithCache):
    def test_ends(self):
        for play, status, out, says in (
                ('echo out; echo err >&2; echo 137 > "$status"', 137, b"out\n", "err\n"),
                (WELL, 0, b"", ""),
                (LOCKUP + WELL, 99, b"", "the kernel reported a fault: soft lockup: watchdog: BUG: soft lockup"),
                (LOCKUP + "exit 0", 99, b"", "stuck for 22s! [a:1]\nRIP: a\nvm: failed: 1 report(s)"),
                ("exit 3", 99, b"", "the VM ended before the command did, without a report (QEMU's exit status: 3)"),
                ('echo Could not switch to high resolution mode >> "$console"; exit 0', 99, b"", "low resolution"),
                ('echo no such option >&2; : > "$console"; exit 1', 125, b"", "no such option\nvm: QEMU ended before")):
            found = self.vm(play)
            self.assertEqual(found[:2], (status, out), play)
            self.assertIn(says, found[2])
            self.assertEqual("Linux version" in found[2], status == 99 and LOCKUP not in play, play)
            self.assertEqual(self.left(), [])

    def test_the_time_limit(self):
        for play, status in (("echo before", 124), (LOCKUP + "echo before", 99)):
            for limit in ("1", "4", "16", "64"):        # as short as it can be on this machine
                found, out, err = self.vm(f"{play}; exec sleep {HANG}", "--timeout", limit)
                if out:
                    break
            self.assertEqual((found, out), (status, b"before\n"))
            self.assertIn(f"time limit of {limit} s", err)
            self.check_gone(int((self.cache / "pid").read_text()))

    def test_a_shell(self):
        self.install(self.virtme, f"#!/bin/sh\necho {self.qemu} file,path=/proc/self/fd/2,id=dmesg -append x\n")
        for play, status in (":; ", 0), (LOCKUP, 99):
            command = f"{sys.executable} {SCRIPTS}/vm.py --kernel {self.image} --shell"
            self.setenv(PLAY=f"{play}test -t 0 && echo hello")
            done = subprocess.run(["script", "-qec", command, "/dev/null"], text=True, check=False,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.assertEqual(done.returncode, status)
            self.assertRegex(done.stdout, f"^vm: {self.image}, tcg; Ctrl-D leaves the shell.*\nhello\n")
            self.assertEqual("soft lockup" in done.stdout, status == 99)

    def test_large_binary_output(self):
        status, out, _ = self.vm(f'head -c 20000000 /dev/zero | tr "\\0" "\\377"; {WELL}')
        self.assertEqual((status, out == b"\xff" * 20000000), (0, True))

    def test_qemu_need_not_wait_for_our_reader(self):
        process, pid = self.started('head -c 20000000 /dev/zero; echo 0 > "$status"; exit')
        self.check_gone(pid)
        self.assertEqual(len(process.stdout.read()), 20000000)
        self.assertEqual(process.wait(HANG), 0)

    def test_the_console_file(self):
        path = self.cache / "deep/console.log"
        self.assertEqual(self.vm(WELL, "--console", str(path))[0], 0)
        self.assertIn("Linux version", path.read_text())

    def test_killed(self):
        process, pid = self.started(":")
        process.kill()
        process.wait()
        self.check_gone(pid)
        self.assertEqual(len(self.left()), 1)
        self.vm(WELL)                                   # and the next one tidies up
        self.assertEqual(self.left(), [])

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process, pid = self.started(":")
            process.send_signal(number)
            self.assertEqual(process.wait(HANG), 128 + number)
            self.check_gone(pid)
            self.assertEqual(self.left(), [])

    def test_nobody_reads(self):
        process, pid = self.started('read -r _ < "$BPF_ASYNC_CACHE/go"; echo more')
        process.stdout.close()
        (self.cache / "go").write_text("go\n")
        self.assertEqual(process.wait(HANG), 141)
        self.check_gone(pid)


class Words(WithCache):
    def refused(self, says, *options, status=125, **more):
        code, out, err = self.vm("echo never", *options, **more)
        self.assertEqual((code, out), (status, b""))
        self.assertIn(says, err)

    def test_refused(self):
        self.refused("either a command after -- or --shell", command=(), status=2)
        self.refused("0 is less than 1", "--cpus", "0", status=2)
        self.refused("--shell needs a terminal", "--shell", command=(), status=2, stdin=subprocess.DEVNULL)
        self.refused("/var/tmp/x is not visible in the guest", "--rwdir", "/var/tmp/x")
        self.refused("/run/x is not visible in the guest", "--path", "/run/x")
        for text, says in ((VIRTME.format(qemu=self.qemu, append="x" * 2037), "2048 characters"),
                           (f"#!/bin/sh\necho {self.qemu} -append x\n", "is not the one that is known"),
                           ("#!/bin/sh\necho bad size >&2; exit 1\n", "virtme-run failed: bad size")):
            self.install(self.virtme, text)
            self.refused(says)
        self.virtme.unlink()
        self.refused("virtme-ng is missing: run 'make setup'")
        self.setenv(PATH="/nonexistent")
        self.refused("qemu-system-x86_64 is missing: run 'make setup'")
        self.image.unlink()
        self.refused("no kernel image at")
        self.image.touch()
        self.setenv(VM_ACCEL="fast")
        self.refused("VM_ACCEL is 'fast'")

    def test_what_virtme_is_asked_for(self):
        self.vm(WELL, "--cpus", "4", "--mem", "1G", "--append", "kunit.enable=1 nosmp", "--rwdir", str(self.cache),
                "--qemu", "-icount shift=0", "--path", "/usr/games", "--one-thread")
        asked = (self.cache / "asked").read_text()
        for words in ("--cpus 4", "--memory 1G", "--kopt=kunit.enable=1", "--kopt=nosmp", f"--rwdir {self.cache}",
                      "--qemu-opt=-icount --qemu-opt=shift=0", "--disable-kvm", "--overlay-rwdir /tmp ",
                      "--kopt=no5lvl", "--kopt=oops=panic", "/bin:/usr/games:/usr/local/sbin:",
                      "--qemu-opt=tcg,thread=single"):
            self.assertIn(words, asked)
        self.assertIn("-append root=/dev/root vm_ports=1 ", (self.cache / "given").read_text())
        self.setenv(VM_ACCEL="kvm")
        self.vm(WELL, "--one-thread")
        for words in ("--disable-kvm", "thread=single"):
            self.assertNotIn(words, (self.cache / "asked").read_text())

    def test_arm64(self):
        """A root of its own, in which it can read the cache, and no KVM."""
        self.image = self.image.rename(self.cache / "Image")
        self.setenv(VM_ACCEL="kvm")
        self.install(self.cache / "bin/qemu-system-aarch64", QEMU)
        root = self.cache / "root-arm64"
        self.refused(f"there is no {root}: make it with")
        root.mkdir()
        self.assertEqual(self.vm('echo 7 > "$status"'), (7, b"", ""))
        asked = (self.cache / "asked").read_text()
        for words in (f"--arch aarch64 --root {root} ", f"--rodir {self.cache}={self.cache}", "--disable-kvm"):
            self.assertIn(words, asked)
        self.assertNotIn("no5lvl", asked)
        self.assertTrue((root / str(self.cache).lstrip("/")).is_dir())
        for name in ("systemd-tmpfiles", "virtme-root"):
            self.assertTrue(os.access(root / "usr/local/bin" / name, os.X_OK), name)
        self.refused("can only read", "--rwdir", f"{self.cache}/logs")

    def test_the_command(self):
        """In its folder, with its variables, and with the programs of root, whoever starts it."""
        self.setenv(PATH="/usr/bin:/bin")
        for command, out in ((['echo "$0 $PWD $NEW $PATH"'], f"bash {os.getcwd()} it's=2 /own:/usr/bin:/bin:"
                              "/usr/local/sbin:/usr/sbin:/sbin\n"), (["printf", "%s,", "a  b", "$c"], "a  b,$c,")):
            script = qemu.command_script(Namespace(command=command, env=["NEW=it's=2"], path=["/own"]))
            self.assertEqual(subprocess.check_output(["bash", "-c", script.replace("mount ", ": ")], text=True), out)


class Kvm(WithCache):
    def choose(self, works):
        """(the answer, whether a boot was tried)"""
        probe = mock.Mock(return_value=works)
        self.setenv(VM_ACCEL="")
        with mock.patch("os.access", return_value=True):
            return accel.choose(probe, lambda text: None), probe.called

    def test_what_is_remembered(self):
        self.assertEqual(self.choose(False), (("tcg", True), True))     # not before the same kernel ran under TCG
        self.assertEqual(self.choose(True), (("kvm", False), True))
        self.assertEqual(self.choose(False), (("kvm", False), False))
        accel.remember(False)
        self.assertEqual(self.choose(True), (("tcg", False), False))
        (self.cache / "kvm-probe").write_text("another machine")
        self.assertIsNone(accel.recall())


if __name__ == "__main__":
    unittest.main()
