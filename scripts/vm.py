#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run a command in a kernel of one's own, on the host's root file system.

    vm.py --kernel IMAGE|BUILD [options] -- COMMAND...     one word is a shell's command line
    vm.py --kernel IMAGE|BUILD [options] --shell           an interactive shell

The command runs as the same user in the current folder. What it writes is lost,
except in folders given with --rwdir. Its output and exit status are passed
through, and the kernel's console goes to a file and is searched for reports.

Exit status: the command's own, or
    99   the kernel reported a fault (the report is printed), or ended without a word
    124  the time limit was reached
    125  the VM could not be started
Environment: VM_ACCEL=kvm|tcg skips the search for the best one; BPF_ASYNC_CACHE is the cache's folder.
"""

import argparse
import os
import signal
import sys
import termios
import time
from pathlib import Path
from types import SimpleNamespace

from console import find_reports
from kernels import IMAGES, BuildError, at_least, cache
from vmlib import accel, qemu

FAULT, TIMEOUT, FAILED, BROKEN_PIPE = 99, 124, 125, 141
KEPT_LOGS = 50
LOW_RESOLUTION = "Could not switch to high resolution mode"
TAIL = 15                           # lines of the console shown when there is no report to show


def say(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


def parse(argv):
    p = argparse.ArgumentParser(prog="vm.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", required=True, metavar="PATH", help="an image, or a kernel's build folder")
    p.add_argument("--cpus", type=at_least(1), default=2, metavar="N")
    p.add_argument("--mem", default="2G", metavar="SIZE")
    p.add_argument("--append", default="", metavar="TEXT", help="more words for the kernel's command line")
    p.add_argument("--timeout", type=at_least(0, float), metavar="S",
                   help="seconds, boot included (default 300; 0 or --shell: none)")
    p.add_argument("--console", metavar="FILE", help="where the kernel's console goes (default: the cache's logs/)")
    p.add_argument("--rwdir", action="append", default=[], type=os.path.abspath, metavar="DIR",
                   help="what the guest writes here is kept")
    p.add_argument("--path", action="append", default=[], type=os.path.abspath, metavar="DIR",
                   help="a folder that comes first in PATH")
    p.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="a variable for the command")
    p.add_argument("--qemu", action="append", default=[], metavar="TEXT", help="more words for QEMU's command line")
    p.add_argument("--one-thread", action="store_true",
                   help="emulate all vCPUs in one thread: needed where the text of functions that other CPUs\n"
                        "run is patched (kprobes, tracepoints), as QEMU's multi-threaded TCG may run stale text")
    p.add_argument("--shell", action="store_true", help="an interactive shell instead of a command")
    p.add_argument("command", nargs="*")
    options = p.parse_args(argv)
    if options.shell == bool(options.command):
        p.error("give either a command after -- or --shell")
    if options.shell and not sys.stdin.isatty():
        p.error("--shell needs a terminal")
    if options.timeout is None:
        options.timeout = 0 if options.shell else 300
    return options


def find_image(path):
    path = Path(path).absolute()
    images = [path / image for image in IMAGES.values()] if path.is_dir() else [path]
    for image in images:
        if image.is_file():
            return image
    raise BuildError(f"no kernel image at {images[0]}: build one with 'make kernel'")


def default_console(image):
    """A new file in the cache; of the older ones only some are kept."""
    logs = cache() / "logs"
    old = sorted(logs.glob("vm-*.log"), key=lambda path: path.name.split("-")[-3:])     # date, time, process
    for path in old[:-KEPT_LOGS]:
        path.unlink(missing_ok=True)
    build = image.parents[3].name if "arch" in image.parts[-4:] else image.name
    return logs / f"vm-{build}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"


def boot(options, how, console, silent=False):
    """What one VM did."""
    with qemu.guest_folder(options) as folder:
        command = qemu.qemu_command(options, folder, how, console)
        console.parent.mkdir(parents=True, exist_ok=True)
        console.write_text("", encoding="utf-8")
        ended, was_read, qemu_status = qemu.run(command, options.timeout, options.shell, silent)
        text = console.read_text(encoding="utf-8", errors="replace")
        return SimpleNamespace(ended=ended, was_read=was_read, qemu_status=qemu_status,
                               status=qemu.exit_status(folder), text=text, reports=find_reports(text))


def probe_kvm(options):
    tried = argparse.Namespace(**{**vars(options), "command": ["true"], "shell": False, "rwdir": [], "append": "",
                                  "qemu": [], "timeout": accel.PROBE_LIMIT})
    outcome = boot(tried, "kvm", cache() / "logs/kvm-probe.log", silent=True)
    return outcome.ended and outcome.status == 0 and not outcome.reports


def show_tail(text):
    for line in text.rstrip().splitlines()[-TAIL:]:
        print(f"  {line.rstrip()}", file=sys.stderr)


def verdict(options, outcome, console):
    """Says what went wrong and gives the exit status."""
    if LOW_RESOLUTION in outcome.text:
        say("the guest could not calibrate its timers (busy host?): they have low resolution in this run")
    for report in outcome.reports:
        say(f"the kernel reported a fault: {report.kind}: {report.first_line}")
        print(report.text, file=sys.stderr)
    if not outcome.ended:
        if not outcome.reports:
            show_tail(outcome.text)
        say(f"the time limit of {options.timeout:g} s was reached, the VM has been ended; its console: {console}")
    if outcome.reports:
        say(f"failed: {len(outcome.reports)} report(s) in the console: {console}")
        return FAULT
    if not outcome.ended:
        return TIMEOUT
    if not outcome.was_read:
        return BROKEN_PIPE
    if options.shell and outcome.text:
        return 0
    if outcome.status is not None:
        return outcome.status
    if not outcome.text.strip():
        say("QEMU ended before the kernel said anything; what it said stands above")
        return FAILED
    how = f" (QEMU's exit status: {outcome.qemu_status})" if outcome.qemu_status else ""
    show_tail(outcome.text)
    say(f"the VM ended before the command did, without a report{how}; its console: {console}")
    return FAULT


def run(options):
    options.image = find_image(options.kernel)
    console = Path(options.console).absolute() if options.console else default_console(options.image)
    how, doubtful = ("tcg", False) if qemu.is_arm64(options.image) else accel.choose(lambda: probe_kvm(options), say)
    if options.shell:
        say(f"{options.image}, {how}; Ctrl-D leaves the shell, Ctrl-A x ends the VM; console: {console}")
    outcome = boot(options, how, console)
    if doubtful and (outcome.status is not None or (options.shell and outcome.ended)):
        accel.remember(False)
    return verdict(options, outcome, console)


def interrupted(number, _frame):
    raise SystemExit(128 + number)


def main(argv):
    options = parse(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    terminal = termios.tcgetattr(sys.stdin) if options.shell else None
    try:
        return run(options)
    except BuildError as error:
        say(error)
    except OSError as error:
        say(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    finally:
        if terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
