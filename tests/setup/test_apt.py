# SPDX-License-Identifier: GPL-2.0
"""What scripts/apt.sh asks apt for, with the machine's apt in a world of its own: a folder with an
archive, lists, and what is installed. Nothing is installed, and no network is used."""

import hashlib
import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
CHOOSE = """
. "$0/lib.sh"
. "$0/apt.sh"
make_cache
choose "$@"
echo "chosen ${CHOSEN[*]}"
for package in "${REFUSED[@]}"; do
    take_backports 'do that'
    CHOSEN=() UPGRADED=
    fits "$package" && echo "backports $package" || echo "refused $package: $(in_the_way)"
done
"""
CONF = """Dir "{0}"; Dir::State "state"; Dir::State::status "{0}/status"; Dir::Cache "apt-cache"; Dir::Etc "etc";
APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }}; APT::Sandbox::User "";
Acquire::AllowInsecureRepositories "1";
"""


def qemu(version, more=""):
    """A stand-in for QEMU: two packages of one version, which break others."""
    return [f"emulator {version} Depends: emulator-data (= {version})", f"emulator-data {version} {more}"]


TOOLS = ["tools 10 Breaks: emulator-data (<< 8)"]
RELEASE = ["tools 7", "one 1", "two 1", *qemu("7")]
BACKPORTS = [*qemu("10", "Depends: two"), "one 2"]
LIBRARY = ["library 2", "library-dev 2 Depends: library (= 2)"]
HELD = ["base 2", "mid 1 Depends: low (= 3)", "low 3 Depends: base (= 2)", *qemu("7", "Depends: mid")]
# What it is about; what is installed; what the release has, security, and backports; what is asked for; what
# choose() says to that on stdout and on stderr. A package is its name, its version and one more field.
CASES = (
    ("nothing in the way", ["base 1"], ["base 1", "one 1", *qemu("7")], ["base 2"], [], "emulator one",
     "chosen emulator one\n", ""),
    ("backports where the release does not fit", TOOLS, RELEASE, [], BACKPORTS, "emulator one",
     "chosen one\nbackports emulator\n", ".*"),
    ("names what is in the way", TOOLS, RELEASE, [], qemu("9", "Conflicts: tools"), "emulator one",
     "chosen one\nrefused emulator: .*tools", ".*"),
    ("names what is missing below", ["base 1"], qemu("7", "Depends: gone (>= 3)"), [], ["one 2"], "emulator",
     "chosen \nrefused emulator: .*gone", ".*"),
    ("names what is held below", ["base 1 Status: hold ok installed"], HELD, [], ["one 2"], "emulator",
     "chosen \nrefused emulator: .*base", ".*"),
    ("no upgrade where the release fits", ["library 1"], ["one 1", "library 1", "library-dev 1 Depends: library (= 1)"],
     LIBRARY, [], "library-dev one", "chosen library-dev/CODENAME one\n", "(?!.*upgrading)"),
    ("says which upgrade must be", ["library 1"], ["one 1"], LIBRARY, [], "library-dev one",
     "chosen library-dev one\n", ".*library-dev depends on .*, upgrading library\n"),
)


def paragraphs(packages, status=""):
    text = ""
    for name, version, more in ((package + "  ").split(" ", 2) for package in packages):
        text += (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@y.invalid>\nFilename: "
                 f"pool/{name}.deb\nSize: 1\nSHA256: {'0' * 64}\nDescription: x\n{more.strip() or 'Section: x'}\n")
        text += "\n" if "Status: " in more else status + "\n"
    return text


class Apt(unittest.TestCase):
    def run_in(self, folder, *command):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {
            "APT_CONFIG": f"{folder}/apt.conf", "LC_ALL": "C", "BPF_ASYNC_CACHE": f"{folder}/cache"})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, done.stderr

    def check(self, folder, installed, suites, own, words, chosen, said):
        """OWN: how many of the suites the machine's sources have."""
        for name in ("state/lists/partial", "apt-cache/archives/partial", "etc/preferences.d"):
            (folder / name).mkdir(parents=True)
        (folder / "apt.conf").write_text(CONF.format(folder))
        (folder / "status").write_text(paragraphs(installed, "Status: install ok installed\n"))
        for suite, packages in suites.items():
            index = folder / f"debian/dists/{suite}/main/binary-amd64/Packages"
            index.parent.mkdir(parents=True)
            index.write_text(paragraphs(packages))
            digest, later = hashlib.sha256(index.read_bytes()).hexdigest(), "backports" in suite
            index.parents[2].joinpath("Release").write_text(
                f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
                + "NotAutomatic: yes\nButAutomaticUpgrades: yes\n" * later
                + f"SHA256:\n {digest} {index.stat().st_size} main/binary-amd64/Packages\n")
        sources = "".join(f"deb [trusted=yes] file:{folder}/debian {suite} main\n" for suite in list(suites)[:own])
        (folder / "etc/sources.list").write_text(sources)
        self.run_in(folder, "apt-get", "-qq", "update")
        out, err = self.run_in(folder, "bash", "-c", CHOOSE, SCRIPTS, *words.split())
        self.assertRegex(out, f"^{chosen}")
        self.assertRegex(err, f"(?s)^{said}" + ("" if said else "$"))
        self.assertEqual((folder / "etc/sources.list").read_text(), sources)
        # Lists of our own are read only where the machine has none.
        self.assertEqual((folder / "cache/apt-backports").exists(), own == 2 and "emulator" in chosen.partition("\n")[2])

    def test_cases(self):
        codename, _ = self.run_in("/nonexistent", "bash", "-c", ". /etc/os-release && echo -n $VERSION_CODENAME")
        for about, installed, *packages, words, chosen, said in CASES:
            suites = dict(zip((codename, f"{codename}-security", f"{codename}-backports"), packages))
            for own in (2, 3) if about.startswith("backports") else (2,):
                with self.subTest(about, own=own), tempfile.TemporaryDirectory() as folder:
                    self.check(pathlib.Path(folder), installed, suites, own, words,
                               chosen.replace("CODENAME", codename), said)


if __name__ == "__main__":
    unittest.main()
