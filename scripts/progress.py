#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Copy stdin to a log and say on stderr how far it has come.

On a terminal one line is kept up to date; elsewhere a line is printed every
few seconds, also when nothing is coming in, so that a log shows life.
"""

import argparse
import os
import re
import select
import signal
import sys
import time


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--label", required=True)
    args.add_argument("--log", required=True)
    args.add_argument("--count", default="", help="what a counted line looks like")
    args.add_argument("--total", type=int, default=0, help="how many are expected")
    args = args.parse_args()

    # The command that writes to us gets Ctrl-C too; its last words matter.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pattern = re.compile(args.count.encode())
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 15
    start = last = time.monotonic()
    done, what, rest = 0, "", b""

    def show():
        elapsed = int(time.monotonic() - start)
        total = ""
        if args.total and done <= args.total:
            total = f" of about {args.total} ({100 * done // args.total} %)"
        parts = [f"{elapsed // 60}:{elapsed % 60:02d}", what]
        if done:
            parts.insert(0, f"{done}{total}")
        text = f"{args.label}: {', '.join(filter(None, parts))}"
        print(f"\r\033[K{text[:100]}" if terminal else text,
              end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        with open(args.log, "wb", buffering=0) as log:
            while True:
                wait = max(0, last + interval - time.monotonic())
                if select.select([0], [], [], wait)[0]:
                    data = os.read(0, 1 << 16)
                    if not data:
                        break
                    log.write(data)
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        if pattern.match(line):
                            done += 1
                            what = " ".join(line.decode(errors="replace").split())
                if time.monotonic() >= last + interval:
                    last = time.monotonic()
                    show()
    except OSError as error:
        print(f"error: cannot write {args.log}: {error.strerror}; make room there",
              file=sys.stderr)
        return 1
    finally:
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
