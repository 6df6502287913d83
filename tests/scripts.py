"""The scripts beside the data, for the tests of what they make."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


def imported(folder: Path) -> ModuleType:
    """A folder's `make.py`, imported as it finds itself when it is run.

    Several folders have one, and neighbours that it imports, so none stays behind.
    """
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("make")
    finally:
        sys.path.remove(str(folder))
        for file in folder.glob("*.py"):
            sys.modules.pop(file.stem, None)
