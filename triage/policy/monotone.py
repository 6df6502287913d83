"""Whether a condition can be lost because a score rose, and whether it can be asked of all scores.

A condition is taken apart at `&&`, `||`, `!` and brackets. If none of its comparisons can be lost
(or, under a `!`, be met) because a score rose, neither can the whole. Of `scores.x >= 0.5` that
is plain to see. Any other comparison is tried: along each score, at the numbers that it compares
with, between them and on a grid, from places that are drawn by a fixed chance. Only that part is a
trial and no proof. A policy says by name (`falls_with`) what it means to turn around.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from triage.policy.conditions import Conditions, Value, Vocabulary
from triage.policy.scan import EVENTS, blanked

LINES = 60  # tried along each score
PLACES = 200  # tried for whether a condition can be asked there
GRID = tuple(step / 10 for step in range(11))  # of a score
SEVERITY = "severity"
_SCORE = re.compile(rf"(?:event_)?scores\.\w+|{SEVERITY}|{EVENTS}")
_NAMED = r"(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_ABOVE = re.compile(rf"{_NAMED}\s*>=?\s*{_NUMBER}"), re.compile(rf"{_NUMBER}\s*<=?\s*{_NAMED}")
_BELOW = re.compile(rf"{_NAMED}\s*<=?\s*{_NUMBER}"), re.compile(rf"{_NUMBER}\s*>=?\s*{_NAMED}")
_NOTS = re.compile(r"(?:!\s*)*")


def falling(text: str, words: Vocabulary, allowed: Collection[str] = ()) -> str | None:
    """A score that may rise and a condition no longer hold; None if none is found.

    Args:
        text: The condition.
        words: What it speaks of.
        allowed: Scores that are meant to.
    """
    for part, holds in _comparisons(words.filled(text), True):
        names = [name for name in words.names(part) if _is_score(name) and name not in allowed]
        if names and not _plain(part, above=holds):
            if _plain(part, above=not holds):
                return names[0]
            if lost := next((one for one in names if _lost(one, part, holds, words)), None):
                return lost
    return None


def failing(text: str, words: Vocabulary) -> str | None:
    """Where a condition can't be evaluated, in words; None if it was everywhere that was tried."""
    filled = words.filled(text)
    if all(_simple(part, words) for part, _ in _comparisons(filled, True)):
        return None
    condition, chance = Conditions([text], words), random.Random(0)  # noqa: S311 - a trial
    for values in _places(words.names(text), text, words, chance, PLACES):
        if condition.met(values)[0] is None:
            told = [f"{name} is {_value(value)}" for name, value in values.items()]
            return f"where {' and '.join(told[:3])}" if told else "anywhere"
    return None


def _simple(part: str, words: Vocabulary) -> bool:
    """Whether a comparison can't fail: a score and a number, or a truth by itself."""
    return _plain(part, above=True) or _plain(part, above=False) or words.kinds.get(part) == "bool"


def _plain(part: str, *, above: bool) -> bool:
    """Whether a comparison is of one name and one number, and holds above it, or below it."""
    return any(pattern.fullmatch(part) for pattern in (_ABOVE if above else _BELOW))


def _lost(name: str, part: str, holds: bool, words: Vocabulary) -> bool:
    """Whether trying finds that a comparison stops to hold (or begins to, if `holds` is false)."""
    condition, chance = Conditions([part], words), random.Random(0)  # noqa: S311 - a trial
    others = [other for other in words.names(part) if other != name]
    rising = _tried(name, part, words, chance)
    for values in _places(others, part, words, chance, LINES if others else 1):
        before = False
        for value in _tried(name, part, words, chance) if name == EVENTS else rising:
            now = condition.met({**values, name: value})[0] is holds
            if before and not now:
                return True
            before = now
    return False


