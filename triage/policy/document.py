"""Reading YAML that nobody has vouched for.

YAML is read as plain data with places: no tags, no anchors, no aliases (so nothing can unfold
to more than was written), no key twice, and bounds on its bytes, its parts and their nesting.
Every scalar but null stays text; the schema says what is a number or a truth, so `off` is a
word and `1.10` isn't 1.1.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from triage.errors import PolicyRefused, SetupError

MAX_BYTES = 1_000_000  # of a file; the shipped policy has about 10,000
MAX_DEPTH = 12  # of nesting; a policy needs 6
MAX_PARTS = 20_000  # scalars, lists and mappings together; the shipped policy has about 400

Where = tuple[int | str, ...]  # a place in a document: ("rules", 3, "tier")


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


# YAML's own guesses at what a plain word means, without all but one of them.
_ONLY_NULL = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.yaml_implicit_resolvers = _ONLY_NULL
        self._depth = self._parts = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it bare
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Refused("anchors and aliases are not allowed; write it out", event.start_mark)
        if event.tag is not None:
            raise _Refused("tags are not allowed; write the plain value", event.start_mark)
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _Refused(f"this has more than {MAX_PARTS} parts", event.start_mark)
        if self._depth >= MAX_DEPTH:
            raise _Refused(f"this is nested deeper than {MAX_DEPTH} levels", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused("a key must be a plain word", key.start_mark)
            if key.value in seen:
                raise _Refused(f"the key {key.value} is here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class Document:
    """A YAML mapping and where in its text each part of it stands.

    Args:
        data: The file's bytes, UTF-8.
        name: What it is, for what is told of it.
        begins: The field that it begins with, as a rule.
        refused: The error that tells of it.

    Attributes:
        fields: The mapping, made of dict, list, str and None.

    Raises:
        SetupError: As `refused`: it is too long, not UTF-8, not YAML, or YAML of a kind that isn't
            allowed here; with line and column where there are any.
    """

    def __init__(
        self,
        data: bytes,
        name: str = "policy",
        begins: str = "name",
        refused: type[SetupError] = PolicyRefused,
    ) -> None:
        self._name, self._refused = name, refused
        if len(data) > MAX_BYTES:
            told = f"The {name} has more than {MAX_BYTES} bytes. Shorten it."
            raise refused(told, limit=MAX_BYTES)
        try:
            self._text = data.decode("utf-8")
            root = _Loader(self._text).get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise refused(f"The {name} is empty or no mapping. Start it with `{begins}:`.")
            self._root = root
            self.fields: dict[str, Any] = _Loader("").construct_document(root)
        except UnicodeDecodeError as error:
            told = f"The {name} isn't UTF-8: byte {error.start} can't be read. Save it as UTF-8."
            raise refused(told) from None
        except yaml.YAMLError as error:
            raise refused(_told(error, name)) from None

    def replaced(self, where: Where, word: str) -> bytes:
        """The file with another plain word in the place of one scalar, and not a byte else changed.

        Raises:
            SetupError: No scalar stands there.
        """
        node = _exactly(self._root, where)
        if not isinstance(node, yaml.ScalarNode):
            path = ".".join(map(str, where))
            raise self._refused(f"There is no {path} to change in the {self._name}.")
        first, last = node.start_mark.index, node.end_mark.index
        return f"{self._text[:first]}{word}{self._text[last:]}".encode()

    def place(self, where: Where, line: int = 0, column: int = 0) -> str:
        """Line, column and path of `where`, or of the nearest part around it that exists.

        Args:
            where: A place in the document.
            line, column: In the text that stands there, counted from 1; 0 for where it starts.
        """
        node: yaml.Node = self._root
        for step in where:
            inner = _child(node, step)
            if inner is None:
                break
            node = inner
        path = ".".join(str(step) for step in where) or f"the {self._name}"
        if not column:
            return f"{_at(node.start_mark)}, {path}"
        inside, shift = _inside(node, line)
        if inside is None:
            return f"{_at(node.start_mark)}, {path}, at character {column} of its line {line}"
        return f"line {inside}, column {column + shift}, {path}"


def _exactly(root: yaml.Node, where: Where) -> yaml.Node | None:
    node: yaml.Node | None = root
    for step in where:
        node = node and _child(node, step)
    return node


def _told(error: yaml.YAMLError, name: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what = ", ".join(part for part in (error.context, error.problem) if part)
        return f"{_at(error.problem_mark)}: {what}."
    if isinstance(error, yaml.reader.ReaderError):
        return f"Character {error.position} of the {name} isn't allowed in YAML."
    return f"The {name} isn't YAML."


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        inner: yaml.Node = node.value[step]
        return inner
    return None


def _inside(node: yaml.Node, line: int) -> tuple[int | None, int]:
    """The file's line of a line of a text, and how far its columns are shifted there.

    None for a text that YAML put together from several lines.
    """
    first, last = node.start_mark, node.end_mark
    style = getattr(node, "style", None)
    written = (first.buffer or "")[first.pointer : last.pointer]
    if style == "|":
        below, inner = (text.split("\n") for text in (written, node.value))
        return first.line + 1 + line, len(below[line]) - len(inner[line - 1])
    quoted = style in ("'", '"')
    if node.value == (written[1:-1] if quoted else written) and first.line == last.line:
        return first.line + 1, first.column + quoted
    return None, 0


def _at(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
