"""What the exit code of `triage` says."""

from __future__ import annotations

from enum import IntEnum

from triage.errors import (
    AuditFailed,
    AuditTampered,
    BatchFailed,
    InputError,
    StoreFailed,
    TriageError,
)


class Exit(IntEnum):
    """Documented in `triage --help`; typer itself gives 2 for a wrong option, 130 for Ctrl-C."""

    DONE = 0
    SETUP = 1
    USAGE = 2
    INCOMPLETE = 3
    AUDIT = 4


def exit_code(error: TriageError) -> Exit:
    """The code for an error that stopped a whole command."""
    if isinstance(error, AuditFailed | AuditTampered | BatchFailed | StoreFailed):
        return Exit.AUDIT
    return Exit.USAGE if isinstance(error, InputError) else Exit.SETUP
