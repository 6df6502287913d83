"""What one labelled row holds, whichever file it came from: the schema, and what breaks it.

| field | holds | without it |
|---|---|---|
| id | a text | the row is refused |
| text, audio | words; a file's path, counted from the folder of the label file | one is needed |
| labels, events | 1, 0 or the share of annotators who said 1, by name | all of them are unknown |
| source, licence | texts | "unknown" |
| group | a text | the id |
| split | "train" or "val" | by the group, see `split_of`; to be measured on, "val" |
| annotator | a pseudonym | nobody knows |
| golden | true or false | false |
| weight | a number over 0 | 1 |

`labels` and `events` may also be spread over fields of their own: `label.violence`,
`event.scream`. Null is the same as not being there. Other fields may be there and are passed over,
but for one that looks like a misspelt one of these: what it holds would be lost in silence.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from sys import float_info
from typing import Any, get_args

from triage.labels.rows import Kind, Labelled, Split

FIELDS = frozenset(one.name for one in fields(Labelled))
SPREAD: Mapping[str, Kind] = {"label": "labels", "event": "events"}  # before the dot of a field
SPLITS: tuple[Split, ...] = get_args(Split)
VAL_SHARE = 0.1  # of the groups whose rows don't say their split

# Names that a field may have been meant to have, and the field. An id's are too short to tell.
MEANT: Mapping[str, str] = {
    **{name: name for name in sorted(FIELDS - {"id"})},
    **SPREAD,
    "transcript": "text",
}
SIMILAR = 0.8  # difflib's ratio: one wrong letter in five

# What is wrong with a row: fields with reasons. A tuple, for no JSON value is one.
Wrong = tuple[tuple[str, str], ...]


class Schema:
    """Makes rows of what was read, and finds an id that an annotator labels twice.

    What many rows share (sources, licences, groups, the same labels) is kept in memory once.

    Args:
        unsplit: The split of rows that don't say theirs; `split_of` their group if not given.
    """

    def __init__(self, unsplit: Split | None = None) -> None:
        self._unsplit = unsplit
        self._texts: dict[str, str] = {}
        self._labels: dict[tuple[tuple[str, object], ...], dict[str, float]] = {}
        self._seen: defaultdict[str | None, set[str]] = defaultdict(set)

    def row(self, raw: object, folder: Path) -> Labelled | Wrong:
        """One row, or all that is wrong with it.

        Args:
            raw: A JSON value, or what a table's row is as one.
            folder: From where its audio's path counts.
        """
        if not isinstance(raw, dict):
            return (("row", "is no object"),)
        wrong: list[tuple[str, str]] = []
        if not raw.keys() <= FIELDS:
            raw = _gathered(raw, wrong)
        id = _text(raw, "id", wrong)
        text, audio = _text(raw, "text", wrong), _text(raw, "audio", wrong)
        path = os.path.join(folder, audio) if audio else ""  # a Path that was looked at is large
        if not id and raw.get("id") is None:
            wrong.append(("id", "is missing"))
        if raw.get("text") is None and raw.get("audio") is None:
            wrong.append(("audio", "is missing, and so is text"))
        if audio and not os.path.isfile(path):
            wrong.append(("audio", "is the path of no file"))
        group = self._kept(_text(raw, "group", wrong)) or id
        annotator = self._kept(_text(raw, "annotator", wrong)) or None
        row = Labelled(
            id=id,
            source=self._kept(_text(raw, "source", wrong) or "unknown"),
            licence=self._kept(_text(raw, "licence", wrong) or "unknown"),
            group=group,
            split=_split(raw, self._unsplit or split_of(group), wrong),
            labels=self._shares(raw, "labels", wrong),
            events=self._shares(raw, "events", wrong),
            text=text or None,
            audio=Path(path) if audio else None,
            annotator=annotator,
            golden=_golden(raw, wrong),
            weight=_weight(raw, wrong),
        )
        if not wrong and id in self._seen[annotator]:
            wrong.append(("id", "is there twice by the same annotator. Keep one of them"))
        if wrong:
            return tuple(wrong)
        self._seen[annotator].add(id)
        return row

    def _kept(self, text: str) -> str:
        return self._texts.setdefault(text, text)

    def _shares(self, raw: Mapping[str, Any], kind: Kind, wrong: list[tuple[str, str]]) -> Any:
        value = raw.get(kind)
        if value is None:
            return {}
        try:
            key = tuple(value.items())
            if key not in self._labels:
                self._labels[key] = {name: _share(name, share) for name, share in key
                                     if share is not None}  # fmt: skip
            return self._labels[key]
        except (AttributeError, TypeError, ValueError):
            wrong.append((kind, "is not an object of numbers from 0 to 1"))
            return {}


def unusable(columns: Iterable[str]) -> Wrong:
    """What is wrong with a table's columns, so that no row of it can be taken."""
    names = list(columns)
    wrong = [
        (name, f"is no field of ours; {meant} is") for name in names if (meant := _meant(name))
    ]
    if "id" not in names:
        wrong.append(("id", "is missing: there is no such column"))
    if not {"text", "audio"} & set(names):
        wrong.append(("audio", "is missing, and so is text: there are no such columns"))
    wrong += [(name, "is there twice") for name in FIELDS if names.count(name) > 1]
    return tuple(wrong)


