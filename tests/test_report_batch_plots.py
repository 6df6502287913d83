"""The plots of a run's page: what stands out, and what is told to who can't see them."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from batch_page import Read, bins
from batch_parts import a_plan

from triage.batch.figures import Found, Pace
from triage.policy.loading import load_policy
from triage.report import batch_plots
from triage.report.batch import PANELS, Told, page
from triage.settings import Settings


def drawn_of(found: Found) -> str:
    """The page of a run that took no time: what it draws is scores alone."""
    policy, pace = load_policy(Settings().policy), Pace(0.0, Counter(), 0, [], Counter())
    return page(Told(a_plan(), policy, found, pace, False))


def test_the_names_with_the_highest_scores_are_drawn() -> None:
    names = [f"sound{n}" for n in range(PANELS + 3)]
    scores = {one: bins(_0=99 - 5 * n, _25=n) for n, one in enumerate(names)}
    (alt,) = Read(drawn_of(Found(scores=scores))).figures
    assert alt == f"Distributions of the scores of {', '.join(names[3:])}."


@pytest.mark.parametrize(
    ("bin", "threshold", "over"),
    [(24, 0.5, False), (25, 0.5, True), (49, None, False), (0, 0.0, True), (29, 0.58, True)],
)
def test_what_is_over_the_threshold_stands_out(
    bin: int, threshold: float | None, over: bool
) -> None:
    counts = bins(**{f"_{bin}": 7})
    drawn = batch_plots.scores({"x": (counts, threshold)}, "").svg
    tall = [d for d, colour in shapes(drawn) if colour == ("#d55e00" if over else "#9aa5b1")]
    assert len(tall) == 1
    assert is_tall(tall[0])
    assert not any(is_tall(d) for d, c in shapes(drawn) if d not in tall)


def shapes(svg: str) -> list[tuple[str, str]]:
    """The outline of each coloured shape and its colour."""
    return [
        (outline, colour)
        for outline, colour in re.findall(r'<path d="([^"]*)"[^>]*style="fill: (#\w+)', svg)
        if colour in ("#d55e00", "#9aa5b1")
    ]


def is_tall(outline: str) -> bool:
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", outline)]
    return len(set(heights)) > 1


@pytest.mark.parametrize("flagged", [0, 7])
def test_a_category_that_only_the_model_knows_stands_out_as_a_sound_does_not(flagged: int) -> None:
    found = Found(
        scores={"novel": bins(_49=7)}, categories=Counter({"novel": flagged} if flagged else {})
    )
    tall = [colour for outline, colour in shapes(drawn_of(found)) if is_tall(outline)]
    assert tall == ["#d55e00" if flagged else "#9aa5b1"]


@pytest.mark.parametrize("rows", [[("read", 0.0)], [("read", 1.0), ("encode", 3.0)]])
def test_stages_are_told_by_their_share(rows: list[tuple[str, float]]) -> None:
    figure = batch_plots.stages(rows, "")
    assert ("encode 75%" in figure.alt) == (len(rows) == 2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("points", [[(1, 0.0, 0.0), (2, 0.0, 0.0)], [(1, 1.0, 9.0), (2, 9.0, 1.0)]])
def test_any_course_is_drawn(points: list[batch_plots.Point]) -> None:
    assert "Over 2 recordings" in batch_plots.course(points, "").alt
