"""Plots: what is drawn is what was given, the same each time, and no two clash on a page."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest

from triage.reliability import Bin
from triage.report import plots, svg
from triage.report.page import Figure

LIMITS = (0.1, 0.25)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
GOOD = Bin(0.1, 0.1, 0.05, 0.2, 100)
NONE = Bin(0.01, 0.0, 0.0, 0.04, 100)
HIGH = Bin(0.5, 0.1, 0.05, 0.2, 100)
UNDER = Bin(1e-7, 0.0, 0.0, 0.04, 100)
UNFORESEEN = Bin(1e-7, 0.3, 0.2, 0.4, 100)


def drawn(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg)  # noqa: S314 - of this project's own


def words(figure: Figure) -> list[str]:
    texts = [one for one in drawn(figure).iter() if one.tag.endswith("}text")]
    return ["".join(one.itertext()) for one in texts]


def count(figure: Figure, colour: str) -> int:
    """Marks and lines of a colour: those that are drawn, not those that are defined."""
    styled = [one for one in drawn(figure).iter() if colour in one.get("style", "")]
    return sum(one.tag.endswith("}use") for one in styled)


def all_of_them() -> dict[str, Figure]:
    curve = (np.array([0, 0.5, 1]), np.array([1, 0.8, 0.1]))
    return {
        "reliability": plots.reliability({"cry": {"one": [GOOD, NONE], "two": [HIGH]}}, "c"),
        "precision_recall": plots.precision_recall({"cry": {"one": curve, "two": curve}}, "c"),
        "differences": plots.differences([("cry", 0.02, -0.01, 0.05)], "AUPRC", "c"),
        "bars": plots.bars([("cry", 0.3, 0.05, svg.BLUE)], LIMITS, "PSI", "c"),
        "lines": plots.lines(
            {"cry": np.array([0.1, 0.4])}, [NOON, NOON + timedelta(hours=1)], LIMITS, "PSI", "c"
        ),
        "histograms": plots.histograms(
            {"cry": ([0.1], {"reference": np.array([3, 1]), "live": np.array([1, 3])})}, "c"
        ),
    }


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    return all_of_them()


def test_the_same_data_give_the_same_bytes(figures: dict[str, Figure]) -> None:
    assert all_of_them() == figures


def test_the_users_own_settings_change_nothing(figures: dict[str, Figure]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"lines.linewidth": 9, "savefig.facecolor": "red", "font.size": 30}):
        assert all_of_them() == figures


def test_threads_that_draw_at_once_draw_the_same() -> None:
    rows = [(f"name {n}", 0.1, -0.1, 0.2) for n in range(6)]

    def draw(_: int) -> str:
        return plots.differences(rows, "AUPRC", "caption").svg

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(12)))) == 1


def test_drawing_leaves_the_settings_alone(figures: dict[str, Figure]) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.differences([("cry", 0.02, -0.01, 0.05)], "AUPRC", "c")
    assert dict(mpl.rcParams) == before


def test_no_ids_clash_and_every_one_that_is_used_is_there(figures: dict[str, Figure]) -> None:
    page = "".join(one.svg for one in figures.values())
    ids = re.findall(r'\bid="([^"]+)"', page)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', page))
    assert len(set(ids)) == len(ids)
    assert used
    assert used <= set(ids)


def test_letters_stay_letters_and_nothing_is_dated(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        assert any("cry" in word for word in words(figure))
        assert len(figure.svg) < 30_000
        assert not re.search(r"<metadata|<dc:|<!--|2026-1", figure.svg)


def test_each_says_what_is_to_be_seen(figures: dict[str, Figure]) -> None:
    assert all("cry" in one.alt and one.caption.startswith("c") for one in figures.values())
    assert "cry +0.020 (-0.010 to +0.050)" in figures["differences"].alt
    assert "cry 0.300" in figures["bars"].alt


def test_names_are_names() -> None:
    hostile = "<b>$x$ & $\\frac{1}{2}$ _y_"
    for figure in (
        plots.reliability({hostile: {"m": [GOOD]}}, ""),
        plots.differences([(hostile, 0, -1, 1)], "u", ""),
        plots.lines({hostile: np.array([0.1])}, [NOON], LIMITS, "PSI", ""),
    ):
        assert hostile in words(figure)
        assert "<b>" not in figure.svg


# Reliability --------------------------------------------------------------------------------


def dots(*bins: Bin) -> int:
    return count(plots.reliability({"cry": {"one": bins}}, ""), svg.BLUE)


def test_a_bin_is_a_dot_where_something_came_true() -> None:
    assert dots(GOOD) == 1
    assert dots(GOOD, HIGH) == 2
    assert dots(GOOD, HIGH, NONE) - dots(GOOD, HIGH) == 1  # the end of its bar


def test_only_what_is_truly_under_the_axes_is_left_out() -> None:
    assert dots(GOOD, UNDER) == dots(GOOD)
    assert dots(GOOD, UNFORESEEN) == dots(GOOD) + 1


def test_it_counts_what_is_off_the_diagonal() -> None:
    bins = [GOOD, NONE, HIGH, UNDER, UNFORESEEN]
    assert "2 of 5 bins are off" in plots.reliability({"cry": {"one": bins}}, "").alt


def test_both_models_are_named_and_one_need_not_be() -> None:
    both = {"champion": [GOOD], "challenger": [HIGH]}
    figure = plots.reliability({"cry": both, "shout": both}, "")
    assert {"champion", "challenger", "cry", "shout"} <= set(words(figure))
    assert (count(figure, svg.BLUE), count(figure, svg.VERMILION)) == (3, 3)  # 2 and the legend's
    assert "only" not in words(plots.reliability({"cry": {"only": [GOOD]}}, ""))


@pytest.mark.parametrize("panels", [1, 4, 5, 8, 11])
def test_every_panel_has_its_title_and_each_column_its_ticks(panels: int) -> None:
    names = [f"name {n}" for n in range(panels)]
    told = words(plots.reliability({name: {"m": [GOOD]} for name in names}, ""))
    assert [word for word in told if word.startswith("name")] == names
    across = told.count("0.0001") - (panels + 3) // 4  # those of the rows are on the left
    assert across == min(panels, 4)


# The others ---------------------------------------------------------------------------------


def test_a_curve_runs_through_its_points() -> None:
    recall, precision = np.array([0, 0.5, 1]), np.array([1, 0.5, 0.25])
    figure = plots.precision_recall({"cry": {"m": (recall, precision)}}, "")
    (path,) = (one for one in drawn(figure).iter() if svg.BLUE in one.get("style", ""))
    x, y = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", "")), float).T
    along, down = (x - x[0]) / (x[-1] - x[0]), (y - y[0]) / (y[-1] - y[0])
    assert np.allclose(along, [0, 0, 0.5, 0.5, 1], atol=1e-4)
    assert np.allclose(down, [0, 2 / 3, 2 / 3, 1, 1], atol=1e-4)


def test_a_difference_beyond_its_interval_has_a_colour_and_is_filled() -> None:
    rows = {"loss": (-0.2, -0.3, -0.1), "gain": (0.2, 0.1, 0.3), "neither": (0.1, -0.1, 0.3)}
    told = {
        name: plots.differences([(name, *values)], "u", "").svg for name, values in rows.items()
    }
    colours = {"loss": svg.VERMILION, "gain": svg.GREEN, "neither": svg.QUIET}
    for name, drawing in told.items():
        assert [c for c in colours.values() if c in drawing] == [colours[name]]
        inside = "#ffffff" if name == "neither" else colours[name]
        assert f"fill: {inside}; stroke: {colours[name]}" in drawing


def test_the_first_difference_is_on_top() -> None:
    figure = plots.differences([("a", 0, -1, 1), ("b", 0, -1, 1)], "u", "")
    height = {
        "".join(one.itertext()): float(one.get("y", "nan"))
        for one in drawn(figure).iter()
        if one.tag.endswith("}text")
    }
    assert height["a"] < height["b"]


@pytest.mark.parametrize("largest", [0.01, 0.3, 40.0])
def test_an_axis_has_room_for_small_and_large(largest: float) -> None:
    rows = [("small", 0.01, 0.05, svg.BLUE), ("large", largest, 0.05, svg.BLUE)]
    told = words(plots.bars(rows, LIMITS, "PSI", ""))
    assert {"0.1", "0.25"} <= set(told)
    assert ("30" in told) == (largest > 30)


def test_a_line_without_a_number_leaves_a_gap() -> None:
    times = [NOON + timedelta(hours=n) for n in range(3)]
    for values, marks in (([0.1, 0.2, 0.3], 3), ([0.1, np.nan, 0.3], 2)):
        figure = plots.lines({"cry": np.array(values)}, times, LIMITS, "PSI", "")
        assert count(figure, svg.BLUE) == marks + 1  # the legend's


def test_a_histogram_shows_shares() -> None:
    few, many = np.array([1, 3]), np.array([100, 300])
    panels = {"cry": ([0.5], {"reference": few, "live": many})}
    figure = plots.histograms(panels, "")
    tops = [
        min(float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", one.get("d", "")))
        for colour in (svg.QUIET, svg.BLUE)
        for one in drawn(figure).iter()
        if f"fill: {colour}" in one.get("style", "") and "clip-path" in one.attrib
    ]
    assert tops[:2] == tops[2:]
    assert {"reference", "live", "0.5"} <= set(words(figure))
