#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Bring this repository into a kernel tree: new files copied, lines inserted at anchors.

Existing kernel files get inserted lines only, where integration/anchors.toml says. Every anchor
must match exactly once; otherwise the tree is left as it was and the exit status is 1.
"""

import argparse
import sys
from pathlib import Path

from integration import anchors, plan, tree

REPOSITORY = Path(__file__).resolve().parent.parent


def arguments(argv):
    parser = argparse.ArgumentParser(prog="integrate.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("tree", nargs="?", metavar="TREE", help="the kernel tree to change")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--from", dest="pristine", metavar="PRISTINE",
                      help="compute every changed file from this untouched tree; TREE is a copy of "
                           "it, and what earlier runs left there is updated or taken away")
    mode.add_argument("--check", metavar="TREE", help="only say whether this tree can be changed, or has been")
    mode.add_argument("--list", action="store_true", help="list what is copied and changed")
    parser.add_argument("--source", type=Path, default=REPOSITORY, metavar="DIR",
                        help="the repository to take from (default: this one)")
    args = parser.parse_args(argv)
    if (args.tree is None) != bool(args.check or args.list):
        parser.error("give a TREE, or --check PRISTINE, or --list")
    return args


def show_list(table, copies):
    for relative in copies:
        print(f"copy   {relative}")
    for spec in table.files:
        print(f"change {spec.path} ({len(spec.anchors)} insertions)")


def check(table, copies, root):
    target = tree.open_tree(root, table.kernels)
    todo = plan.in_place(table, copies, target)
    for spec in table.files:
        state = f"{len(spec.anchors)} insertions" if spec.path in todo.contents else "has our insertions"
        print(f"{spec.path}: {state} (kernel {target.version})")
    copied = sum(relative in todo.contents for relative in copies)
    print(f"{len(copies)} new files, {len(copies) - copied} of them there already (kernel {target.version})")


def apply(table, copies, args):
    target = tree.open_tree(args.tree, table.kernels)
    if args.pristine:
        pristine = tree.open_tree(args.pristine, table.kernels)
        if pristine.root.resolve() == target.root.resolve():
            raise plan.Refused(["PRISTINE and TREE are the same folder: give TREE its own copy"])
        if pristine.version != target.version:
            raise plan.Refused([f"{target.root} is kernel {target.version}, {pristine.root} is "
                                f"{pristine.version}: copy PRISTINE to a new TREE"])
        todo = plan.from_pristine(table, copies, pristine, target)
    else:
        todo = plan.in_place(table, copies, target)
    tree.write(target, todo.contents, todo.removals)
    written = len(todo.contents) - (tree.MANIFEST in todo.contents)
    if written or todo.removals:
        print(f"kernel {target.version}: {written} files written, {len(todo.removals)} removed")
    else:
        print(f"kernel {target.version}: nothing to do")


def main(argv=None):
    args = arguments(argv)
    try:
        table = anchors.load(args.source / "integration/anchors.toml")
        copies = plan.sources(args.source)
        if args.check:
            check(table, copies, args.check)
        elif args.list:
            show_list(table, copies)
        else:
            apply(table, copies, args)
        return 0
    except plan.Refused as error:
        for problem in error.problems:
            print(f"integrate.py: {problem}", file=sys.stderr)
        print("integrate.py: nothing was changed", file=sys.stderr)
    except (tree.TreeError, anchors.TableError) as error:
        print(f"integrate.py: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("integrate.py: interrupted: nothing was changed", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
