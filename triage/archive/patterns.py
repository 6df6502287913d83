"""Sources by pattern: `shards-{0000..0099}.tar`, `day-*.tar`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from itertools import islice, product

from triage.archive.stores import is_url, patiently, reason, store, with_scheme
from triage.errors import BadField, NothingToScore

MOST = 100_000  # sources by one pattern
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


def is_pattern(source: str) -> bool:
    return bool(_BRACES.search(source)) or _is_glob(source)


def _is_glob(source: str) -> bool:
    # In a URL of the web, these may stand for themselves.
    return not source.startswith("https://") and glob.has_magic(source)


def matches(pattern: str) -> tuple[str, ...]:
    """The sources that a pattern stands for: braces in their order, then by name.

    Raises:
        BadField: It stands for too many.
        NothingToScore: Nothing is there that it stands for.
    """
    named = list(islice(_braced(pattern), MOST + 1))
    found = [one for name in named for one in (_globbed(name) if _is_glob(name) else [name])]
    if max(len(named), len(found)) > MOST:
        raise BadField(f"The pattern stands for more than {MOST:,} files. Narrow it.", limit=MOST)
    if not found:
        raise NothingToScore("Nothing is there that the pattern stands for. Correct it.")
    return tuple(found)


def _braced(pattern: str) -> Iterator[str]:
    """Every choice of the braces, the last of them changing fastest."""
    pieces = _BRACES.split(pattern)  # text and what stood in braces, by turns
    choices = [[one] if n % 2 == 0 else _choices(one) for n, one in enumerate(pieces)]
    # One after the other and never as a list: a product of ranges may be as long as you like.
    for chosen in product(*choices):
        yield "".join(chosen)


def _choices(inner: str) -> list[str]:
    span = _RANGE.fullmatch(inner)
    if span is None:
        return inner.split(",") if "," in inner else ["{" + inner + "}"]
    first, last = int(span[1]), int(span[2])
    if last - first >= MOST or last < first:
        raise BadField(
            f"A range of the pattern runs backwards or over more than {MOST:,} numbers.", limit=MOST
        )
    return [str(number).zfill(len(span[1])) for number in range(first, last + 1)]


def _globbed(name: str) -> list[str]:
    if not is_url(name):
        return sorted(one for one in glob.iglob(name) if os.path.basename(one)[:1] != ".")
    fs = store(name)
    try:
        if patiently(lambda: fs.exists(name)):  # a name that only looks like a pattern
            return [name]
        found = patiently(lambda: fs.glob(name))
    except Exception as error:  # each store has errors of its own
        message = f"The store of the pattern can't be listed: {reason(error)}."
        raise NothingToScore(message) from None
    return sorted(with_scheme(name, str(one)) for one in found)
