# SPDX-License-Identifier: GPL-2.0
"""QEMU's command line, as virtme-ng makes it, with the console in a file of its own.

virtme-ng sends kernel console and the command's stderr to the same place, and
starts QEMU as a child that outlives it. So it is only asked for the command
line (--dry-run --show-command); what is changed in it is named in adapt().
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from kernels import IMAGES, ROOT, cache

from . import VmError
from .guest import TMPFILES, write_script

LONGEST_APPEND = 2047               # the kernel cuts off the rest without a word
OVERLAYS = ("/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/var")
ARM64_OVERLAYS = ("/etc", "/root", "/tmp", "/var")
HIDDEN = ("/dev", "/proc", "/run", "/sys", "/var/cache", "/var/log", "/var/tmp")    # virtme-ng mounts its own there
# cache=loose: the guest reads a file from the host once. The root is read-only
# for the guest, and running a program then takes half the time.
ROOT_FLAGS = "rootflags=version=9p2000.L,trans=virtio,access=any,msize=500000,cache=loose"

# After an oops or a lock-up there is nothing to wait for. All messages go to
# the console. An emulated CPU of a busy host may stand still for ten seconds, the
# watchdogs' default, without being locked up.
KERNEL_WORDS = ("oops=panic", "softlockup_panic=1", "watchdog_thresh=30", "ignore_loglevel")

# Of x86. The check of the timer interrupt fails by chance on a busy host. Early
# in the boot identify_cpu() clears the CPU's features for a moment; an interrupt
# just then takes five-level paging for four-level, and KASAN reports a wild
# access that is none: four levels from the beginning.
X86_WORDS = ("no_timer_check", "no5lvl")

# A CPU with all that QEMU knows, but a cheap hash for pointer authentication.
ARM64_CPU = "--qemu-opt=-cpu", "--qemu-opt=max,pauth-impdef=on"

# What virtme-ng does on a root of its own, from a file that it takes away when it
# ends, as it does here before QEMU starts.
ARM64_INIT = """#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
mount -t tmpfs run /run
mount -t devtmpfs devtmpfs /dev
mkdir -p /run/virtme/guesttools
mount -t 9p -o version=9p2000.L,trans=virtio,access=any virtme.guesttools /run/virtme/guesttools
exec /run/virtme/guesttools/virtme-init
"""

# All vCPUs in one thread of QEMU: see --one-thread.
ONE_THREAD = "--qemu-opt=-accel", "--qemu-opt=tcg,thread=single"


def find_image(path):
    path = Path(path).absolute()
    images = [path / image for image in IMAGES.values()] if path.is_dir() else [path]
    for image in images:
        if image.is_file():
            return image
    raise VmError(f"no kernel image at {images[0]}: build one with 'make kernel'")


def is_arm64(image):
    return image.name == "Image"


def arm64_root():
    """The guest's root file system, with what must be there before virtme-ng's init mounts anything."""
    root = cache() / "root-arm64"
    if not root.is_dir():
        raise VmError(f"there is no {root}: make it with 'ARCH=arm64 scripts/root.sh'")
    for name, text in (("systemd-tmpfiles", TMPFILES), ("virtme-root", ARM64_INIT)):
        script = root / "usr/local/bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        if not script.exists() or script.read_text(encoding="utf-8") != text:
            write_script(script, text)
    return root


def find_virtme(qemu):
    if os.uname().machine != "x86_64":
        raise VmError(f"only x86_64 hosts are supported, this one is {os.uname().machine}")
    if not shutil.which(qemu):
        arch = " ARCH=arm64" if qemu.endswith("aarch64") else ""
        raise VmError(f"{qemu} is missing: run 'make setup{arch}'")
    own = cache() / "tools/virtme/bin/virtme-run"
    found = str(own) if own.exists() else shutil.which("virtme-run")
    if not found:
        raise VmError("virtme-ng is missing: run 'make setup'")
    return found


def overlays(cwd):
    """Folders in which the guest may write, without effect on the host."""
    top = "/" + Path(cwd).parts[1] if len(Path(cwd).parts) > 1 else "/tmp"
    wanted = sorted({*OVERLAYS, top} - set(HIDDEN))
    return [path for path in wanted if os.path.isdir(path) and not os.path.islink(path)]


def check_visible(path, what):
    for hidden in HIDDEN:
        if path == hidden or path.startswith(hidden + "/"):
            raise VmError(f"{what} {path} is not visible in the guest, which has its own {hidden}: use another place")


def visible(cwd):
    """Folders of the host that a guest with a root of its own can read; none is inside another."""
    found = []
    for path in sorted({cache(), ROOT, Path(cwd)}):
        if str(path) not in ("/", *ARM64_OVERLAYS) and not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return found


def arm64_arguments(options, guest):
    """An arm64 guest has a root of its own, and in it some folders of the host."""
    root, words = arm64_root(), []
    for path in visible(guest.cwd):
        for inside in options.rwdir:
            if Path(inside).absolute().is_relative_to(path):
                raise VmError(f"an arm64 guest can only read {path}, and {inside} is in it: use another place")
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
        words += ["--rodir", f"{path}={path}"]
    return ["--arch", "aarch64", "--root", str(root), *ARM64_CPU, *words]


def guest_path(*first):
    return "PATH=" + ":".join([*map(str, first), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])


def virtme_arguments(options, guest, accel):
    """What virtme-run is asked for."""
    check_visible(str(guest.path), "the cache folder")
    check_visible(guest.cwd, "the current folder")
    image = find_image(options.kernel)
    words = ["--kimg", str(image), "--mods", "none", "--force-9p", "--disable-microvm",
             "--memory", options.mem, "--cpus", str(options.cpus)]
    kernel = ["root=/dev/root", ROOT_FLAGS, guest_path(guest.bin, *guest.first), *KERNEL_WORDS]
    if is_arm64(image):
        words += arm64_arguments(options, guest)
    else:
        kernel += X86_WORDS
    if accel != "kvm":
        words.append("--disable-kvm")
        if options.one_thread:
            words += ONE_THREAD
    for path in ARM64_OVERLAYS if is_arm64(image) else overlays(guest.cwd):
        words += ["--overlay-rwdir", path]
    for path in guest.first:
        check_visible(path, "the folder")
    for path in options.rwdir:
        check_visible(os.path.abspath(path), "the folder")
        words += ["--rwdir", os.path.abspath(path)]
    if options.shell:
        size = shutil.get_terminal_size()
        kernel += ["panic=-1", f"virtme_stty_con=rows {size.lines} cols {size.columns} iutf8"]
        words += [f"--kopt=virtme_chdir={guest.cwd}", "--qemu-opt=-no-reboot"]
    else:
        words += ["--script-sh", f"exec bash {shlex.quote(str(guest.command))}", "--show-boot-console"]
    for item in kernel + shlex.split(options.append):
        words += [f"--kopt={item}"]
    for item in options.qemu:
        words += [f"--qemu-opt={word}" for word in shlex.split(item)]
    return words


def quoted(path):
    """A path as QEMU wants it inside an option."""
    return str(path).replace(",", ",,")


def adapt(words, guest, console, shell):
    """The console to its file, the status to the guest's folder. Each must be there once."""
    changes = {"file,path=/proc/self/fd/2,id=dmesg": f"file,path={quoted(console)},id=dmesg"} if shell else {
        "file,id=console,path=/proc/self/fd/2": f"file,id=console,path={quoted(console)}",
        "file,id=ret,path=": f"file,id=ret,path={quoted(guest.status)}"}
    for old, new in changes.items():
        places = [i for i, word in enumerate(words)
                  if word == old or (old.endswith("path=") and word.startswith(old))]
        if len(places) != 1:
            raise VmError(f"this virtme-ng is not the one that is known: no '{old}' in its command; run 'make setup'")
        words[places[0]] = new
    return words


def qemu_command(options, guest, accel, console):
    arm64 = is_arm64(find_image(options.kernel))
    virtme = find_virtme(f"qemu-system-{'aarch64' if arm64 else 'x86_64'}")
    words = [virtme, *virtme_arguments(options, guest, accel), "--dry-run", "--show-command"]
    env = {**os.environ, "TMPDIR": str(guest.path)}
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False)
    lines = [line for line in done.stdout.splitlines() if "qemu-system-" in line]
    if done.returncode != 0 or not lines:
        why = (done.stderr or done.stdout).strip().splitlines()
        raise VmError(f"virtme-run failed: {why[-1] if why else 'it said nothing'}")
    command = adapt(shlex.split(lines[-1]), guest, console, options.shell)
    if arm64:
        at = command.index("-append") + 1
        command[at] = re.sub(r" init=/bin/sh .*", " init=/usr/local/bin/virtme-root", command[at])
    append = command[command.index("-append") + 1]
    if len(append) > LONGEST_APPEND:
        raise VmError(f"the kernel's command line has {len(append)} characters, {LONGEST_APPEND} are possible: shorten APPEND")
    return command