@lru_cache(maxsize=4096)
def spread(field: str) -> tuple[Kind, str] | None:
    """What `label.violence` and `event.scream` hold a share of; None for other fields."""
    kind, dot, name = field.partition(".")
    return (SPREAD[kind], name) if dot and name and kind in SPREAD else None


def split_of(group: str) -> Split:
    """The split of a group that doesn't say: the same one at all times, val for one in ten.

    By the group's SHA-256, so that it neither depends on the other rows nor parts a group.
    """
    drawn = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64
    return "val" if drawn < VAL_SHARE else "train"


@lru_cache(maxsize=4096)
def _meant(field: str) -> str | None:
    """The field that a name is a misspelling of; None for the fields and for what is far off."""
    if field in FIELDS or spread(field) or field == "transcript":  # that may be an audio's own
        return None
    if "_" in field:  # a name put together, as source_id, is one of its own
        return None
    near: list[str] = get_close_matches(field.partition(".")[0].lower(), MEANT, 1, SIMILAR)
    return MEANT[near[0]] if near else None


def _gathered(raw: Mapping[str, Any], wrong: list[tuple[str, str]]) -> dict[str, Any]:
    """The fields of the schema, with those that were spread gathered."""
    row = {name: value for name, value in raw.items() if name in FIELDS}
    found: dict[str, dict[str, Any]] = {}
    for name in raw.keys() - FIELDS:
        if place := spread(name):
            found.setdefault(place[0], {})[place[1]] = raw[name]
        elif meant := _meant(name):
            wrong.append((name, f"is no field of ours; {meant} is"))
    for kind, shares in found.items():
        if row.get(kind) is not None:
            wrong.append((kind, "is there twice: whole, and spread over fields of its own"))
        row[kind] = dict(sorted(shares.items()))
    return row


def _text(raw: Mapping[str, Any], name: str, wrong: list[tuple[str, str]]) -> str:
    """The text in a field; empty where there is none, and where it is no text."""
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not value:
        wrong.append((name, "is not a text"))
    elif not _is_utf8(value):
        wrong.append((name, "is not UTF-8 throughout"))
    else:
        return value
    return ""


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _share(name: str, share: Any) -> float:
    """A label as 0, 1 or what is between.

    Raises:
        ValueError, TypeError: It is something else, or what it is for has no proper name.
    """
    if not name or not _is_utf8(name) or not 0 <= share <= 1:
        raise ValueError
    return int(share) if share in (0, 1) else float(share)


def _split(raw: Mapping[str, Any], unsplit: Split, wrong: list[tuple[str, str]]) -> Split:
    split: Split | None = raw.get("split")
    if split is None:
        return unsplit
    if split not in SPLITS:
        wrong.append(("split", f"is none of {', '.join(SPLITS)}"))
    return split


def _golden(raw: Mapping[str, Any], wrong: list[tuple[str, str]]) -> bool:
    golden = raw.get("golden", False)
    if golden not in (None, False, True):
        wrong.append(("golden", "is neither true nor false"))
    return golden is not None and bool(golden)


def _weight(raw: Mapping[str, Any], wrong: list[tuple[str, str]]) -> float:
    weight = raw.get("weight")
    if weight is None:
        return 1.0
    if not isinstance(weight, int | float) or not 0 < weight <= float_info.max:
        wrong.append(("weight", "is not a number over 0"))
        return 1.0
    return float(weight)
