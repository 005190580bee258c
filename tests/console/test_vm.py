# SPDX-License-Identifier: GPL-2.0
"""vm.py without a kernel: a stand-in for QEMU plays what a VM can do."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[1] / "scripts"
sys.path[:0] = [str(HERE), str(SCRIPTS)]
from samples import BODIES, console  # noqa: E402
from vmlib import accel, cmdline, guest, process  # noqa: E402

HANG = 300                          # seconds: no verdict, but the end of a test that hangs

VIRTME = """#!/bin/sh
echo "$@" > "$BPF_ASYNC_CACHE/asked"
echo '{qemu} -chardev file,id=console,path=/proc/self/fd/2 -chardev file,id=ret,path=/tmp/x -append "{append}"'
"""
QEMU = """#!/bin/bash
for word; do
    case $word in
    file,id=console,path=*) console=${word#*path=} ;;
    file,id=ret,path=*) status=${word#*path=} ;;
    esac
done
echo $$ > "$BPF_ASYNC_CACHE/pid"
echo "[    0.000000] Linux version" > "$console"
eval "$PLAY"
"""


class WithCache(unittest.TestCase):
    """A cache of its own with a stand-in for virtme-ng and QEMU."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = Path(folder.name)
        self.qemu = self.cache / "bin/qemu-system-x86_64"
        self.install(self.qemu, QEMU)
        self.virtme()
        self.image = self.cache / "bzImage"
        self.image.touch()
        change = mock.patch.dict(os.environ, {
            "BPF_ASYNC_CACHE": str(self.cache), "VM_ACCEL": "tcg", "PATH": f"{self.cache}/bin:{os.environ['PATH']}"})
        change.start()
        self.addCleanup(change.stop)

    def virtme(self, append="root=/dev/root"):
        self.install(self.cache / "tools/virtme/bin/virtme-run", VIRTME.format(qemu=self.qemu, append=append))

    def install(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, play, *options, command=("--", "true"), **more):
        words = [sys.executable, str(SCRIPTS / "vm.py"), "--kernel", str(self.image), *options, *command]
        return subprocess.Popen(words, env={**os.environ, "PLAY": play}, text=True, **more)

    def vm(self, play, *options, **more):
        process = self.start(play, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        out, err = process.communicate(timeout=HANG)
        return process.returncode, out, err

    def vm_until(self, play):
        """With a time limit, as short as it can be on this machine for QEMU to get through `play`."""
        for limit in (1, 4, 16, 64):
            result = self.vm(f'{play}; touch "$BPF_ASYNC_CACHE/played"; exec sleep 600', "--timeout", str(limit))
            if (self.cache / "played").exists():
                break
        return *result, limit

    def play_report(self, name):
        report = self.cache / "report"
        report.write_text(console(BODIES[name][2])[0])
        return f'cat {report} >> "$console"; '


def gone(pid, limit=HANG):
    """Whether the process ends within the limit (a zombie is gone)."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


class Results(WithCache):
    def test_status_and_output(self):
        for status in (0, 1, 42, 137, 255):
            play = f"echo out; echo err >&2; echo {status} > \"$status\""
            self.assertEqual(self.vm(play), (status, "out\n", "err\n"))

    def test_large_binary_output(self):
        process = self.start('head -c 20000000 /dev/zero | tr "\\0" "\\377"; echo 0 > "$status"', stdout=subprocess.PIPE)
        out = os.read(process.stdout.fileno(), 1)
        while chunk := os.read(process.stdout.fileno(), 1 << 20):
            out += chunk
        process.stdout.close()
        self.assertEqual(process.wait(), 0)
        self.assertEqual(out, b"\xff" * 20000000)

    def test_output_is_live(self):
        process = self.start('echo now; read -r _ < "$BPF_ASYNC_CACHE/go"; echo 0 > "$status"', stdout=subprocess.PIPE)
        os.mkfifo(self.cache / "go")
        self.assertEqual(process.stdout.readline(), "now\n")
        (self.cache / "go").write_text("go\n")
        self.assertEqual(process.wait(), 0)
        process.stdout.close()

    def test_a_report(self):
        status, _, err = self.vm(self.play_report("WARN") + 'echo 0 > "$status"')
        self.assertEqual(status, 99)
        self.assertIn("the kernel reported a fault: warn: WARNING: made/up.c:34", err)
        self.assertIn("made_up_caller+0x1f/0x30", err)
        self.assertNotIn("Linux version", err)

    def test_a_report_and_no_status(self):
        status, _, err = self.vm(self.play_report("panic"))
        self.assertEqual(status, 99)
        self.assertIn("made up reason", err)

    def test_a_report_and_the_time_limit(self):
        status, _, err, limit = self.vm_until(self.play_report("soft lockup") + ":")
        self.assertEqual(status, 99)
        self.assertIn(f"time limit of {limit} s", err)

    def test_the_time_limit(self):
        status, out, err, limit = self.vm_until("echo before")
        self.assertEqual((status, out), (124, "before\n"))
        self.assertIn(f"time limit of {limit} s", err)
        self.assertTrue(gone(int((self.cache / "pid").read_text())))

    def test_a_sudden_end(self):
        status, _, err = self.vm("exit 0")
        self.assertEqual(status, 99)
        self.assertIn("ended before the command did", err)
        self.assertIn("Linux version", err)

    def test_qemu_that_does_not_start(self):
        status, _, err = self.vm('echo no such option >&2; : > "$console"; exit 1')
        self.assertEqual(status, 125)
        self.assertIn("no such option", err)

    def test_the_console_file(self):
        path = self.cache / "deep/console.log"
        self.assertEqual(self.vm('echo 0 > "$status"', "--console", str(path))[0], 0)
        self.assertIn("Linux version", path.read_text())

    def test_nothing_is_left_in_the_cache(self):
        self.vm('echo 0 > "$status"')
        self.assertEqual(list((self.cache / "vm").iterdir()), [])


class Ends(WithCache):
    """QEMU never outlives vm.py."""

    def running(self, **more):
        process = self.start("echo started; exec sleep 600", stdout=subprocess.PIPE, **more)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "started\n")
        return process, int((self.cache / "pid").read_text())

    def test_killed(self):
        process, qemu = self.running()
        process.kill()
        process.wait()
        self.assertTrue(gone(qemu))
        self.vm('echo 0 > "$status"')                        # and the next one tidies up
        self.assertEqual(list((self.cache / "vm").iterdir()), [])

    def test_interrupted_and_ended(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process, qemu = self.running()
            process.send_signal(number)
            self.assertEqual(process.wait(HANG), 128 + number)
            self.assertTrue(gone(qemu))
            self.assertEqual(list((self.cache / "vm").iterdir()), [])

    def test_nobody_reads(self):
        os.mkfifo(self.cache / "go")
        process = self.start('echo started; read -r _ < "$BPF_ASYNC_CACHE/go"; echo more; exec sleep 600',
                             stdout=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        (self.cache / "go").write_text("go\n")
        self.assertEqual(process.wait(HANG), 141)
        self.assertTrue(gone(int((self.cache / "pid").read_text())))


class BadInput(WithCache):
    def refused(self, *options, says, status=125, **more):
        code, out, err = self.vm("echo never", *options, **more)
        self.assertEqual((code, out), (status, ""))
        self.assertIn(says, err)

    def test_what_is_missing(self):
        self.image.unlink()
        self.refused(says="no kernel image at")
        self.image.touch()
        (self.cache / "tools/virtme/bin/virtme-run").unlink()
        with mock.patch.dict(os.environ, PATH=f"{self.cache}/bin:/usr/bin:/bin"):
            self.refused(says="virtme-ng is missing: run 'make setup'")
        self.qemu.unlink()
        with mock.patch.dict(os.environ, PATH=str(self.cache)):
            self.refused(says="qemu-system-x86_64 is missing: run 'make setup'")

    def test_options(self):
        self.refused(says="either a command after -- or --shell", command=(), status=2)
        self.refused("--cpus", "0", says="0 is less than 1", status=2)
        self.refused("--shell", says="--shell needs a terminal", command=(), status=2, stdin=subprocess.DEVNULL)

    def test_accelerator(self):
        with mock.patch.dict(os.environ, VM_ACCEL="fast"):
            self.refused(says="VM_ACCEL is 'fast'")

    def test_hidden_folder(self):
        self.refused("--rwdir", "/var/tmp/x", says="/var/tmp/x is not visible in the guest")
        self.refused("--path", "/run/x", says="/run/x is not visible in the guest")

    def test_command_line_too_long(self):
        self.virtme("x" * 2048)
        self.refused(says="2048 characters")

    def test_another_virtme(self):
        self.install(self.cache / "tools/virtme/bin/virtme-run", f"#!/bin/sh\necho {self.qemu} -append x\n")
        self.refused(says="is not the one that is known")

    def test_virtme_fails(self):
        self.install(self.cache / "tools/virtme/bin/virtme-run", "#!/bin/sh\necho bad size >&2; exit 1\n")
        self.refused(says="virtme-run failed: bad size")


class Asked(WithCache):
    def test_options_reach_virtme(self):
        self.vm('echo 0 > "$status"', "--cpus", "4", "--mem", "1G", "--append", "kunit.enable=1 nosmp",
                "--rwdir", str(self.cache), "--qemu", "-icount shift=0")
        asked = (self.cache / "asked").read_text()
        for words in ("--cpus 4", "--memory 1G", "--kopt=kunit.enable=1", "--kopt=nosmp", f"--rwdir {self.cache}",
                      "--qemu-opt=-icount --qemu-opt=shift=0", "--disable-kvm"):
            self.assertIn(words, asked)

    def test_arm64(self):
        """A root of its own, in which it can read the cache, and no KVM."""
        self.image = self.image.rename(self.cache / "Image")
        qemu = self.cache / "bin/qemu-system-aarch64"
        with mock.patch.dict(os.environ, VM_ACCEL="kvm", PATH=f"{self.cache}/bin:/usr/bin:/bin"):
            if not shutil.which(qemu.name):
                self.assertIn("is missing: run 'make setup ARCH=arm64'", self.vm("true")[2])
            self.install(qemu, QEMU)
            self.assertIn("there is no", self.vm("true")[2])
            root = self.cache / "root-arm64"
            root.mkdir()
            self.assertEqual(self.vm('echo 7 > "$status"'), (7, "", ""))
            asked = (self.cache / "asked").read_text()
            for words in (f"--arch aarch64 --root {root} ", f"--rodir {self.cache}={self.cache}", "--disable-kvm",
                          "--overlay-rwdir /tmp "):
                self.assertIn(words, asked)
            self.assertNotIn("no5lvl", asked)
            self.assertTrue((root / str(self.cache).lstrip("/")).is_dir())
            for name in ("systemd-tmpfiles", "virtme-root"):
                self.assertTrue(os.access(root / "usr/local/bin" / name, os.X_OK), name)
            self.assertIn("can only read", self.vm("true", "--rwdir", f"{self.cache}/logs")[2])

    def test_kvm(self):
        with mock.patch.dict(os.environ, VM_ACCEL="kvm"):
            self.vm('echo 0 > "$status"')
        self.assertNotIn("--disable-kvm", (self.cache / "asked").read_text())

    def test_command_script(self):
        with mock.patch.dict(os.environ, ODD="a 'b'"), guest.GuestFiles(["echo $0"], ["ODD", "NEW=1=2"], "/") as files:
            files.command.write_text(files.command.read_text().replace("mount", ": mount"))
            done = subprocess.run([files.command], capture_output=True, text=True, check=False)
            self.assertEqual((done.stdout, done.returncode), ("bash\n", 0))
            self.assertIn("export ODD='a '\"'\"'b'\"'\"''", files.command.read_text())
            self.assertIn("export NEW=1=2", files.command.read_text())

    def test_path(self):
        self.vm('echo 0 > "$status"', "--path", "/usr/games", "--path", str(self.cache))
        self.assertRegex((self.cache / "asked").read_text(), rf"--kopt=PATH=\S+/bin:/usr/games:{self.cache}:/usr/local/sbin:")
        with guest.GuestFiles(["type -P own"], cwd="/", path=[self.cache / "own/bin"]) as files:
            self.install(self.cache / "own/bin/own", "#!/bin/sh\n")
            files.command.write_text(files.command.read_text().replace("mount", ": mount"))
            done = subprocess.run([files.command], capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout, f"{self.cache}/own/bin/own\n")

    def test_programs_of_root(self):
        """The command is root's, also when it is started by a user whose PATH has no sbin."""
        with mock.patch.dict(os.environ, PATH="/usr/bin:/bin"), guest.GuestFiles(['echo "$PATH"'], cwd="/") as files:
            files.command.write_text(files.command.read_text().replace("mount", ": mount"))
            done = subprocess.run([files.command], capture_output=True, text=True, check=False)
            self.assertEqual(done.stdout.strip().split(":")[:2], ["/usr/bin", "/bin"])
            self.assertIn("/sbin", done.stdout.strip().split(":"))

    def test_words(self):
        self.assertEqual(guest.as_shell(["a; b"]), "bash -c 'a; b'")
        self.assertEqual(guest.as_shell(["a", "b c"]), "a 'b c'")

    def test_writable_folders(self):
        self.assertIn("/tmp", cmdline.overlays("/"))
        self.assertNotIn("/proc", cmdline.overlays("/proc/self"))


class Kvm(WithCache):
    def choose(self, answer):
        calls = []
        with mock.patch.dict(os.environ, VM_ACCEL=""), mock.patch("os.access", return_value=True):
            return accel.choose(lambda: calls.append(1) or answer, lambda text: None), len(calls)

    def test_a_probe_that_works_is_remembered(self):
        self.assertEqual(self.choose(True), (("kvm", False), 1))
        self.assertEqual(self.choose(False), (("kvm", False), 0))

    def test_a_probe_that_fails_is_remembered_when_the_kernel_was_good(self):
        self.assertEqual(self.choose(False), (("tcg", True), 1))
        self.assertEqual(self.choose(False), (("tcg", True), 1))
        accel.remember(False)
        self.assertEqual(self.choose(True), (("tcg", False), 0))

    def test_a_boot_that_is_slow_but_goes_on(self):
        """It is waited for as long as it makes progress, and ends after three looks at it."""
        go, looks = self.cache / "go", []
        os.mkfifo(go)

        def progress():
            looks.append(1)
            if len(looks) == 3:
                go.write_text("go\n")
            return len(looks)

        wait = f"read -r _ < {go}"
        with process.Qemu(["bash", "-c", wait], silent=True) as qemu:
            self.assertTrue(qemu.wait(0.01, progress))
        with process.Qemu(["bash", "-c", wait], silent=True) as qemu:
            self.assertFalse(qemu.wait(0.01, lambda: 0))

    def test_another_boot_is_another_machine(self):
        accel.remember(True)
        with mock.patch.object(accel, "machine_key", return_value="another"):
            self.assertIsNone(accel.recall())

    def test_a_damaged_answer_is_no_answer(self):
        (self.cache / "kvm-probe").write_text("{")
        self.assertIsNone(accel.recall())

    def test_alive(self):
        self.assertTrue(guest.alive(os.getpid()))
        self.assertFalse(guest.alive(2 ** 22 + 1))


if __name__ == "__main__":
    unittest.main()
