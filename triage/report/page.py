"""Pages for people: one HTML file that needs no other, without a line of script.

A page is sections, a section is blocks: a `Verdict` first if there is one, then `Note`, `Facts`,
`Table` and `Figure` (see `triage.report.plots`). Text is escaped; only a figure's own SVG isn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from triage.labels.write import whole

TEMPLATE = "page.html.j2"


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    text: str
    template: str = field(default="note", init=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it comes to, and the points that it rests on."""

    kind: Literal["good", "warn", "bad"]
    text: str
    points: Sequence[str] = ()
    template: str = field(default="verdict", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values."""

    pairs: Sequence[tuple[str, str]]
    template: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        columns: Their names; one that begins with ">" is for numbers.
        rows: Cells as they are shown.
        marked: Places of rows that stand out.
        caption: Over it; may be empty.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: frozenset[int] = frozenset()
    caption: str = ""
    template: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot.

    Attributes:
        svg: An `<svg>` element.
        caption: Under it.
        alt: What is to be seen, for who can't.
    """

    svg: str
    caption: str
    alt: str
    template: str = field(default="figure", init=False)


Block = Note | Verdict | Facts | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]


def render(title: str, sections: Sequence[Section], *, subtitle: str = "") -> str:
    """The page as HTML.

    Args:
        title: Of the page.
        sections: In their order; one without blocks is left out. The first is the summary: the
            way to the others stands under it.
        subtitle: Under the title: which model, when.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filled = [section for section in sections if section.blocks]
    return environment.get_template(TEMPLATE).render(
        title=title, subtitle=subtitle, sections=filled
    )


def write_page(html: str, out: Path) -> None:
    """Writes a page, whole or not at all.

    Raises:
        LabelsRefused: It can't be written.
    """
    with whole(out) as stream:
        stream.write(html.encode())
