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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--count", default="", help="what a counted line looks like")
    parser.add_argument("--total", type=int, default=0, help="how many are expected")
    args = parser.parse_args()

    # The command that writes to us gets Ctrl-C too; its last words matter.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pattern = re.compile(args.count.encode())
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    interval = 0.5 if clear else 15
    start = last = time.monotonic()
    done, what, rest, data = 0, "", b"", b"begin"
    try:
        with open(args.log, "wb", buffering=0) as log:
            while data:
                if select.select([0], [], [], max(0, last + interval - time.monotonic()))[0]:
                    data = os.read(0, 1 << 16)
                    log.write(data)
                    *lines, rest = (rest + data).split(b"\n")
                    for line in filter(pattern.match, lines):
                        done += 1
                        what = " ".join(line.decode(errors="replace").split())
                if time.monotonic() >= last + interval:
                    last = time.monotonic()
                    total = f" of about {args.total} ({100 * done // args.total} %)" if done <= args.total > 0 else ""
                    elapsed = f"{int(last - start) // 60}:{int(last - start) % 60:02d}"
                    text = ", ".join(filter(None, [f"{done}{total}" if done else "", elapsed, what]))
                    text = f"{args.label}: {text}"
                    print(clear + text[:100] if clear else text, end="" if clear else "\n", file=sys.stderr, flush=True)
    except OSError as error:
        print(f"error: cannot write {args.log}: {error.strerror}; make room there", file=sys.stderr)
        return 1
    finally:
        print(clear, end="", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
