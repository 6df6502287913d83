"""Seeds to labelled lines.

    python data/authored/make.py

Every seed gives at most `MOST` lines, drawn from all that its alternatives and slots allow by a
chance that depends on nothing but the seed, so a new seed doesn't change the lines of another.
Lines of a seed are one group. The format of seeds is told in README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from triage.taxonomy import ADDRESSED, CATEGORIES

HERE = Path(__file__).parent
MOST = 8  # lines of a seed
TRIES = 40  # draws that may give a line that is there already
VAL = 10  # one seed in so many is never trained on
SPEAKERS = frozenset(
    (
        "victim", "child", "bystander", "caller", "threatener", "perpetrator", "discloser",
        "requester", "benign",
    )
)  # fmt: skip
ADDRESSEES = {"assistant": 1, "text": 1, "room": 0, "call": 0, "phone": 0}  # is it the device?

SLOT = re.compile(r"\{(\w+)\}")
CHOICE = re.compile(r"\(([^()]*)\)")
ALLOWED = re.compile(r"[^\W\d_]|[0-9'{}()| -]")


class Seed(NamedTuple):
    """One hand-written line with its alternatives, and what holds of all that it gives."""

    text: str
    labels: dict[str, int]
    speaker: str
    addressee: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class Wrong(ValueError):
    """What is wrong with a file of seeds, and where."""


def slots(file: Path = HERE / "slots.txt") -> dict[str, list[str]]:
    """What stands for each slot."""
    lines = (line for line in file.read_text().splitlines() if line and line[0] != "#")
    return {
        name.strip(): [one.strip() for one in told.split("|")]
        for name, told in (line.split(":") for line in lines)
    }


def seeds(file: Path, known: dict[str, list[str]]) -> Iterator[Seed]:
    """The seeds of a file.

    Raises:
        Wrong: A line is neither a heading, nor a seed, nor a comment.
    """
    heading: tuple[dict[str, int], str, str] | None = None
    for number, line in enumerate(file.read_text().splitlines(), 1):
        told = line.strip()
        try:
            if told.startswith("["):
                heading = _heading(told)
            elif told and not told.startswith("#"):
                if heading is None:
                    raise Wrong("a seed before the first heading")
                yield Seed(_checked(told, known), *heading)
        except Wrong as wrong:
            raise Wrong(f"{file.name}, line {number}: {wrong}") from None


def lines(seed: Seed, known: dict[str, list[str]]) -> list[str]:
    """At most `MOST` different lines of a seed, the same ones every time."""
    chance = random.Random(seed.digest)  # noqa: S311 - not for secrets
    found: dict[str, None] = {}
    for _ in range(TRIES):
        line = CHOICE.sub(lambda one: chance.choice(one[1].split("|")), seed.text)
        line = SLOT.sub(lambda one: chance.choice(known[one[1]]), line)
        found[" ".join(line.split())] = None
        if len(found) == MOST:
            break
    return list(found)


def rows(folder: Path, known: dict[str, list[str]], *, unseen: bool) -> Iterator[dict[str, Any]]:
    """A labelled row for each line of a folder's seeds; no line twice.

    Args:
        folder: Of files of seeds.
        known: What stands for each slot.
        unseen: Whether they are all to be measured on only.
    """
    before: set[str] = set()
    for file in sorted(folder.glob("*.txt")):
        for seed in seeds(file, known):
            split = "val" if unseen or int(seed.digest[:8], 16) % VAL == 0 else "train"
            for number, line in enumerate(lines(seed, known)):
                if line not in before:
                    before.add(line)
                    yield {
                        "id": f"{file.stem}-{seed.digest[:12]}-{number}",
                        "text": line,
                        "labels": seed.labels | {ADDRESSED: ADDRESSEES[seed.addressee]},
                        "source": f"authored-{'unseen-' if unseen else ''}{file.stem}",
                        "licence": "CC0-1.0",
                        "group": f"authored-{seed.digest[:12]}",
                        "split": split,
                    }


def _heading(told: str) -> tuple[dict[str, int], str, str]:
    parts = [part.strip() for part in told.strip("[]").split("|")]
    if len(parts) != 3 or parts[1] not in SPEAKERS or parts[2] not in ADDRESSEES:
        raise Wrong("a heading is [categories | speaker | addressee]")
    holding = parts[0].replace("-", "").split()
    if unknown := {one.lstrip("?") for one in holding} - set(CATEGORIES):
        raise Wrong(f"no such category: {', '.join(sorted(unknown))}")
    if (parts[1] == "benign") != (not holding):
        raise Wrong("a harmless heading is [- | benign | addressee]")
    labels = {name: int(name in holding) for name in CATEGORIES if f"?{name}" not in holding}
    return labels, parts[1], parts[2]


def _checked(seed: str, known: dict[str, list[str]]) -> str:
    if strange := {one for one in seed if not ALLOWED.match(one)}:
        raise Wrong(f"not as a recogniser writes: {' '.join(sorted(strange))}")
    if unknown := set(SLOT.findall(seed)) - set(known):
        raise Wrong(f"no such slot: {', '.join(sorted(unknown))}")
    if set(CHOICE.sub("", SLOT.sub("", seed))) & set("(){}|"):
        raise Wrong("brackets that don't match, or are nested")
    return seed


def written(found: list[dict[str, Any]], file: Path) -> None:
    """Writes rows as gzipped JSON lines, the same bytes for the same rows."""
    told = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as out:
        out.write(told)
    file.write_bytes(packed.getvalue())


def main() -> int:
    known = slots()
    unseen = list(rows(HERE / "unseen", known, unseen=True))
    kept = {row["text"] for row in unseen}
    trained = [row for row in rows(HERE / "seeds", known, unseen=False) if row["text"] not in kept]
    for found, name in ((trained, "lines.jsonl.gz"), (unseen, "unseen.jsonl.gz")):
        written(found, HERE / name)
        groups = len({row["group"] for row in found})
        cases = sum(any(row["labels"].get(one) for one in CATEGORIES) for row in found)
        print(f"{name}: {len(found):,} lines of {groups:,} seeds, {cases:,} of them cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
