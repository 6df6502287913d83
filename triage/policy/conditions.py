"""What a rule says of the scores, in CEL, the Common Expression Language (https://cel.dev).

A condition is compiled and typed when the policy is read: a name that nothing gives, a number
compared with text, a condition that isn't true or false are refused there. What is left to go
wrong when a recording is decided (a division by zero, a sum that overflows, a score that the
model doesn't give) is told apart from "no", for the caller to send to a person.

Names are typed by their full path (`scores.violence`, double), so a misspelt one can't pass for
a score of nothing. Levels are the policy's own numbers and are put in as such. Conditions can't
run long: they are short, and a macro that walks over a list can't hold another, nor the events.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from triage.policy.scan import EVENTS, NAME, NUMBER, OTHER, nested, outside

if TYPE_CHECKING:
    from cel_expr_python import cel

MAX_CHARACTERS = 1_000  # of a condition; the longest shipped one has 107
MAX_FLAGS = 6  # in a condition: where none is known, it is asked once for each way they may be
MAX_TOGETHER = 50_000  # of conditions in one program; the library takes 100,000

Kind = Literal["bool", "int", "double", "string"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Value = bool | int | float | str | list[dict[str, Any]]

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
        self._all_found(text)
        if (flags := sum(one.startswith("flags.") for one in self.names(text))) > MAX_FLAGS:
            raise Wrong(f"a condition speaks of at most {MAX_FLAGS} flags, this of {flags}")
        return self._checked(self.filled(text), self._without)

    def filled(self, text: str) -> str:
        """A condition with numbers in place of levels, and without comments."""

        def number(name: re.Match[str]) -> str:
            return repr(self.levels[name[0]]) if name[0] in self.levels else name[0]

        out, at = [], 0
        for other in OTHER.finditer(text):
            comment = other[0].startswith("//")
            out += [NAME.sub(number, text[at : other.start()]), "" if comment else other[0]]
            at = other.end()
        return "".join([*out, NAME.sub(number, text[at:])])

    def names(self, text: str) -> tuple[str, ...]:
        """The names of `kinds` that a condition speaks of, in order of appearance."""
        found = (self._known(name[0]) for part in outside(text) for name in NAME.finditer(part))
        return tuple(dict.fromkeys(name for name in found if name))

    def _known(self, path: str) -> str:
        """The name that a path starts with (`context.locale` of `context.locale.matches`)."""
        steps = "".join(path.split()).split(".")
        starts = (".".join(steps[:end]) for end in range(len(steps), 0, -1))
        return next((one for one in starts if one in self.kinds or one == EVENTS), "")

    def _all_found(self, text: str) -> None:
        """Refuses what `names` would miss: it would never be given a value, and always fail."""
        spoken = {name: self.kinds[name] for name in self.names(text) if name in self.kinds}
        try:
            Vocabulary(spoken)._without.compile(f"[({self.filled(text)})]")
        except RuntimeError:
            raise Wrong(
                "a name is written in a way that can't be followed, or too many things are in each "
                "other; write scores.violence as it is, with fewer brackets"
            ) from None

    def numbers(self, text: str) -> tuple[float, ...]:
        """The numbers that a condition compares with, levels among them; rising."""
        filled = self.filled(text)
        return tuple(
            sorted({float(n[0]) for part in outside(filled) for n in NUMBER.finditer(part)})
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
            deep = "recursion" in message
            return Wrong(
                "too many brackets or signs are in each other" if deep else "this isn't CEL"
            )
        line, column, why = int(found[1]), int(found[2]), found[3]
        if unknown := _UNDECLARED.search(why):
            known = [*self.kinds, *self.levels, EVENTS]
            why = f"nothing is named {unknown[1]}{nearest(unknown[1], known)}"
        elif mixed := _NO_OVERLOAD.search(why):
            sign = mixed[1].strip("_").replace("_", "") or mixed[1]
            why = f"{sign} can't be asked of {mixed[2].replace(', ', ' and ')}"
            if {"double", "int"} <= set(mixed[2].split(", ")):
                why += "; write a whole number as 1.0 beside a score, as 1 beside a count"
        elif "'<EOF>'" in why:
            why = "it ends where more must follow"
        else:
            why = why.partition(" expecting ")[0]
        return Wrong(why, line, column)


class Conditions:
    """Conditions that are asked together.

    One program gives the answers of all of them, or a few do of very many: what a decision costs
    is handing the values to CEL, and that is done once. Only where a program fails is each asked
    by itself.

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
        self._environment = vocabulary._without
        filled = [f"({vocabulary.filled(text)})" for text in texts]
        self._together = [
            (some, self._environment.compile(f"[{', '.join(filled[one] for one in some)}]"))
            for some in _shared_out([len(one) for one in filled])
        ]

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
        data = {name: values[name] for name in self._spoken if name in values}
        activation = self._environment.Activation(data)
        met = list[bool | None]()
        for some, program in self._together:
            found = _answer(program, activation)
            if isinstance(found, list):
                met += found
            else:
                met += [_truth(_answer(self._each[one], activation)) for one in some]
        return met

    def one(self, number: int, values: Mapping[str, Value]) -> bool | None:
        """As `met`, for one of them."""
        data = {name: values[name] for name in self._names[number] if name in values}
        return _truth(_answer(self._each[number], self._environment.Activation(data)))


def _answer(program: cel.Expression, activation: cel.Activation) -> object:
    """What a program says; an error's text, or None, where it can't.

    It stops itself after 10,000 steps through lists.
    """
    try:
        return program.eval(activation).plain_value()
    except RuntimeError:  # the library has no error of its own
        return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _shared_out(lengths: Sequence[int]) -> list[range]:
    """Neighbours that go into one program each."""
    found, start, total = [], 0, 0
    for number, length in enumerate(lengths):
        if total + length > MAX_TOGETHER:
            found.append(range(start, number))
            start, total = number, 0
        total += length + 2
    return [*found, range(start, len(lengths))] if lengths else []


def _bounded(text: str) -> None:
    """Refuses what may run long."""
    if len(text) > MAX_CHARACTERS:
        raise Wrong(f"a condition has at most {MAX_CHARACTERS} characters, this has {len(text)}")
    if macro := next(nested(text), None):
        before = text[:macro]
        line, column = before.count("\n") + 1, macro - before.rfind("\n")
        raise Wrong(
            "a macro that walks over a list can't hold another, nor the events: it may run long",
            line,
            column,
        )
