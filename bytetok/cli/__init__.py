"""The command line: ``bytetok COMMAND``. Every command calls the library and prints what it returns.

Exit codes: 0, 1 for an error of bytetok or the system in one message, 2 for wrong usage, 130 when interrupted, 141 when
the reader of a pipe went away.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with ``sys.argv`` and exit."""
    try:
        from bytetok.cli.app import run

        run()
    except KeyboardInterrupt:  # while the modules load, before there is anything to say
        sys.exit(130)
