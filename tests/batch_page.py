"""What a run's page shows, and counts to draw, for tests."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np

from triage.batch.figures import BINS

Tables = dict[str, list[list[str]]]


def bins(**filled: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Counts of a score's bins, by the bin's number after an underscore."""
    counts = np.zeros(BINS)
    for bin, count in filled.items():
        counts[int(bin[1:])] = count
    return counts


class Read(HTMLParser):
    """What a page shows: its tables by caption or heading, its facts, its points, all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: Tables = {}
        self.facts: dict[str, str] = {}
        self.points: list[str] = []
        self.text: list[str] = []
        self.headings: list[str] = []
        self.figures: list[str] = []
        self._open: list[str] = []
        self._named = self._fact = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag not in ("meta", "br", "link", "path", "use", "rect"):
            self._open.append(tag)
        if told.get("role") == "region":
            self._named = told["aria-label"] or ""
            self.tables[self._named] = []
        if told.get("role") == "img":
            self.figures.append(told["aria-label"] or "")
        if tag == "tr" and self._named:
            self.tables[self._named].append([])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        where, text = self._open[-1] if self._open else "", " ".join(data.split())
        if not text:
            return
        self.text.append(text)
        if where == "td":
            self.tables[self._named][-1].append(text)
        elif where == "h2":
            self.headings.append(text)
        elif where == "dt":
            self._fact = text
        elif where == "dd":
            self.facts[self._fact] = text
        elif where in ("li", "strong"):
            self.points.append(text)

    def rows(self, table: str) -> list[list[str]]:
        return [row for row in self.tables[table] if row]
