# SPDX-License-Identifier: GPL-2.0
"""What scripts/apt.sh asks apt for, with the machine's apt in a world of its
own: a folder with an archive, lists, and what is installed. Nothing is
installed, and no network is used."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
CODENAME = subprocess.run(["bash", "-c", ". /etc/os-release && echo $VERSION_CODENAME"],
                          capture_output=True, text=True, check=True).stdout.strip()
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


def paragraph(name, version, **fields):
    lines = [f"Package: {name}", f"Version: {version}", "Architecture: amd64", "Maintainer: x <x@y.invalid>",
             f"Filename: pool/{name}_{version}.deb", "Size: 1", "SHA256: " + "0" * 64, "Description: x"]
    lines += [f"{field}: {value}" for field, value in fields.items()]
    return "\n".join(lines) + "\n"


class Apt(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = os.environ | {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C",
                                 "BPF_ASYNC_CACHE": str(self.folder / "cache")}
        self.write("apt.conf", f"""
            Dir "{self.folder}";
            Dir::State "state";
            Dir::State::status "{self.folder}/status";
            Dir::Cache "apt-cache";
            Dir::Etc "etc";
            APT::Architecture "amd64";
            APT::Architectures {{ "amd64"; }};
            APT::Sandbox::User "";
            Acquire::AllowInsecureRepositories "1";
        """)
        for name in ("state/lists/partial", "apt-cache/archives/partial", "etc/preferences.d"):
            (self.folder / name).mkdir(parents=True)
        self.machine = [CODENAME, f"{CODENAME}-security"]

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def offer(self, suite, *packages):
        dist = f"debian/dists/{suite}"
        self.write(f"{dist}/main/binary-amd64/Packages", "\n".join(packages))
        text = (self.folder / dist / "main/binary-amd64/Packages").read_bytes()
        digest = subprocess.run(["sha256sum"], input=text, capture_output=True, check=True).stdout.split()[0].decode()
        later = "NotAutomatic: yes\nButAutomaticUpgrades: yes\n" if "backports" in suite else ""
        self.write(f"{dist}/Release", f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
                   f"{later}SHA256:\n {digest} {len(text)} main/binary-amd64/Packages\n")

    def installed(self, *packages):
        """A status of their own, or installed."""
        self.write("status", "\n".join(text if "Status: " in text else text + "Status: install ok installed\n"
                                       for text in packages))

    def choose(self, *packages):
        sources = "".join(f"deb [trusted=yes] file:{self.folder}/debian {suite} main\n" for suite in self.machine)
        self.write("etc/sources.list", sources)
        for command in (["apt-get", "-qq", "update"], ["bash", "-c", CHOOSE, str(SCRIPTS), *packages]):
            done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "etc/sources.list").read_text(), sources)
        self.said = done.stderr
        return done.stdout.splitlines()

    # A stand-in for QEMU: two packages of one version, which break others.
    def qemu(self, version, **more):
        return [paragraph("emulator", version, Depends=f"emulator-data (= {version})"),
                paragraph("emulator-data", version, **more)]

    def test_nothing_in_the_way(self):
        self.installed(paragraph("base", "1"))
        self.offer(CODENAME, paragraph("base", "1"), paragraph("one", "1"), *self.qemu("7"))
        self.offer(f"{CODENAME}-security", paragraph("base", "2"))
        self.assertEqual(self.choose("emulator", "one"), ["chosen emulator one"])
        self.assertEqual(self.said, "")
        self.assertFalse((self.folder / "cache/apt-backports").exists())

    def tools_of_backports(self):
        self.installed(paragraph("tools", "10", Breaks="emulator-data (<< 8)"))
        self.offer(CODENAME, paragraph("tools", "7"), paragraph("one", "1"), paragraph("two", "1"), *self.qemu("7"))
        self.offer(f"{CODENAME}-security", "")
        self.offer(f"{CODENAME}-backports", *self.qemu("10", Depends="two"), paragraph("one", "2"))

    def test_backports_where_the_release_does_not_fit(self):
        self.tools_of_backports()
        self.assertEqual(self.choose("emulator", "one"), ["chosen one", "backports emulator"])

    def test_backports_that_the_machine_has(self):
        self.tools_of_backports()
        self.machine.append(f"{CODENAME}-backports")
        self.assertEqual(self.choose("emulator", "one"), ["chosen one", "backports emulator"])
        self.assertFalse((self.folder / "cache/apt-backports").exists())

    def test_names_what_is_in_the_way(self):
        self.tools_of_backports()
        self.offer(f"{CODENAME}-backports", *self.qemu("9", Conflicts="tools"))
        chosen, refused = self.choose("emulator", "one")
        self.assertEqual(chosen, "chosen one")
        self.assertRegex(refused, "^refused emulator: .*tools")

    def test_names_what_is_missing_below(self):
        self.installed(paragraph("base", "1"))
        self.offer(CODENAME, *self.qemu("7", Depends="gone (>= 3)"))
        self.offer(f"{CODENAME}-security", "")
        self.offer(f"{CODENAME}-backports", paragraph("one", "2"))
        self.assertRegex(self.choose("emulator")[1], "^refused emulator: .*gone")

    def test_names_what_is_held_below(self):
        self.installed(paragraph("base", "1", Status="hold ok installed"))
        self.offer(CODENAME, paragraph("base", "2"), paragraph("mid", "1", Depends="low (= 3)"), paragraph("low", "3", Depends="base (= 2)"), *self.qemu("7", Depends="mid"))
        self.offer(f"{CODENAME}-security", "")
        self.offer(f"{CODENAME}-backports", paragraph("one", "2"))
        self.assertRegex(self.choose("emulator")[1], "^refused emulator: .*base")

    def library(self, *offered):
        self.installed(paragraph("library", "1"))
        self.offer(f"{CODENAME}-security", paragraph("library", "2"), paragraph("library-dev", "2", Depends="library (= 2)"))
        self.offer(CODENAME, paragraph("one", "1"), *offered)

    def test_no_upgrade_where_the_release_fits(self):
        self.library(paragraph("library", "1"), paragraph("library-dev", "1", Depends="library (= 1)"))
        self.assertEqual(self.choose("library-dev", "one"), [f"chosen library-dev/{CODENAME} one"])
        self.assertNotIn("upgrading", self.said)

    def test_says_which_upgrade_must_be(self):
        self.library()
        self.assertEqual(self.choose("library-dev", "one"), ["chosen library-dev one"])
        self.assertRegex(self.said, r"library-dev depends on .*, upgrading library\n")


if __name__ == "__main__":
    unittest.main()
