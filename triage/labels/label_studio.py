"""Label Studio's formats: tasks and a labelling interface out, annotations in.

The shapes are those of Label Studio's guide: "Basic Label Studio JSON format" and "Import
pre-annotated data" (out), "Label Studio JSON format of annotated tasks" and JSON-MIN (in), and of
its tags Audio, Labels, Text, Choices.

A project shows one kind of task: recordings with sound (and their words, if known), or texts.
What is ticked or marked is 1. What isn't is 0 only if the annotator was asked for it, which our
tasks say in their field `asked`; otherwise it stays unknown.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from triage.labels.rows import YES, Labelled
from triage.labels.schema import Wrong
from triage.records import Scores
from triage.taxonomy import EVENTS

CATEGORIES_CONTROL, EVENTS_CONTROL = "categories", "events"  # names of the two controls
NONE_OF_THESE = "none of these"  # the choice that tells "nothing found" from "not looked"
LOCAL_FILES = "/data/local-files/?d="  # Label Studio's way to a file below its document root
GAP = re.compile(r"\[?[\s,]*")  # before an element of an array
CHUNK = 2**20  # characters of an export that are read at a time
CARRIED = ("source", "licence", "group", "split", "weight")  # go out with a task and come back


@dataclass(frozen=True, slots=True)
class Asked:
    """What annotators are asked for: categories to tick, events to mark in the sound."""

    labels: tuple[str, ...]
    events: tuple[str, ...]

    @classmethod
    def named(cls, names: Sequence[str]) -> Asked:
        """Names without their kind: the taxonomy's events, and categories."""
        return cls(
            tuple(name for name in names if name not in EVENTS),
            tuple(name for name in names if name in EVENTS),
        )


# Out ----------------------------------------------------------------------------------------


def tasks(
    rows: Iterable[Labelled], asked: Asked, root: Path, scores: Mapping[str, Scores] | None = None
) -> list[dict[str, Any]]:
    """One task for each recording or text, however many have labelled it; no label goes along.

    Args:
        rows: What is to be labelled: all with sound, or all without.
        asked: What for.
        root: What Label Studio's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT will be, absolute; every
            audio file lies below it.
        scores: The model's, by row id, as pre-annotations.
    """
    first: dict[str, Labelled] = {}
    for row in rows:
        first.setdefault(row.id, row)
    found = scores or {}
    return [_task(row, asked, root, found.get(id)) for id, row in first.items()]


def config(asked: Asked, *, audio: bool) -> str:
    """The labelling interface of a project, as XML.

    Args:
        asked: What annotators are to tick and to mark.
        audio: Whether the tasks have sound; events can only be marked in sound.
    """
    view = ElementTree.Element("View")
    if audio:
        if asked.events:
            labels = _add(view, "Labels", name=EVENTS_CONTROL, toName="audio")
            for name in asked.events:
                _add(labels, "Label", value=name)
        _add(view, "Audio", name="audio", value="$audio")
    _add(view, "Text", name="text", value="$text")
    choices = _add(view, "Choices", name=CATEGORIES_CONTROL, toName="audio" if audio else "text")
    choices.attrib |= {"choice": "multiple", "required": "true"}
    for name in (*asked.labels, NONE_OF_THESE):
        _add(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def document_root(rows: Iterable[Labelled]) -> Path:
    """The document root that lets Label Studio serve the rows' audio.

    It is above the deepest folder that all of the audio lies in, for a project's local storage
    has to be a folder below the document root.
    """
    folders = [row.audio.absolute().parent for row in rows if row.audio is not None]
    return Path(os.path.commonpath(folders)).parent if folders else Path("/")


def _add(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def _task(row: Labelled, asked: Asked, root: Path, scores: Scores | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "recording": row.id,  # not "id": JSON-MIN puts the task's own number there
        "text": row.text or "",
        "asked": asdict(asked) if row.audio else {"labels": asked.labels},
        **{name: getattr(row, name) for name in CARRIED},
    }
    if row.audio is not None:
        file = row.audio.absolute()
        data |= {"audio": LOCAL_FILES + quote(str(file.relative_to(root))), "file": str(file)}
    if scores is None:
        return {"data": data}
    return {"data": data, "predictions": [_prediction(scores, asked, sound=bool(row.audio))]}


def _prediction(scores: Scores, asked: Asked, *, sound: bool) -> dict[str, Any]:
    """What the model would tick and mark. It never ticks "none of these": people look first."""
    known = {name: scores.categories[name] for name in asked.labels if name in scores.categories}
    results: list[dict[str, Any]] = [
        {
            "id": f"event-{index}",
            "from_name": EVENTS_CONTROL,
            "to_name": "audio",
            "type": "labels",
            "original_length": scores.seconds,
            "score": round(event.score, 4),
            "value": {"start": event.start, "end": event.end, "labels": [event.event]},
        }
        for index, event in enumerate(scores.events)
        if sound and event.event in asked.events
    ]
    if likely := [name for name, score in known.items() if score >= YES]:
        ticked = {"from_name": CATEGORIES_CONTROL, "to_name": "audio" if sound else "text"}
        value = {"choices": likely}
        results.append({"id": "categories", **ticked, "type": "choices", "value": value})
    highest = round(max(known.values(), default=0.0), 4)
    return {"model_version": scores.model, "score": highest, "result": results}


# In -----------------------------------------------------------------------------------------


def read_export(
    stream: BinaryIO, asked: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, Any] | Wrong]]:
    """Rows of an export, JSON or JSON-MIN: one for each annotation that wasn't skipped.

    Args:
        stream: Of UTF-8.
        asked: For tasks that don't say it themselves.

    Yields:
        The number of the task from 1, with a row in the fields of `triage.labels.schema`, or with
        what is wrong.

    Raises:
        EOFError: It breaks off.
    """
    told = Asked.named(asked)
    for number, task in enumerate(_elements(stream), 1):
        for row in _rows(task, told):
            yield number, row