def _places(
    names: Sequence[str], text: str, words: Vocabulary, chance: random.Random, count: int
) -> Iterator[Mapping[str, Value]]:
    """Values for names: all the least, all the most, and then by chance."""
    tried = {name: _tried(name, text, words, chance) for name in names}
    yield {name: some[0] for name, some in tried.items()}
    yield {name: some[-1] for name, some in tried.items()}
    for _ in range(count):
        if EVENTS in tried:
            tried[EVENTS] = _tried(EVENTS, text, words, chance)
        yield {name: chance.choice(some) for name, some in tried.items()}


def _tried(name: str, text: str, words: Vocabulary, chance: random.Random) -> Sequence[Value]:
    """What a name may be; of a score, rising."""
    numbers = words.numbers(text)
    if name == EVENTS:
        return _heard(text, numbers, chance)
    if name == SEVERITY:
        return range(8)
    kind = words.kinds[name]
    if _is_score(name):
        known = sorted({*GRID, *(n for n in numbers if 0 < n < 1)})
        return sorted([*known, *((low + high) / 2 for low, high in pairwise(known))])
    if kind == "bool":
        return [False, True]
    if kind == "string":
        return ["", *_strings(text)]
    near = sorted({n + step for n in (0, *numbers) for step in (-1, 0, 1)})
    if name.startswith("history."):
        near = [n for n in near if n >= 0]
    return [int(n) for n in near] if kind == "int" else [float(n) for n in near]


def _heard(text: str, numbers: Sequence[float], chance: random.Random) -> list[Value]:
    """Events: none, then of each name that a text speaks of one, ever surer, then more of them."""
    start, length = (
        chance.choice([0.0, 0.5, *numbers, *(one + 1 for one in numbers)]) for _ in range(2)
    )
    surer = sorted({0.25, 0.5, 0.75, 1.0, *(n for n in numbers if 0 < n < 1)})

    def all_at(score: float) -> list[dict[str, Any]]:
        names = [*dict.fromkeys(_strings(text)), "other"]
        return [
            {"event": name, "start": start, "end": start + length, "score": score} for name in names
        ]

    return [[], *(all_at(score) for score in surer), all_at(1.0) * 10]


def _comparisons(text: str, holds: bool) -> Iterator[tuple[str, bool]]:
    """What a condition is made of, and whether the whole needs it to hold or not to."""
    text = text.strip()
    blank = blanked(text)
    for sign in ("?", "||", "&&"):
        parts = _split(text, blank, sign)
        if len(parts) > 1 and sign == "?":
            break
        if len(parts) > 1:
            for part in parts:
                yield from _comparisons(part, holds)
            return
    else:
        nots = _NOTS.match(text)
        after = nots.end() if nots else 0
        rest, turned = text[after:], text[:after].count("!") % 2 == 1
        if _one_group(blank[after:]):
            yield from _comparisons(rest[1:-1], holds != turned)
            return
        if re.fullmatch(r"[\w.]+", rest):
            text, holds = rest, holds != turned
    yield text, holds


def _split(text: str, blank: str, sign: str) -> list[str]:
    """A text at a sign, but not within brackets or strings."""
    parts, start, depth = [], 0, 0
    for place, letter in enumerate(blank):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and place >= start and blank.startswith(sign, place):
            parts.append(text[start:place])
            start = place + len(sign)
    return [*parts, text[start:]]


def _one_group(blank: str) -> bool:
    """Whether a text is one pair of brackets and what is in it."""
    depth = 0
    for place, letter in enumerate(blank):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return letter == ")" and place == len(blank) - 1
    return False


def _is_score(name: str) -> bool:
    return _SCORE.fullmatch(name) is not None


def _strings(text: str) -> list[str]:
    return re.findall(r"[\"']([^\"']*)[\"']", text)


def _value(value: Value) -> str:
    if isinstance(value, list):
        return f"{len(value)} heard" if value else "none heard"
    return str(value).lower() if isinstance(value, bool) else repr(value)
