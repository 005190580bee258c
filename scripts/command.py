# SPDX-License-Identifier: GPL-2.0
"""How the commands in Python end when something is in their way."""

import os
import sys


def run(main, *errors):
    """The exit status of main(argv); 2 for one of the errors, which say what to do."""
    try:
        return main(sys.argv[1:])
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}; see to it and run the "
              "same command again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if "BPF_ASYNC_OUTER" not in os.environ:      # else the script that called us says it
            print("interrupted: nothing is lost, run the same command again", file=sys.stderr)
        return 130
