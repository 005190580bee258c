# SPDX-License-Identifier: GPL-2.0
"""QEMU as a child that cannot outlive us, and its output."""

import contextlib
import ctypes
import os
import queue
import select
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def die_with(parent):
    """To be called in the child: the kernel ends it when `parent` ends, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    return prepare


class Pump:
    """Copies a pipe to a file descriptor.

    The pipe is emptied at once whatever happens at the other end: while it is
    full the guest's CPU spins in the kernel, and would be reported as locked up.
    """

    def __init__(self, source, target, on_broken):
        self.source, self.target, self.on_broken = source, target, on_broken
        self.chunks = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self.read, daemon=True),
                        threading.Thread(target=self.write, daemon=True)]
        for thread in self.threads:
            thread.start()

    def read(self):
        while chunk := os.read(self.source.fileno(), 1 << 16):
            self.chunks.put(chunk)
        self.chunks.put(b"")

    def write(self):
        while chunk := self.chunks.get():
            try:
                while chunk:
                    chunk = chunk[os.write(self.target, chunk):]
            except OSError:             # our output is no longer read
                self.on_broken()
                return

    def finish(self):
        for thread in self.threads:
            thread.join()
        self.source.close()


class Qemu:
    """A context manager; QEMU is gone when it is left."""

    def __init__(self, command, interactive=False, silent=False):
        self.command, self.interactive, self.silent = command, interactive, silent
        self.broken = False
        self.pumps = []

    def __enter__(self):
        sys.stdout.flush()
        sys.stderr.flush()
        pipe = None if self.interactive else subprocess.PIPE
        # An interactive QEMU has to stay in the terminal's foreground group.
        self.process = subprocess.Popen(
            self.command, stdin=None if self.interactive else subprocess.DEVNULL, stdout=pipe, stderr=pipe,
            start_new_session=not self.interactive, preexec_fn=die_with(os.getpid()))
        if not self.interactive:
            sink = os.open(os.devnull, os.O_WRONLY) if self.silent else None
            self.pumps = [Pump(self.process.stdout, sink or 1, self.break_off),
                          Pump(self.process.stderr, sink or 2, self.break_off)]
        return self

    def kill(self):
        if self.interactive:
            self.process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)     # it leads a session of its own

    def break_off(self):
        self.broken = True
        self.kill()

    def wait(self, limit, progress=lambda: None):
        """True when it ended, False after `limit` seconds in which progress() stayed the same (0: no limit)."""
        poll = select.poll()
        fd = os.pidfd_open(self.process.pid)
        try:
            poll.register(fd, select.POLLIN)
            before = progress()
            while not (ended := bool(poll.poll(limit * 1000 if limit else None))):
                if (now := progress()) == before:
                    break
                before = now
        finally:
            os.close(fd)
        if ended:
            self.process.wait()
            self.finish()
        return ended

    def finish(self):
        for pump in self.pumps:
            pump.finish()
        self.pumps = []

    def __exit__(self, failure, *_):
        if self.process.poll() is None:
            self.kill()
            self.process.wait()
        if failure is None:             # else leave at once, even if our output is not read
            self.finish()
