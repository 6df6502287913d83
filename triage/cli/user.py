"""Who gives a command."""

from __future__ import annotations

import getpass
import os


def user() -> str:
    """The user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"user {os.getuid()}"
