"""Which parts of the rows to look at by themselves: a model may be better on average and worse
where it is quiet, or long, or where somebody's faith is named.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from triage.measure.evaluate import Scored
from triage.text import spoken_words

# Words that name who somebody is. Classifiers learn to flag them, since people are attacked by
# them: Dixon et al., "Measuring and mitigating unintended bias in text classification" (2018).
# Words that mostly mean something else ("old", "straight", "polish") would dilute them.
_WORDS = (
    "african american arab asian atheist bisexual black blind buddhist catholic chinese "
    "christian deaf disabled elderly european female feminist gay gypsy heterosexual hindu "
    "homosexual immigrant immigrants indian indigenous irish japanese jew jewish jews latina "
    "latino lesbian lgbt male mexican migrant migrants muslim muslims nonbinary pakistani "
    "protestant queer refugee refugees roma romani russian sikh trans "
    "transgender turkish ukrainian white women "
)
IDENTITY = frozenset(_WORDS.split())

# A measurement, its unit, and where one slice ends and the next begins.
BOUNDS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "words": ("words", (4, 9, 19, 49)),
    "seconds": ("s", (2, 5, 15)),
    "loudness": ("dBFS", (-40, -30, -20)),
}
FLAGS: Mapping[str, tuple[str, str]] = {
    "noisy": ("noise", "quiet behind"),
    "speech_absent": ("no speech", "speech"),
    "transcript_unreliable": ("transcript unreliable", "transcript reliable"),
}


def slices(one: Scored) -> Iterator[tuple[str, str]]:
    """What a row is a part of, as kind and name: ("source", "dreaddit"), ("words", "5 to 9")."""
    yield "source", one.row.source
    measured = dict(one.measurements)
    if one.row.text is not None:
        words = spoken_words(one.row.text)
        measured["words"] = len(words)
        named = not IDENTITY.isdisjoint(words)
        yield "identity", "a group is named" if named else "no group is named"
    for name, (unit, bounds) in BOUNDS.items():
        if name in measured:
            yield name, _within(measured[name], bounds, unit)
    for name, (on, off) in FLAGS.items():
        if name in one.flags:
            yield "recording", on if one.flags[name] else off


def _within(value: float, bounds: tuple[float, ...], unit: str) -> str:
    place = bisect_right(bounds, value)
    if place == 0:
        return f"under {bounds[0]:g} {unit}"
    if place == len(bounds):
        return f"{bounds[-1]:g} {unit} and more"
    return f"{bounds[place - 1]:g} to {bounds[place]:g} {unit}"
