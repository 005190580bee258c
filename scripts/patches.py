#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make the mail series from series/: one commit per patch, then git format-patch.

    patches.py --repo REPO --base COMMIT --out FOLDER
    patches.py --repo REPO --base COMMIT --out FOLDER --fixes NAME
    patches.py --renew

REPO is a bare git repository of ours, which may borrow objects from another one; its branch
"series" becomes the series on COMMIT. FOLDER gets the mails, in place of those of an earlier run.

--fixes makes the series of fixes in series/NAME instead, on a branch of that name.

--renew writes series/*.diff anew, with the context that our files have now. Where a diff does not
fit any longer, it has to be made by hand: it is the difference from our files without what the
patch is about to our files as they are.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import integrate
import stats
from integration import anchors, series
from integration.anchors import InputError, Refused

LISTS = ["--rfc", "--subject-prefix=PATCH bpf-next", "--to=bpf@vger.kernel.org",
         "--cc=rust-for-linux@vger.kernel.org"]
FIXES_LISTS = ["--subject-prefix=PATCH bpf", "--to=bpf@vger.kernel.org"]
VALUE = re.compile(r"@([\w -]+)@")


class GitTree:
    """What a commit holds, with the part of integrate.Tree that the anchors need."""

    def __init__(self, git, commit):
        self.git, self.commit = git, commit
        self.version, self.series = integrate.version_of((self.read("Makefile") or b"").decode(errors="replace"))
        if not self.version or self.read("kernel/bpf/helpers.c") is None:
            raise InputError(f"commit {commit} holds no kernel: give a git tree of Linux, "
                             "whose objects are all there")

    def read(self, relative):
        run = subprocess.run([*self.git, "cat-file", "blob", f"{self.commit}:{relative}"],
                             capture_output=True, check=False)
        return run.stdout if run.returncode == 0 else None


def sender():
    """(name, mail, time): the caller as git knows them, at the time of the repository's own last
    commit: the same files give the same commits."""
    def ask(*words):
        return subprocess.run(["git", "-C", integrate.REPOSITORY, *words], capture_output=True, text=True,
                              check=False).stdout.strip()

    name = os.environ.get("GIT_AUTHOR_NAME") or ask("config", "user.name")
    mail = os.environ.get("GIT_AUTHOR_EMAIL") or ask("config", "user.email")
    if not name or not mail:
        print("patches: note: git knows no user.name and user.email of yours, "
              "so the mails have no sender yet", file=sys.stderr)
        name, mail = "bpf-async", "bpf-async@localhost"
    return name, mail, ask("log", "-1", "--format=%ct") or "0"


def stream(base, branch, patches, states, who):
    """The commits, as git fast-import reads them."""
    yield f"reset refs/heads/{branch}\nfrom {base}\n\n".encode()
    for patch, changed in zip(patches, states):
        message = f"{patch.subject}\n\n{patch.body}\n".encode()
        yield f"commit refs/heads/{branch}\nauthor {who}\ncommitter {who}\n".encode()
        yield b"data %d\n%s\n" % (len(message), message)
        for path, content in sorted(changed.items()):
            yield f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n"
        yield b"\n"


def values(version, patches, copies):
    """What the cover letter says in numbers: what can be counted here, and what was committed."""
    source = integrate.REPOSITORY
    files, _, lines, unsafe = stats.rust(source, stats.BPF)
    found = {"kernel": version, "patches": len(patches), "bpf files": files,
             "bpf lines": lines, "bpf unsafe": unsafe,
             "kunit": sum(text.count(b"#[test]") for path, text in copies.items() if path.endswith(".rs"))}
    litmus = [p.stem for p in sorted((source / "tests/litmus").glob("*.litmus"))]
    found["litmus"] = sum("-weak" not in name for name in litmus)
    found["litmus weak"] = len(litmus) - found["litmus"]
    results = (source / "docs/results.rst").read_text(encoding="utf-8")
    for name in ("selftests", "regress"):
        said = re.search(rf"^ *OK: (.*) \(also in out/{name}\.json\)$", results, re.M)
        found |= {name: said[1]} if said else {}
    bench = (source / "docs/bench.rst").read_text(encoding="utf-8")
    state = re.search(r"printed at commit (\w+)", bench)
    found["bench state"] = f"on an earlier state of the code, {state[1]} in the repository" if state else "on this code"
    for row in re.finditer(r"^    (\S.*?) +~?(\d+) +~?(\d+)   ?\d\.\d\d  ", bench, re.M):
        found |= {f"c {row[1]}": f"{row[2]:>5}", f"r {row[1]}": f"{row[3]:>5}"}
    for row in re.finditer(r"^    (timer|wq|deferred) +(\d+) +(\d+|-)  the object", bench, re.M):
        found |= {f"c bytes {row[1]}": f"{row[2]:>5}", f"r bytes {row[1]}": f"{row[3]:>5}"}
    size = {row[1]: (row[2], int(row[3])) for row in re.finditer(
        r"^ +(\S.*?) +\d+ +\d+ +(\d+) +\S+ +\S+ +(\d+)$", results, re.M)}
    if {"C, helpers.c", "Rust, bpf/", "of that domain.rs"} <= set(size):
        (lines, text), (_, domain) = size["C, helpers.c"], size["of that domain.rs"]
        found |= {"c lines": lines, "c text": f"{text:>5}", "r text domain": f"{domain:>5}",
                  "r text": f"{size['Rust, bpf/'][1] - domain:>5}"}
    baseline = json.loads((source / "tests/bench/baseline.json").read_text(encoding="utf-8"))
    found |= {f"n {name}": f"{count:>5}" for name, count in baseline["operations"].items()}
    return found


def cover(text, known):
    text = series.uncommented(text).strip("\n")
    if unknown := sorted({name for name in VALUE.findall(text) if name not in known}):
        raise Refused(*(f"cover.txt: there is no value @{name}@" for name in unknown))
    text = VALUE.sub(lambda match: str(known[match[1]]), text).replace("@@", "@")
    subject, _, body = text.partition("\n")
    if problems := list(series.wide_lines("cover.txt", subject, body)):
        raise Refused(*problems)
    return text + "\n"


def mails(git, env, args, branch, number):
    """format-patch into a new folder, which then takes the place of the old one."""
    part = args.out.with_name(args.out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run([*git, "format-patch", "-q", "--no-signature", "--cover-letter",
                    "--cover-from-description=subject", f"--base={args.base}", *(FIXES_LISTS if args.fixes else LISTS),
                    "-o", part, f"{args.base}..{branch}"], env=env, check=True)
    made = len(list(part.glob("*.patch")))
    if made != number + 1:
        raise Refused(f"git format-patch made {made} mails of {number} patches")
    shutil.rmtree(args.out, ignore_errors=True)
    part.rename(args.out)


def run(args):
    git = ["git", f"--git-dir={args.repo}"]
    branch, folder = args.fixes or "series", integrate.REPOSITORY / "series" / (args.fixes or "")
    table = anchors.load(integrate.REPOSITORY / "integration/anchors.toml")
    copies = integrate.sources()
    patches = series.load_fixes(folder) if args.fixes else series.load(folder, table, copies)
    if args.renew:
        series.versions(patches, copies, renew=True)
        return
    base = GitTree(git, args.base)
    if base.series not in table.kernels:
        print(f"patches: note: the base is Linux {base.version}, the series was made for "
              + " or ".join(f"{major}.{minor}" for major, minor in table.kernels), file=sys.stderr)
    states = series.states(patches, copies, base)
    letter = cover((folder / "cover.txt").read_text(encoding="utf-8"), values(base.version, patches, copies))
    name, mail, when = sender()
    env = series.git_env() | {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail}
    subprocess.run([*git, "fast-import", "--quiet", "--force"], env=env, check=True, input=b"".join(
        stream(args.base, branch, patches, states, f"{name} <{mail}> {when} +0000")))
    subprocess.run([*git, "config", f"branch.{branch}.description", letter], env=env, check=True)
    mails(git, env, args, branch, len(patches))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", type=Path)
    parser.add_argument("--base", metavar="COMMIT")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    parser.add_argument("--renew", action="store_true")
    parser.add_argument("--fixes", metavar="NAME")
    args = parser.parse_args(argv)
    if not args.renew and not (args.repo and args.base and args.out):
        parser.error("give --repo, --base and --out, or --renew")
    try:
        run(args)
        return 0
    except Refused as error:
        for problem in error.args:
            print(f"patches: {problem}", file=sys.stderr)
        print("error: no mails were made; fix what is named above", file=sys.stderr)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"error: git {error.cmd[2]} failed; see above", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
