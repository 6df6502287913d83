"""Whether a condition can be lost because a score rose.

A condition of `&&`, `||` and comparisons of the kind `scores.x >= 0.5` can't. Any other is tried:
along each score, at the numbers that it compares with and between them, from places that are
drawn by a fixed chance. That finds a rule that somebody turned around by mistake; it is a trial
and no proof, which is why a policy says by name (`falls_with`) what it means to turn around.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from triage.policy.conditions import EVENTS, Conditions, Value, Vocabulary

LINES = 200  # tried along each score
SEVERITY = "severity"
_SCORE = re.compile(rf"(?:event_)?scores\.\w+|{SEVERITY}|{EVENTS}")
_NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
_RISING = re.compile(rf"{_NAME}\s*>=?\s*\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_TRUTH = re.compile(r"!?\s*\b(?:(?:flags|context)\.\w+|text_present|sound_present)\b")
_REST = re.compile(r"(?:\s|\(|\)|&&|\|\||#)*")


def falling(text: str, words: Vocabulary, allowed: Collection[str] = ()) -> str | None:
    """A score that may rise and a condition no longer hold; None if none is found.

    Args:
        text: The condition.
        words: What it speaks of.
        allowed: Scores that are meant to.
    """
    scores = [name for name in words.names(text) if _SCORE.fullmatch(name) and name not in allowed]
    plain = _TRUTH.sub("#", _RISING.sub("#", words.filled(text)))
    if not scores or _REST.fullmatch(plain):
        return None
    condition, chance = Conditions([text], words), random.Random(0)  # noqa: S311 - a trial
    tried = {name: _tried(name, text, words) for name in words.names(text)}
    for name in scores:
        for _ in range(LINES):
            values = {other: chance.choice(some) for other, some in tried.items()}
            held = False
            for value in tried[name]:
                met = condition.met(values | {name: value})[0] is True
                if held and not met:
                    return name
                held = met
    return None


def _tried(name: str, text: str, words: Vocabulary) -> Sequence[Value]:
    """What a name may be; of a score, rising."""
    if name == EVENTS:
        heard = [{"event": e, "start": 0.0, "end": 9.0, "score": 1.0} for e in _strings(text)]
        return [[], heard]
    numbers, kind = words.numbers(text), words.kinds[name]
    if _SCORE.fullmatch(name) and kind == "double":
        known = sorted({0.0, 1.0, *(n for n in numbers if 0 < n < 1)})
        return sorted([*known, *((low + high) / 2 for low, high in pairwise(known))])
    if name == SEVERITY:
        return range(8)
    if kind == "bool":
        return [False, True]
    if kind == "string":
        return ["", *_strings(text)]
    near = sorted({n + step for n in (0, *numbers) for step in (-1, 0, 1)})
    return [int(n) for n in near] if kind == "int" else [float(n) for n in near]


def _strings(text: str) -> list[str]:
    return re.findall(r"[\"']([^\"']*)[\"']", text)
