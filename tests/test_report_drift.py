"""The drift page: the verdict first, nothing from elsewhere, and the hours where they were."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from triage.drift import LEAST_ROWS, compare, histogram, psi, reference_of
from triage.live import Live
from triage.manifest import Manifest
from triage.report.drift import by_hour, page

ROWS = 400
EVEN = np.arange(ROWS)
REFERENCE = reference_of({f"measurement {name}": EVEN for name in ("words", "seconds", "loudness")})
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def live(*shifts: float, rows: int = ROWS, unreadable: int = 0) -> Live:
    """A window in which words are shifted by so much in each hour."""
    step = ROWS // rows
    return Live(
        {
            NOON + timedelta(hours=n): {
                name: np.array(histogram(EVEN[::step] + moved, REFERENCE[name].edges).counts)
                for name, moved in (("measurement words", shift), ("measurement seconds", 0))
            }
            for n, shift in enumerate(shifts)
        },
        unreadable,
    )


@pytest.fixture
def manifest(fake_triage: Any) -> Manifest:
    found: Manifest = fake_triage.artefact.manifest
    return found.model_copy(update={"reference": REFERENCE})


def made(manifest: Manifest, window: Live) -> str:
    return page(
        manifest, window, compare(REFERENCE, window.total), ["measurement loudness"]
    ).decode()


def words(html: str) -> str:
    """What is to be read on a page outside of its plots."""
    plain = re.sub(r"<(svg|style).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", plain))


def test_the_verdict_comes_first(manifest: Manifest) -> None:
    read = words(made(manifest, live(0, 300, unreadable=2)))
    order = [
        "Drift of triage-fake",
        "Drift: much",
        "2026-05-04 12:00 to 2026-05-04 13:59 UTC",
        "unreadable: 2",
        "What moved",
        "When",
        "How",
        "Every name",
        "measurement words 800",
        "measurement seconds 800",
        "In no live row: measurement loudness",
    ]
    places = [read.find(one) for one in order]
    assert -1 not in places
    assert places == sorted(places)
    assert manifest.digest[:16] in read


def test_the_plots_show_what_is_told(manifest: Manifest) -> None:
    html = made(manifest, live(0, 300))
    assert html.count("<svg") == 3
    what, when, how = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert all("measurement words" in plot for plot in (what, when, how))


def test_a_page_needs_nothing_from_elsewhere(manifest: Manifest) -> None:
    html = made(manifest, live(0, 300))
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|@import|<script", html)


def test_the_same_window_gives_the_same_page(manifest: Manifest) -> None:
    assert made(manifest, live(0, 300)) == made(manifest, live(0, 300))


def test_without_drift_it_says_so(manifest: Manifest) -> None:
    assert "Drift: none" in words(made(manifest, live(0)))


def test_on_few_rows_it_tells_nothing_but_that(manifest: Manifest) -> None:
    html = made(manifest, live(0, rows=100))
    assert "Drift: too few rows" in words(html)
    assert f"fewer than {LEAST_ROWS} rows" in words(html)
    assert "<svg" not in html


def test_hours_that_are_too_small_leave_the_rest_told(manifest: Manifest) -> None:
    html = made(manifest, live(0, 0, 0, 0, rows=100))
    assert "Drift: none" in words(html)
    assert ("What moved" in html, "When" in html, "How" in html) == (True, False, True)


def test_names_are_text_and_nothing_else(manifest: Manifest) -> None:
    reference = reference_of({"event <b>x</b>": EVEN})
    window = Live({NOON: {"event <b>x</b>": np.array(reference["event <b>x</b>"].counts)}}, 0)
    other = manifest.model_copy(update={"reference": reference})
    html = page(other, window, compare(reference, window.total), []).decode()
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html


def test_each_hour_has_its_index() -> None:
    words = REFERENCE["measurement words"]
    still, moved = by_hour(words, live(0, 300), "measurement words")
    assert still == 0
    assert moved == psi(words.counts, histogram(EVEN + 300, words.edges).counts)
    assert math.isnan(by_hour(words, live(300, rows=100), "measurement words")[0])
    assert math.isnan(by_hour(words, live(0), "measurement loudness")[0])
