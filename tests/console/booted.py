#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vm.py with a real kernel:  booted.py IMAGE|BUILD

What a stand-in for QEMU cannot show. Takes about a minute.
"""

import hashlib
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
VM = HERE.parents[1] / "scripts/vm.py"
KERNEL = ""
LIMIT = 300


def words(*options, command="true"):
    return [sys.executable, str(VM), "--kernel", KERNEL, *options, "--", command]


def vm(command, *options, **more):
    done = subprocess.run(words(*options, command=command), capture_output=True, timeout=LIMIT, check=False, **more)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def children_of(pid):
    """The processes below `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


class Commands(unittest.TestCase):
    def test_status_and_streams(self):
        self.assertEqual(vm("echo out; echo err >&2; exit 42"), (42, b"out\n", "err\n"))

    def test_killed_by_a_signal(self):
        self.assertEqual(vm("kill -9 $$")[0], 137)

    def test_folder_and_environment(self):
        with tempfile.TemporaryDirectory(prefix="with space ") as folder:
            code, out, _ = vm('pwd; echo "$WORD"', "--env", "WORD=it's", cwd=folder)
            self.assertEqual((code, out.decode()), (0, f"{folder}\nit's\n"))

    def test_large_binary_output(self):
        command = "head -c 10000000 /dev/urandom | tee /tmp/data | sha256sum >&2; cat /tmp/data"
        code, out, err = vm(command)
        self.assertEqual((code, len(out)), (0, 10000000))
        self.assertEqual(hashlib.sha256(out).hexdigest(), err.split()[0])

    def test_cpus_and_memory(self):
        code, out, _ = vm("nproc; grep MemTotal /proc/meminfo", "--cpus", "4", "--mem", "1G")
        self.assertEqual((code, out.split()[0]), (0, b"4"))
        self.assertLess(int(out.split()[2]), 1 << 20)

    def test_kernel_command_line(self):
        code, out, _ = vm("cat /proc/cmdline", "--append", "made_up=1")
        self.assertEqual(code, 0)
        self.assertIn(b" made_up=1 ", out)

    def test_what_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            kept, lost = Path(folder, "kept"), Path(folder, "lost")
            kept.mkdir()
            lost.mkdir()
            code, _, err = vm(f"echo a > {kept}/a && echo b > {lost}/b && cat {lost}/b", "--rwdir", str(kept))
            self.assertEqual((code, err), (0, ""))
            self.assertEqual((kept / "a").read_text(), "a\n")
            self.assertEqual(list(lost.iterdir()), [])


class Faults(unittest.TestCase):
    PANIC = "echo c > /proc/sysrq-trigger; exec sleep 1000"

    def test_panic(self):
        code, _, err = vm(self.PANIC, "--timeout", "200")
        self.assertEqual(code, 99)
        self.assertIn("Kernel panic - not syncing: sysrq triggered crash", err)
        self.assertNotIn("time limit", err)

    def test_healthy_traces(self):
        with tempfile.NamedTemporaryFile() as file:
            code, _, err = vm("echo l > /proc/sysrq-trigger; echo t > /proc/sysrq-trigger", "--console", file.name)
            console = Path(file.name).read_text(errors="replace")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("NMI backtrace for cpu 1", console)
        self.assertIn("Call Trace:", console)
        self.assertIn("reboot: Power down", console)

    def test_time_limit(self):
        code, _, err = vm("exec sleep 1000", "--timeout", "10")
        self.assertEqual(code, 124)
        self.assertIn("time limit of 10 s", err)


class NoOrphans(unittest.TestCase):
    def check(self, number):
        process = subprocess.Popen(words(command="echo started; exec sleep 1000"), stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"started\n")
        below = children_of(process.pid)
        self.assertEqual(len(below), 1)
        watch = os.pidfd_open(below[0])
        process.send_signal(number)
        ended = select.select([watch], [], [], LIMIT)[0]
        os.close(watch)
        process.stdout.close()
        process.wait(LIMIT)
        self.assertTrue(ended, "QEMU outlived vm.py")

    def test_killed(self):
        self.check(signal.SIGKILL)

    def test_interrupted(self):
        self.check(signal.SIGINT)


class Shell(unittest.TestCase):
    """A shell in a terminal of its own."""

    def setUp(self):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, words("--shell")[:-2])
        self.seen = ""

    def tearDown(self):
        os.close(self.terminal)

    def expect(self, text):
        end = time.monotonic() + LIMIT
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, f"no '{text}' in {self.seen!r}")
            try:
                self.seen += os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:
                self.fail(f"the shell ended without '{text}': {self.seen!r}")
        self.seen = self.seen.split(text, 1)[1]

    def write(self, text):
        os.write(self.terminal, text.encode())

    def status(self):
        """The exit status, with the rest of the output read."""
        while True:
            try:
                if not (more := os.read(self.terminal, 4096)):
                    break
            except OSError:
                break
            self.seen += more.decode(errors="replace")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def test_shell(self):
        self.expect("CTRL+d to exit")
        self.write("echo $((6 * 7)) in $PWD\n")
        self.expect(f"42 in {os.getcwd()}")
        self.write("exit\n")
        self.assertEqual(self.status(), 0)

    def test_panic(self):
        self.expect("CTRL+d to exit")
        self.write("echo c > /proc/sysrq-trigger\n")
        self.assertEqual(self.status(), 99)
        self.assertIn("the kernel reported a fault: panic:", self.seen)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: booted.py IMAGE|BUILD [test...]")
    KERNEL = os.path.abspath(sys.argv.pop(1))
    unittest.main()
