"""The house rules: imports only downwards, no module over 300 lines, no heavy import at the top."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "triage"
CEILING = 300

# Lowest first. A module imports from rows above its own, or from its own row without a cycle.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("triage", "errors", "files", "stopwatch", "taxonomy"),
    ("records", "settings", "database"),
    ("weights", "resample", "segment", "encoder", "acoustic", "measurements"),
    ("audio", "transcribe"),
    ("labels", "text", "calibrate", "metrics", "reliability", "policy", "safeguards"),
    ("classifier", "fusion", "archive"),
    ("artefact", "manifest", "model_store", "promotions", "screen", "decisions"),
    ("drift", "memory", "escalate"),
    ("card", "listening", "live", "pipeline", "registry", "together"),
    ("guard", "process", "training"),
    ("answer", "measure", "suggest"),
    ("batch",),
    ("report",),
    ("http",),
    ("service", "cli"),
    ("__main__",),
)
ROW = {room: row for row, rooms in enumerate(LAYERS) for room in rooms}

# Only inside of functions, so that what doesn't need them starts without them.
HEAVY = {
    "alembic", "apprise", "av", "bentoml", "cleanlab", "faster_whisper", "fsspec",
    "huggingface_hub", "jinja2", "librosa", "matplotlib", "onnxruntime", "pandas", "pebble",
    "psutil", "pyarrow", "pysubs2", "ray", "safetensors", "scipy", "sklearn",
    "tokenizers", "torch", "transformers",
}  # fmt: skip
MAY_START_HEAVY = {"triage.service"}  # is BentoML's way in
BY_ALEMBIC = "triage.database.migrations"  # is run by it, and imported by nobody


def modules() -> dict[str, Path]:
    found = {}
    for file in HOUSE.rglob("*.py"):
        parts = ("triage", *file.relative_to(HOUSE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imported(file: Path, *, top: bool) -> set[str]:
    """Names of all modules that a file imports, or only of those it imports as it is loaded."""
    tree = ast.parse(file.read_text())
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not (top and (inside or typing_only)):
            waiting += ast.iter_child_nodes(node)
    return names


def inner(file: Path) -> set[str]:
    known = modules()
    return {name for name in imported(file, top=False) if name in known}


def test_every_room_has_a_row() -> None:
    assert {room(name) for name in modules()} - set(ROW) == set()
    assert set(ROW) - {room(name) for name in modules()} == set()


def test_imports_go_downwards() -> None:
    upwards = [
        f"{name} -> {other}"
        for name, file in modules().items()
        for other in inner(file)
        if ROW[room(other)] > ROW[room(name)]
    ]
    assert upwards == []


def test_no_cycles() -> None:
    graph = {name: inner(file) - {name} for name, file in modules().items()}
    list(TopologicalSorter(graph).static_order())


def test_modules_are_small() -> None:
    long = {
        name: n for name, f in modules().items() if (n := len(f.read_text().split("\n"))) > CEILING
    }
    assert long == {}


@pytest.mark.parametrize("name", sorted(modules()))
def test_heavy_libraries_are_imported_where_they_are_used(name: str) -> None:
    if name in MAY_START_HEAVY or name.startswith(BY_ALEMBIC):
        return
    assert {one.partition(".")[0] for one in imported(modules()[name], top=True)} & HEAVY == set()


def test_serving_needs_no_torch() -> None:
    # In a process of its own: another test may have imported anything.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; "
            "import triage.process, triage.answer; from triage.settings import Settings; "
            "triage.process.Processor.load(Settings()); print('loaded')",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HOUSE.parent,
    )
    assert done.stdout == "loaded\n", done.stderr[-500:]
