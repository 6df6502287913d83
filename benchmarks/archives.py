"""Archives to run over, made from labelled data: recordings by path, some with words, and texts."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ACCOUNTS = 400  # whom the recordings are of
FIRST_HOUR = 1_767_225_600  # 2026-01-01T00:00Z


def clips(data: Path, least: float = 0.0, most: float = 1e9, *, spoken: bool = False) -> list[Any]:
    """The labelled clips of some length, each with the path of its audio."""
    with (data / "audio" / "clips.jsonl").open() as lines:
        found = [json.loads(line) for line in lines]
    return [
        one | {"audio": str((data / "audio" / one["audio"]).resolve())}
        for one in found
        if least <= one["seconds"] <= most and (not spoken or one["events"].get("speech"))
    ]


def texts(data: Path, count: int, seed: int = 0, sources: Sequence[str] = ()) -> list[str]:
    """Labelled lines, drawn by chance from some sources, or from all if none are named."""
    with gzip.open(data / "text" / "labels.jsonl.gz", "rt") as lines:
        rows = map(json.loads, lines)
        found = [row["text"] for row in rows if not sources or row["source"] in sources]
    return random.Random(seed).choices(found, k=count)  # noqa: S311


def mixed(data: Path, file: Path, count: int) -> None:
    """A manifest as an archive of an assistant has it.

    Seven of ten are sound alone, one is sound with the caller's words, one is words alone, and
    of the rest most are recordings that came twice, and some can't be read.
    """
    draw = random.Random(0)  # noqa: S311
    sounds, words = clips(data), iter(texts(data, count))

    def rows() -> Iterator[dict[str, Any]]:
        before = sounds[0]["audio"]
        for number in range(count):
            context = {
                "account": f"account {draw.randrange(ACCOUNTS)}",
                "recorded_at": _time(FIRST_HOUR + draw.randrange(30 * 86_400)),
            }
            row: dict[str, Any] = {"id": f"recording-{number:06d}", "context": context}
            chance, sound = draw.random(), draw.choice(sounds)["audio"]
            if chance < 0.7:
                row["audio"] = before = sound
            elif chance < 0.8:
                row |= {"audio": sound, "text": next(words)}
            elif chance < 0.9:
                row["text"] = next(words)
            elif chance < 0.98:
                row["audio"] = before
            else:
                row["audio"] = str(file.resolve())  # is there, and no sound
            yield row

    write(file, rows())


def commands(data: Path, file: Path, count: int) -> float:
    """A manifest of spoken clips of 2 to 10 s, no two alike while there are enough.

    Returns:
        Seconds of sound.
    """
    sounds = clips(data, 2, 10, spoken=True)
    random.Random(0).shuffle(sounds)  # noqa: S311
    taken = [sounds[number % len(sounds)] for number in range(count)]
    write(file, ({"id": f"command-{n:06d}", "audio": one["audio"]} for n, one in enumerate(taken)))
    return float(sum(one["seconds"] for one in taken))


def said(data: Path, file: Path, count: int, *, alike: bool, sources: Sequence[str] = ()) -> None:
    """A manifest of texts; made different by a number, unless they may come twice."""
    lines = texts(data, count, sources=sources)
    told = lines if alike else [f"{line} {number}" for number, line in enumerate(lines)]
    write(file, ({"id": f"text-{n:06d}", "text": text} for n, text in enumerate(told)))


def write(file: Path, rows: Iterator[dict[str, Any]]) -> None:
    with file.open("w") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")


def _time(seconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
