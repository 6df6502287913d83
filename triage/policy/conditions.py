"""What a rule says of the scores, in CEL, the Common Expression Language (https://cel.dev).

A condition is compiled and typed when the policy is read: a name that nothing gives, a number
compared with text, a condition that isn't true or false are refused there. What is left to go
wrong when a recording is decided (a division by zero, a sum that overflows, a score that the
model doesn't give) is told apart from "no", for the caller to send to a person.

Names are typed by their full path (`scores.violence`, double), so a misspelt one can't pass for
a score of nothing. Levels are the policy's own numbers and are put in as such. Conditions can't
run long: they are short, and a macro that walks over a list can't hold another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from cel_expr_python import cel

MAX_CHARACTERS = 1_000  # of a condition; the longest shipped one has 107
EVENTS = "events"  # the one name that is a list

Kind = Literal["bool", "int", "double", "string"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Value = bool | int | float | str | list[dict[str, Any]]

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(")
_STRING = re.compile(
    r"""[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.S
)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_WHERE = re.compile(r"<input>:(\d+):(\d+): ([^\n]+)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_NO_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '\((.*)\)'")


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the known one that was probably meant."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


class Wrong(ValueError):
    """What is wrong with a condition, and where in it.

    Attributes:
        line, column: In the condition, counted from 1; 0 and 0 for all of it.
    """

    def __init__(self, why: str, line: int = 0, column: int = 0) -> None:
        super().__init__(why)
        self.line, self.column = line, column


@dataclass(frozen=True)
class Vocabulary:
    """What conditions may speak of.

    Attributes:
        kinds: By name ("scores.violence"), what it is. `events` is there beside them.
        levels: Numbers by name.
    """

    kinds: Mapping[str, Kind]
    levels: Mapping[str, float] = field(default_factory=dict)

    def compiled(self, text: str) -> cel.Expression:
        """A condition, ready to be asked.

        Raises:
            Wrong: It is too long, may run long, or isn't a typed condition of these names.
        """
        _bounded(text)
        self._checked(text, self._with_levels)  # its errors have the columns of what was written
        return self._checked(self.filled(text), self._without)

    def filled(self, text: str) -> str:
        """A condition with numbers in place of levels."""
        return _outside_strings(
            text,
            lambda part: _NAME.sub(
                lambda name: repr(self.levels[name[0]]) if name[0] in self.levels else name[0], part
            ),
        )

    def names(self, text: str) -> tuple[str, ...]:
        """The names of `kinds` that a condition speaks of, in order of appearance."""
        found = ("".join(name[0].split()) for part in _parts(text) for name in _NAME.finditer(part))
        return tuple(dict.fromkeys(n for n in found if n in self.kinds or n == EVENTS))

    def numbers(self, text: str) -> tuple[float, ...]:
        """The numbers that a condition compares with, levels among them; rising."""
        filled = self.filled(text)
        return tuple(
            sorted({float(n[0]) for part in _parts(filled) for n in _NUMBER.finditer(part)})
        )

    @cached_property
    def _without(self) -> cel.Env:
        return self._environment({})

    @cached_property
    def _with_levels(self) -> cel.Env:
        return self._environment(dict.fromkeys(self.levels, "double"))

    def _environment(self, more: Mapping[str, Kind]) -> cel.Env:
        from cel_expr_python import cel

        types = {kind: getattr(cel.Type, kind.upper()) for kind in KINDS}
        event = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        typed = {name: types[kind] for name, kind in {**self.kinds, **more}.items()}
        return cel.NewEnv(variables={**typed, EVENTS: cel.Type.List(event)})

    def _checked(self, text: str, environment: cel.Env) -> cel.Expression:
        from cel_expr_python import cel

        try:
            found = environment.compile(text)
        except RuntimeError as error:  # the library has no error of its own
            raise self._told(str(error)) from None
        if found.return_type() != cel.Type.BOOL:
            kind = found.return_type().name().lower()
            raise Wrong(f"a condition must be true or false, and this is {kind}")
        return found

    def _told(self, message: str) -> Wrong:
        """The library's first complaint in plain words."""
        found = _WHERE.search(message)
        if found is None:
            return Wrong("this isn't CEL")
        line, column, why = int(found[1]), int(found[2]), found[3]
        if unknown := _UNDECLARED.search(why):
            known = [*self.kinds, *self.levels, EVENTS]
            why = f"nothing is named {unknown[1]}{nearest(unknown[1], known)}"
        elif mixed := _NO_OVERLOAD.search(why):
            sign = mixed[1].strip("_").replace("_", "") or mixed[1]
            why = f"{sign} can't be asked of {mixed[2].replace(', ', ' and ')}"
            if {"double", "int"} <= set(mixed[2].split(", ")):
                why += "; write a whole number as 1.0 beside a score, as 1 beside a count"
        else:
            why = why.partition(" expecting ")[0]
        return Wrong(why, line, column)


