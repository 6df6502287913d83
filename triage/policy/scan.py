"""What stands where in a condition's text: its names and numbers, its macros, and the rest.

CEL's own parser says whether a condition is right; this only finds the words of one that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

EVENTS = "events"  # the one name that is a list

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(")
_LONG = re.compile(rf"{_MACRO.pattern}|(?<![\w.]){EVENTS}\b")  # what takes as long as a list is
# Text and comments, in which nothing is a name or a number.
OTHER = re.compile(
    r"""//[^\n]*
    |(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"]*"|'[^']*')
    |[bB]?(?:\"\"\"(?:\\.|.)*?\"\"\"|'''(?:\\.|.)*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""",
    re.S | re.X,
)
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")


def nested(text: str) -> Iterator[int]:
    """Where a macro begins, or the events are named, inside of a macro."""
    blank = blanked(text)
    starts = {found.end() - 1: found.start() for found in _MACRO.finditer(blank)}
    long = {found.start() for found in _LONG.finditer(blank)}
    open_ = list[bool]()
    for place, letter in enumerate(blank):
        if place in long and any(open_):
            yield place
        if letter == "(":
            open_.append(place in starts)
        elif letter == ")" and open_:
            open_.pop()


def blanked(text: str) -> str:
    """A condition with blanks in place of text and comments, as long as it was."""
    return OTHER.sub(lambda found: " " * len(found[0]), text)


def outside(text: str) -> Iterator[str]:
    """What is outside of text and comments."""
    yield from OTHER.split(text)
