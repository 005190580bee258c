# SPDX-License-Identifier: GPL-2.0
"""QEMU: the files that its guest reads, its command line, and the process, which cannot outlive us.

virtme-ng sends kernel console and the command's stderr to the same place, and
starts QEMU as a child that outlives it. So it is only asked for the command
line (--dry-run --show-command).
"""

import contextlib
import os
import queue
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from kernels import ROOT, BuildError, cache

LONGEST_APPEND = 2047               # the kernel cuts off the rest without a word
OVERLAYS = ("/etc", "/home", "/opt", "/root", "/srv", "/tmp", "/var")
ARM64_OVERLAYS = ("/etc", "/root", "/tmp", "/var")
HIDDEN = ("/dev", "/proc", "/run", "/sys", "/var/cache", "/var/log", "/var/tmp")    # virtme-ng mounts its own there

# cache=loose: the guest reads a file from the host once. The root is read-only
# for the guest, and running a program then takes half the time.
# After an oops or a lock-up there is nothing to wait for. All messages go to
# the console. An emulated CPU of a busy host may stand still for ten seconds, the
# watchdogs' default, without being locked up.
KERNEL_WORDS = ("root=/dev/root", "rootflags=version=9p2000.L,trans=virtio,access=any,msize=500000,cache=loose",
                "oops=panic", "softlockup_panic=1", "watchdog_thresh=30", "ignore_loglevel")

# Of x86. The check of the timer interrupt fails by chance on a busy host. Early
# in the boot identify_cpu() clears the CPU's features for a moment; an interrupt
# just then takes five-level paging for four-level, and KASAN reports a wild
# access that is none: four levels from the beginning.
X86_WORDS = ("no_timer_check", "no5lvl")

# A CPU with all that QEMU knows, but a cheap hash for pointer authentication.
ARM64_CPU = "--qemu-opt=-cpu", "--qemu-opt=max,pauth-impdef=on"

# What virtme-ng does on a root of its own, from a file that it takes away when it
# ends, as it does here before QEMU starts.
ARM64_INIT = "/usr/local/bin/virtme-root"
ARM64_INIT_SCRIPT = """#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
mount -t tmpfs run /run
mount -t devtmpfs devtmpfs /dev
mkdir -p /run/virtme/guesttools
mount -t 9p -o version=9p2000.L,trans=virtio,access=any virtme.guesttools /run/virtme/guesttools
exec /run/virtme/guesttools/virtme-init
"""

# virtme-ng's init runs systemd-tmpfiles and udev before the command. Under
# emulation that takes seconds, and all the command needs of it is the names of
# the virtio ports. This stands in for systemd-tmpfiles by way of PATH, makes
# these names, and hides udev from the init, which then goes on without it.
# A port has its name once QEMU has answered the driver, which may be later:
# without waiting, the init would find no port and write to the console.
# In Perl, as each program that a shell script would start takes 50 ms.
TMPFILES = r"""#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
my $ports = "/sys/class/virtio-ports";
my ($made, $tries) = (0, 0);
mkdir "/dev/virtio-ports";
while ($made < $ENV{vm_ports} && $tries++ < 200) {
    select(undef, undef, undef, 0.05) if $tries > 1;
    for my $path (glob "$ports/*/name") {
        open(my $file, "<", $path) or next;
        chomp(my $name = <$file> // "");
        my ($port) = $path =~ m{([^/]+)/name$};
        $made++ if $name && symlink("../$port", "/dev/virtio-ports/$name");
    }
}
for my $udevd ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd") {
    exec "mount", "--bind", "/dev/null", $udevd if -x $udevd;
}
"""

INIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The command is root's, no matter who starts the VM: insmod is there.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM")


