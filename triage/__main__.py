"""`triage`, `python -m triage`: the edge where an error becomes a message and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback

from triage.cli.app import app
from triage.cli.exits import Exit, exit_code
from triage.errors import TriageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DISK_FULL = (
    "The disk is full. What was there before has not been changed. Free some space and run the "
    "same command again; what was computed is not computed twice."
)


def main() -> None:
    """Runs the command line. The exit codes are those of `triage --help`."""
    try:
        app()
    except TriageError as error:
        sys.stderr.write(f"{error.title}. {error.detail}\n")
        sys.exit(exit_code(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            sys.stderr.write(f"{DISK_FULL}\n")
            sys.exit(Exit.SETUP)
        # Where it happened, but not its message: that may quote what was said.
        sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        sys.stderr.write(f"{TriageError.title}: {type(error).__name__}. Please report the above.\n")
        sys.exit(Exit.SETUP)


if __name__ == "__main__":
    main()
