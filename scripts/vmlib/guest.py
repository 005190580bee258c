# SPDX-License-Identifier: GPL-2.0
"""The folder of small files that one VM is started with, and that its guest reads.

    command             the command to run, with directory and environment
    bin/systemd-tmpfiles  taken by virtme-ng's init for the real one, see TMPFILES
    status              the command's exit status, written by virtme-ng's init

It lies in the cache, since some places (/var/tmp, /run) are hidden in the guest.
"""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from kernels import cache

# virtme-ng's init runs systemd-tmpfiles and udev before the command. Under
# emulation that takes seconds, and all the command needs of it is the names of
# the virtio ports. This stands in for systemd-tmpfiles by way of PATH, makes
# these names, and hides udev from the init, which then goes on without it.
# In Perl, as each program that a shell script would start takes 50 ms.
TMPFILES = r"""#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
my $ports = "/sys/class/virtio-ports";
mkdir "/dev/virtio-ports";
opendir(my $dir, $ports) or exit 1;
for my $port (grep { !/^\./ } readdir $dir) {
    open(my $file, "<", "$ports/$port/name") or next;
    chomp(my $name = <$file>);
    symlink("../$port", "/dev/virtio-ports/$name");
}
for my $udevd ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd") {
    exec "mount", "--bind", "/dev/null", $udevd if -x $udevd;
}
"""

COMMAND = """\
#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
{environment}
[ -d /sys/fs/bpf ] && mount -t bpf bpf /sys/fs/bpf 2>/dev/null
cd -- {cwd} || exit 125
{command}
exit $?
"""

# The command is root's, no matter who starts the VM: insmod is there.
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM")


def as_shell(words):
    """One word is a shell's command line, several are a program and its arguments."""
    return f"bash -c {shlex.quote(words[0])}" if len(words) == 1 else shlex.join(words)


def environment(names, first=()):
    """`export` lines for the usual variables and the given NAME or NAME=VALUE; what comes first in PATH."""
    values = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    for item in names:
        name, given, value = item.partition("=")
        values[name] = value if given else os.environ.get(name, "")
    values["PATH"] = ":".join([*first, values.get("PATH", os.defpath), SBIN])
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())


def write_script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove_left_over(parent):
    """Folders of a vm.py that was killed."""
    for path in parent.glob("run.*.*"):
        pid = path.name.split(".")[1]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


class GuestFiles:
    """A context manager: the folder exists inside it."""

    def __init__(self, words, names=(), cwd=None, path=()):
        self.words, self.names, self.cwd = words, names, cwd or os.getcwd()
        self.first = [os.path.abspath(folder) for folder in path]       # in PATH

    def __enter__(self):
        parent = cache() / "vm"
        parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(parent)
        self.path = Path(tempfile.mkdtemp(prefix=f"run.{os.getpid()}.", dir=parent))
        self.bin = self.path / "bin"
        self.bin.mkdir()
        self.status = self.path / "status"
        self.command = self.path / "command"
        write_script(self.bin / "systemd-tmpfiles", TMPFILES)
        if self.words:
            write_script(self.command, COMMAND.format(
                environment=environment(self.names, self.first), cwd=shlex.quote(self.cwd), command=as_shell(self.words)))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def exit_status(self):
        """The command's exit status, None when it did not come to its end."""
        try:
            text = self.status.read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return int(text) if text.isdigit() else None