def write_script(path, text):
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return                          # another guest may be reading it
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def command_script(options):
    """The command with its folder and environment; one word is a shell's command line."""
    values = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    values |= {name: value for name, _, value in (item.partition("=") for item in options.env)}
    values["PATH"] = ":".join([*options.path, values.get("PATH", os.defpath), SBIN])
    words = options.command if len(options.command) > 1 else ["bash", "-c", *options.command]
    return "\n".join([*(f"export {name}={shlex.quote(value)}" for name, value in values.items()),
                      "[ -d /sys/fs/bpf ] && mount -t bpf bpf /sys/fs/bpf 2>/dev/null",
                      f"cd -- {shlex.quote(os.getcwd())} || exit 125", shlex.join(words), ""])


@contextlib.contextmanager
def guest_folder(options):
    """What one guest reads: `command`, and `bin`, first in its init's PATH."""
    parent = cache() / "vm"
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob("run.*.*"):                     # by a vm.py that was killed
        if not Path("/proc", left.name.split(".")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"run.{os.getpid()}.", dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_script(folder / "bin/systemd-tmpfiles", TMPFILES)
        (folder / "command").write_text(command_script(options), encoding="utf-8")
        yield folder


def exit_status(folder):
    """The command's, None when it did not come to its end. virtme-ng names the file, and has QEMU write it."""
    texts = [path.read_text(encoding="utf-8").strip() for path in folder.glob("virtme_ret*")]
    return int(texts[0]) if texts and texts[0].isdigit() else None


def is_arm64(image):
    return image.name == "Image"


def check_visible(what, path):
    for hidden in HIDDEN:
        if Path(path).is_relative_to(hidden):
            raise BuildError(f"{what} {path} is not visible in the guest, which has its own {hidden}: "
                             "use another place")


def overlays():
    """Folders in which the guest may write, without effect on the host."""
    top = "/".join(os.getcwd().split("/")[:2])
    wanted = sorted({*OVERLAYS, top} - {*HIDDEN, "/"})
    return [path for path in wanted if os.path.isdir(path) and not os.path.islink(path)]


def arm64_arguments(options):
    """An arm64 guest has a root of its own, and in it some folders of the host, which it can read."""
    root, words, shown = cache() / "root-arm64", [], []
    if not root.is_dir():
        raise BuildError(f"there is no {root}: make it with 'ARCH=arm64 scripts/root.sh'")
    if options.rwdir:
        raise BuildError(f"an arm64 guest can only read folders of the host, not write to {options.rwdir[0]}: "
                         "leave out --rwdir")
    # What must be there before virtme-ng's init mounts anything.
    write_script(root / "usr/local/bin/systemd-tmpfiles", TMPFILES)
    write_script(root / ARM64_INIT.lstrip("/"), ARM64_INIT_SCRIPT)
    for path in sorted({cache(), ROOT, Path.cwd()}):
        if str(path) in ("/", *ARM64_OVERLAYS) or any(path.is_relative_to(other) for other in shown):
            continue
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shown.append(path)
        words += ["--rodir", f"{path}={path}"]
    return ["--arch", "aarch64", "--root", str(root), *ARM64_CPU, *words]


def virtme_arguments(options, folder, accel):
    """What virtme-run is asked for."""
    for what, path in (("the cache folder", cache()), ("the current folder", os.getcwd()),
                       *(("the folder", path) for path in options.path + options.rwdir)):
        check_visible(what, path)
    path = ":".join([str(folder / "bin"), *options.path, INIT_PATH])
    kernel = [*KERNEL_WORDS, f"PATH={path}"]
    words = ["--kimg", str(options.image), "--mods", "none", "--force-9p", "--disable-microvm",
             "--memory", options.mem, "--cpus", str(options.cpus)]
    if is_arm64(options.image):
        words += arm64_arguments(options)
    else:
        kernel += X86_WORDS
    if accel != "kvm":
        words.append("--disable-kvm")
        if options.one_thread:
            words += ["--qemu-opt=-accel", "--qemu-opt=tcg,thread=single"]
    for path in ARM64_OVERLAYS if is_arm64(options.image) else overlays():
        words += ["--overlay-rwdir", path]
    for path in options.rwdir:
        words += ["--rwdir", path]
    if options.shell:
        size = shutil.get_terminal_size()
        kernel += ["panic=-1", f"virtme_stty_con=rows {size.lines} cols {size.columns} iutf8",
                   f"virtme_chdir={os.getcwd()}"]
        words.append("--qemu-opt=-no-reboot")
    else:
        words += ["--script-sh", f"exec bash {shlex.quote(str(folder / 'command'))}", "--show-boot-console"]
    words += [f"--kopt={word}" for word in kernel + shlex.split(options.append)]
    return words + [f"--qemu-opt={word}" for item in options.qemu for word in shlex.split(item)]


def qemu_command(options, folder, accel, console):
    program = "qemu-system-aarch64" if is_arm64(options.image) else "qemu-system-x86_64"
    virtme = cache() / "tools/virtme/bin/virtme-run"
    if not shutil.which(program):
        raise BuildError(f"{program} is missing: run 'make setup{' ARCH=arm64' if is_arm64(options.image) else ''}'")
    if not virtme.exists():
        raise BuildError("virtme-ng is missing: run 'make setup'")
    done = subprocess.run(
        [virtme, *virtme_arguments(options, folder, accel), "--dry-run", "--show-command"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, env={**os.environ, "TMPDIR": str(folder)}, check=False)
    lines = [line for line in done.stdout.splitlines() if "qemu-system-" in line]
    if done.returncode != 0 or not lines:
        why = (done.stderr or done.stdout).strip().splitlines()
        raise BuildError(f"virtme-run failed: {why[-1] if why else 'it said nothing'}")
    command = shlex.split(lines[-1])
    # The console to its file.
    stderr = "file,path=/proc/self/fd/2,id=dmesg" if options.shell else "file,id=console,path=/proc/self/fd/2"
    if command.count(stderr) != 1:
        raise BuildError(f"this virtme-ng is not the one that is known: no '{stderr}' in its command; run 'make setup'")
    command[command.index(stderr)] = stderr.replace("/proc/self/fd/2", str(console).replace(",", ",,"))
    at = command.index("-append") + 1
    if is_arm64(options.image):
        command[at] = re.sub(r" init=/bin/sh .*", f" init={ARM64_INIT}", command[at])
    # For systemd-tmpfiles' stand-in: the kernel gives init what it does not know.
    command[at] += f" vm_ports={sum(word.startswith('virtserialport,') for word in command)}"
    if len(command[at]) > LONGEST_APPEND:
        raise BuildError(f"the kernel's command line has {len(command[at])} characters, "
                         f"{LONGEST_APPEND} are possible: shorten APPEND")
    return command


def pump(source, target, on_broken):
    """Threads that copy a pipe to a file descriptor.

    The pipe is emptied at once whatever happens at the other end: while it is
    full the guest's CPU spins in the kernel, and would be reported as locked up.
    """
    chunks = queue.SimpleQueue()

    def read():
        while chunk := os.read(source.fileno(), 1 << 16):
            chunks.put(chunk)
        chunks.put(b"")

    def write():
        try:
            while chunk := chunks.get():
                while chunk:
                    chunk = chunk[os.write(target, chunk):]
        except OSError:                 # our output is no longer read
            on_broken()

    threads = [threading.Thread(target=work, daemon=True) for work in (read, write)]
    for thread in threads:
        thread.start()
    return threads


def run(command, limit, interactive=False, silent=False):
    """Whether it ended within the limit (0: none), whether our output was read to the end, its exit status."""
    pipe = None if interactive else subprocess.DEVNULL if silent else subprocess.PIPE
    # QEMU dies with us, however that happens. An interactive one has to stay in the terminal's foreground group.
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdout=pipe, stderr=pipe,
                               stdin=None if interactive else subprocess.DEVNULL, start_new_session=not interactive)
    broken = threading.Event()

    def break_off():
        broken.set()
        process.kill()

    threads = []
    if pipe == subprocess.PIPE:
        threads = [*pump(process.stdout, 1, break_off), *pump(process.stderr, 2, break_off)]
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(limit or None)
        ended = process.returncode is not None
    finally:
        process.kill()
        process.wait()
    for thread in threads:              # not when we are interrupted: our output may not be read
        thread.join()
    return ended, not broken.is_set(), process.returncode