class Conditions:
    """Conditions that are asked together.

    One program gives the answers of all of them: what a decision costs is handing the values to
    CEL, and that is done once. Only where that program fails is each asked by itself.

    Args:
        texts: Of each.
        vocabulary: What they speak of.

    Raises:
        Wrong: One of them can't be compiled.
    """

    def __init__(self, texts: Sequence[str], vocabulary: Vocabulary) -> None:
        self._each = [vocabulary.compiled(text) for text in texts]
        self._names = [vocabulary.names(text) for text in texts]
        self._spoken = tuple(dict.fromkeys(name for names in self._names for name in names))
        filled = ", ".join(f"({vocabulary.filled(text)})" for text in texts)
        self._environment = vocabulary._without
        self._all = self._environment.compile(f"[{filled}]")

    def names(self, number: int) -> tuple[str, ...]:
        """What one condition speaks of."""
        return self._names[number]

    @property
    def spoken(self) -> tuple[str, ...]:
        """What any of them speaks of."""
        return self._spoken

    def met(self, values: Mapping[str, Value]) -> list[bool | None]:
        """Whether each holds; None where that can't be said.

        Args:
            values: By name; one that is missing is an error where the answer hangs on it.
        """
        if not self._each:
            return []
        data = {name: values[name] for name in self._spoken if name in values}
        activation = self._environment.Activation(data)
        found = self._all.eval(activation).plain_value()
        if isinstance(found, list):
            return found
        return [_truth(one.eval(activation).plain_value()) for one in self._each]

    def one(self, number: int, values: Mapping[str, Value]) -> bool | None:
        """As `met`, for one of them."""
        data = {name: values[name] for name in self._names[number] if name in values}
        return _truth(self._each[number].eval(data=data).plain_value())


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _bounded(text: str) -> None:
    """Refuses what may run long."""
    if len(text) > MAX_CHARACTERS:
        raise Wrong(f"a condition has at most {MAX_CHARACTERS} characters, this has {len(text)}")
    if nested := next(_nested_macros(text), None):
        before = text[:nested]
        line, column = before.count("\n") + 1, nested - before.rfind("\n")
        raise Wrong(
            "a macro that walks over a list can't hold another: it may run long", line, column
        )


def _nested_macros(text: str) -> Iterator[int]:
    """Where a macro begins inside of another."""
    blank = _STRING.sub(lambda found: " " * len(found[0]), text)
    starts = {found.end() - 1: found.start() for found in _MACRO.finditer(blank)}
    open_ = list[bool]()
    for place, letter in enumerate(blank):
        if letter == "(":
            if place in starts and any(open_):
                yield starts[place]
            open_.append(place in starts)
        elif letter == ")" and open_:
            open_.pop()


def _parts(text: str) -> Iterator[str]:
    """What is outside of strings."""
    yield from _STRING.split(text)


def _outside_strings(text: str, change: Callable[[str], str]) -> str:
    out, at = [], 0
    for found in _STRING.finditer(text):
        out += [change(text[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*out, change(text[at:])])