def _elements(stream: BinaryIO) -> Iterator[Any]:
    """The elements of a JSON array, a few at a time in memory; None for what is no array."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape")
    decode, held, opened = json.JSONDecoder().raw_decode, "", False
    while piece := text.read(max(CHUNK, len(held))):  # more each time that one didn't fit
        held += piece
        if not opened and (held := held.lstrip()):
            opened = True
            if held[0] != "[":
                yield None
                return
        at = _after_gap(held, 0)
        while at < len(held) and held[at] != "]":
            try:
                element, end = decode(held, at)
            except (ValueError, RecursionError):
                break
            yield element
            at = _after_gap(held, end)
        if held[at : at + 1] == "]":
            return
        held = held[at:]
    raise EOFError


def _after_gap(text: str, at: int) -> int:
    """Where the next element of an array begins, or its closing bracket."""
    gap = GAP.match(text, at)
    return gap.end() if gap else at


def _rows(task: Any, told: Asked) -> Iterator[dict[str, Any] | Wrong]:
    if isinstance(task, dict) and isinstance(task.get("data"), dict):
        for one in _list(task.get("annotations")):
            if isinstance(one, dict) and not one.get("was_cancelled"):
                golden = bool(one.get("ground_truth"))
                results, who = one.get("result"), one.get("completed_by")
                yield _row(task["data"], task.get("id"), results, who, told, golden=golden)
    elif isinstance(task, dict) and "annotation_id" in task:
        results = [one for name, value in task.items() for one in _spelled_out(name, value)]
        yield _row(task, task.get("id"), results, task.get("annotator"), told, golden=False)
    else:
        yield (("row", "is no task of a Label Studio export, JSON or JSON-MIN"),)


def _spelled_out(name: str, value: Any) -> Iterator[dict[str, Any]]:
    """What JSON-MIN made short, as results: one choice is a text, one result is no list."""
    for one in value if isinstance(value, list) else [value]:
        match one:
            case str() if name == CATEGORIES_CONTROL:
                yield {"type": "choices", "value": {"choices": [one]}}
            case {"choices": _}:
                yield {"type": "choices", "value": one}
            case {"labels": _, "start": _}:
                yield {"type": "labels", "value": one}


def _row(
    data: Mapping[str, Any], task: Any, results: Any, who: Any, told: Asked, *, golden: bool
) -> dict[str, Any] | Wrong:
    """One annotation of one task in the fields of the schema."""
    annotator: str | None = None
    match who:
        case None:
            pass
        case int(number) | {"id": int(number)}:
            annotator = f"ls-{number}"
        case _:  # an e-mail, which has no place in labels
            return (("completed_by", "holds no number of an annotator"),)
    ticked, marked = _named(results)
    if NONE_OF_THESE in ticked and len(ticked) > 1:
        return (("labels", f'hold "{NONE_OF_THESE}" beside others'),)
    match data.get("asked"):
        case {"labels": list(labels), **more}:
            asked = Asked(_texts(labels), _texts(more.get("events")))
        case _:
            asked = told
    sound = "audio" in data
    return {
        "id": data.get("recording", f"task-{task}"),
        "text": data.get("text") or None,
        "audio": _file(data) or None if sound else None,
        "labels": dict.fromkeys(asked.labels, 0) | dict.fromkeys(ticked - {NONE_OF_THESE}, 1),
        "events": dict.fromkeys(asked.events, 0) | dict.fromkeys(marked, 1) if sound else None,
        "annotator": annotator,
        "golden": golden,
        **{name: data.get(name) for name in CARRIED},
    }


def _named(results: Any) -> tuple[set[str], set[str]]:
    """The names that were ticked, and those that a stretch of sound was marked with."""
    ticked: set[str] = set()
    marked: set[str] = set()
    for one in _list(results):
        match one:
            case {"type": "choices", "value": {"choices": list(names)}}:
                ticked.update(_texts(names))
            case {"type": "labels", "value": {"labels": list(names), "start": _, **more}}:
                marked.update(
                    () if "text" in more else _texts(names)
                )  # it would be a stretch of words
    return ticked, marked


def _texts(names: Any) -> tuple[str, ...]:
    return tuple(name for name in _list(names) if isinstance(name, str))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _file(data: Mapping[str, Any]) -> Any:
    """Where a task's sound is; below the export's folder, if only Label Studio's way is told."""
    audio = data.get("file", data["audio"])
    if isinstance(audio, str) and LOCAL_FILES in audio:
        return unquote(audio.partition(LOCAL_FILES)[2])
    return audio
