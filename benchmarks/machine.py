"""What the figures were measured on, and what else it was doing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import sleep
from typing import Any

MEASURED = ("triage", "ctranslate2", "faster-whisper", "onnxruntime", "numpy", "av")
IDLE, WAITING = 3, 4  # columns of /proc/stat: nothing to do, and nothing until the disk answers


def cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def described() -> dict[str, Any]:
    """The machine and the versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(cores()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in MEASURED},
    }


def busy(seconds: float = 2.0) -> float:
    """Share of the machine's cores that is taken by whatever runs now, in 0..1."""
    before = _ticks()
    sleep(seconds)
    spent = [now - then for now, then in zip(_ticks(), before, strict=True)]
    return 1 - (spent[IDLE] + spent[WAITING]) / max(1, sum(spent))


def _ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
