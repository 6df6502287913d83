"""Pages: text is text, nothing comes from elsewhere, and a write is whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.report.page import (
    TEMPLATE,
    Block,
    Facts,
    Figure,
    Note,
    Section,
    Table,
    Verdict,
    render,
    write_page,
)

PROJECT = Path(__file__).parent.parent
DRAWING = '<svg viewBox="0 0 1 1"><title>drawn</title></svg>'
BLOCKS: Sequence[Block] = [
    Verdict("bad", "2 reasons", ["one", "two"]),
    Note("A note."),
    Facts([("Rows", "12")]),
    Table(("name", ">count"), [["cry", "1"], ["shout", "2"]], frozenset({1}), "Counts"),
    Figure(DRAWING, "Under it.", "A drawing."),
]
ALONE = {"meta", "br", "link", "img"}


class Tree(HTMLParser):
    """Every tag with its attributes and the text in it, and whether all were closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.text.append((self.open[-1], " ".join(data.split())))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.text if where == tag]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(*sections: Section, subtitle: str = "") -> Tree:
    tree = Tree(render("A page", sections, subtitle=subtitle))
    assert tree.open == []
    return tree


def test_every_block_is_shown() -> None:
    tree = page(Section("All", BLOCKS), subtitle="of today")
    assert tree.of("h1") == ["A page"]
    assert tree.of("h2") == ["All"]
    assert "of today" in tree.of("p")
    assert tree.of("strong") == ["2 reasons"]
    assert tree.of("li") == ["one", "two"]
    assert "A note." in tree.of("p")
    assert (tree.of("dt"), tree.of("dd")) == (["Rows"], ["12"])
    assert tree.of("caption") == ["Counts"]
    assert tree.of("th") == ["name", "count"]
    assert tree.of("td") == ["cry", "1", "shout", "2"]
    assert tree.of("figcaption") == ["Under it."]
    assert "drawn" in tree.of("title")


def test_numbers_stand_on_the_right_and_marked_rows_out() -> None:
    tree = page(Section("All", BLOCKS))
    assert [one.get("class") for one in tree.attributes("td")] == [None, "n", None, "n"]
    assert [one.get("class") for one in tree.attributes("tr")] == [None, None, "marked"]


@pytest.mark.parametrize("kind", ["good", "warn", "bad"])
def test_a_verdict_has_its_colour(kind: str) -> None:
    tree = page(Section("V", [Verdict(kind, "So it is")]))  # type: ignore[arg-type]
    assert f"verdict {kind}" in [one.get("class") for one in tree.attributes("div")]
    assert tree.attributes("ul") == []


def test_who_cannot_see_a_figure_is_told() -> None:
    images = [one for one in page(Section("All", BLOCKS)).attributes("div") if "role" in one]
    told = {one["role"]: one["aria-label"] for one in images}
    assert told == {"img": "A drawing.", "region": "Counts"}


def test_a_section_without_blocks_is_left_out() -> None:
    tree = page(Section("Full", [Note("x")]), Section("Empty", []))
    assert tree.of("h2") == ["Full"]


def test_the_way_to_each_section_stands_under_the_first() -> None:
    tree = page(*(Section(name, [Note("x")]) for name in "abcd"))
    ids = {one["id"]: name for one, name in zip(tree.attributes("section"), "abcd", strict=True)}
    links = [ids[(one["href"] or "").lstrip("#")] for one in tree.attributes("a")]
    assert (links, tree.of("a")) == (["b", "c", "d"], ["b", "c", "d"])
    order = [tag for tag, _ in tree.tags if tag in {"h2", "nav"}]
    assert order == ["h2", "nav", "h2", "h2", "h2"]


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = render("A page", [Section("All", BLOCKS)])
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|@import|<script|<link|https?:", html)
    policy = next(
        one["content"]
        for one in Tree(html).attributes("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_text_is_text_and_nothing_else(text: str) -> None:
    hostile = f"<b>{text}</b>\" onclick='x'>"
    blocks: list[Block] = [
        Verdict("good", hostile, [hostile]),
        Note(hostile),
        Facts([(hostile, hostile)]),
        Table((hostile,), [[hostile]], caption=hostile),
        Figure(DRAWING, hostile, hostile),
    ]
    tree = Tree(render(hostile, [Section(hostile, blocks)], subtitle=hostile))
    assert "b" not in {tag for tag, _ in tree.tags}
    assert not any("onclick" in attributes for _, attributes in tree.tags)
    for tag in ("h1", "h2", "strong", "li", "dt", "dd", "th", "td", "caption", "figcaption"):
        assert tree.of(tag) == [hostile]
    assert hostile in [one.get("aria-label") for one in tree.attributes("div")]


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    write_page("<p>ü</p>", tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == "<p>ü</p>".encode()
    assert [one.name for one in tmp_path.iterdir()] == ["a.html"]


def test_where_it_cannot_be_written_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    for out in (tmp_path / "a.html", tmp_path / "none" / "b.html"):
        with pytest.raises(LabelsRefused, match=rf"{out.name} can't be written"):
            write_page("<p>", out)
    assert [one.name for one in tmp_path.iterdir()] == ["a.html"]


def test_the_template_ships() -> None:
    included = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["include"]
    template = PROJECT / "triage" / "report" / TEMPLATE
    assert template.is_file()
    assert any(template.match(pattern.lstrip("/")) for pattern in included)
