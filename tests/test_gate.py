"""What blocks a promotion, what is only worth a warning, and what is neither."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from triage.measure.comparison import FORMAT, Compared, Comparison, Curve, Side, Sliced
from triage.measure.counterfactual import Moved
from triage.measure.gate import LEAST_POSITIVES, Finding, findings
from triage.measure.latency import Latency
from triage.measure.paired import Difference

CRITICAL = ("distress", "violence")


def differs(one: float, two: float, chance: float, spread: float = 0.1) -> Difference:
    """A difference that chance explains as often as that."""
    return Difference(
        champion=one,
        challenger=two,
        low=two - one - spread,
        high=two - one + spread,
        not_lower=chance if two < one else 1 - chance,
        not_higher=chance if two > one else 1 - chance,
    )


SAME = differs(0.8, 0.8, 0.5)
LOST = differs(0.8, 0.6, 0.0)
PERHAPS = differs(0.8, 0.6, 0.1, spread=0.3)
GAINED = differs(0.6, 0.8, 0.0)
MEASURES = ("auprc", "recall at 1 % false alarms", "recall", "false alarms", "calibration error")
CURVE = Curve(recall=(), precision=(), reliability=())


def one(name: str, positives: int = 50, **changed: Difference) -> Compared:
    differences = dict.fromkeys(MEASURES, SAME) | {
        key.replace("_", " "): value for key, value in changed.items()
    }
    return Compared(
        kind="category",
        name=name,
        positives=positives,
        negatives=1000,
        groups=positives,
        threshold=0.3,
        differences=differences,
        ppv=(0.1, 0.1),
        ppv_at_1pct_fpr=(0.1, 0.1),
        curves=(CURVE, CURVE),
    )


def side(**changed: Any) -> Side:
    told: dict[str, Any] = {
        "name": "m",
        "digest": "0" * 64,
        "bytes": 20_000_000,
        "alone": (),
        "failed": 0,
        "moved": (),
        "latency": Latency(load=200.0, text=2.0, text_p95=3.0, audio=80.0, audio_p95=90.0),
    }
    return Side(**(told | changed))


def judged(*compared: Compared, **changed: Any) -> tuple[Finding, ...]:
    told: dict[str, Any] = {
        "format": FORMAT,
        "champion": side(),
        "challenger": side(),
        "policy": "p",
        "data": "d",
        "rows": 1000,
        "left_out": 0,
        "failed": {},
        "prevalence": 0.001,
        "compared": compared or (one("distress"), one("violence"), one("hate")),
        "slices": (),
        "thin": {},
    }
    return findings(Comparison(**(told | changed)), CRITICAL)


def blocking(found: Iterable[Finding]) -> list[str]:
    return [each.about for each in found if each.blocks]


def test_an_equal_model_has_nothing_against_it() -> None:
    assert judged() == ()


@pytest.mark.parametrize("measure", ["auprc", "recall", "recall at 1 % false alarms"])
def test_a_loss_of_a_critical_category_blocks(measure: str) -> None:
    (found,) = judged(one("distress", **{measure: LOST}), one("violence"))
    assert found.blocks
    assert str(found).startswith("distress: ")
    assert "from 0.800 to 0.600" in found.message
    assert "-0.300 to -0.100" in found.message


def test_a_loss_within_the_interval_and_a_gain_are_none() -> None:
    assert judged(one("distress", recall=PERHAPS, auprc=GAINED), one("violence")) == ()


def test_the_more_critical_categories_there_are_the_surer_a_loss_must_be() -> None:
    lost = differs(0.8, 0.6, 0.02)
    assert blocking(judged(one("distress", recall=lost))) == ["distress"]
    assert blocking(judged(one("distress", recall=lost), one("violence"))) == []


def test_a_loss_of_another_category_is_a_warning() -> None:
    found = judged(one("distress"), one("violence"), one("hate", auprc=LOST))
    assert [(each.about, each.blocks) for each in found] == [("hate", False)]


@pytest.mark.parametrize(
    ("chance", "value", "blocks"),
    [(0.0, 0.004, False), (0.0, 0.006, True), (0.1, 0.01, False)],
)
def test_calibration_blocks_where_it_is_worse_beyond_the_interval_and_by_enough(
    chance: float, value: float, blocks: bool
) -> None:
    error = differs(0.01, 0.01 + value, chance)
    found = judged(one("distress", calibration_error=error), one("violence"))
    assert blocking(found) == (["distress"] if blocks else [])


@pytest.mark.parametrize(
    ("more", "chance", "blocks"),
    [(0.005, 0.0, None), (0.02, 0.0, False), (0.06, 0.0, True), (0.06, 0.1, None)],
)
def test_a_flood_of_false_alarms_blocks_and_some_more_are_told(
    more: float, chance: float, blocks: bool | None
) -> None:
    alarms = differs(0.002, 0.002 + more, chance)
    found = judged(one("distress"), one("violence"), one("hate", false_alarms=alarms))
    assert [(each.about, each.blocks) for each in found] == (
        [] if blocks is None else [("hate", blocks)]
    )


def test_a_critical_category_that_is_gone_blocks() -> None:
    found = judged(champion=side(alone=("violence", "music")))
    assert [(each.about, each.blocks) for each in found] == [("violence", True), ("music", False)]


def test_with_no_critical_category_measured_nothing_is_promoted() -> None:
    thin = LEAST_POSITIVES - 1
    found = judged(one("distress", thin), one("violence", thin), one("hate"))
    assert blocking(found) == ["labels"]
    assert blocking(judged(one("hate"))) == ["labels"]


def test_a_category_with_too_few_positives_is_told_and_not_judged() -> None:
    found = judged(one("distress", LEAST_POSITIVES - 1, recall=LOST), one("violence"))
    assert [(each.about, each.blocks) for each in found] == [("labels", False)]
    assert "distress 9" in found[0].message


def test_a_category_of_few_groups_is_judged_and_the_groups_are_told() -> None:
    few = one("distress", 50, recall=LOST).model_copy(update={"groups": 3})
    found = judged(few, one("violence"))
    assert [(each.about, each.blocks) for each in found] == [
        ("distress", True),
        ("distress", False),
    ]
    assert "50 positives are of 3 groups" in found[1].message


def test_rows_that_only_the_challenger_cannot_score_block() -> None:
    (found,) = judged(challenger=side(failed=2), champion=side(failed=5))
    assert (found.about, found.blocks) == ("scoring", True)
    assert "2 of 1,002 rows" in found.message


def test_what_blocks_comes_first() -> None:
    found = judged(one("hate", auprc=LOST), one("violence", recall=LOST), one("distress"))
    assert [each.blocks for each in found] == [True, False]


def test_names_that_decide_where_they_did_not_before_are_told() -> None:
    def names(flips: float) -> Side:
        told = {"mean": 0.1, "largest": 0.2, "mean_log_odds": 0.5, "largest_log_odds": 1.0}
        told |= {"sentence": "{}", "lowest": "a", "highest": "b"}
        return side(moved=(Moved(kind="name", category="hate", flips=flips, **told),))

    (found,) = judged(champion=names(0.1), challenger=names(0.2))
    assert (found.about, found.blocks) == ("hate", False)
    assert judged(champion=names(0.2), challenger=names(0.2)) == ()


def test_slices_speed_and_size_are_warnings() -> None:
    part = Sliced(
        kind="source", slice="s", category="violence", positives=20, negatives=20, auprc=LOST
    )
    slow = Latency(load=200.0, text=3.1, text_p95=3.2, audio=80.0, audio_p95=90.0)
    found = judged(slices=(part,), challenger=side(latency=slow, bytes=31_000_000))
    assert [each.about for each in found] == ["source, s", "latency", "size"]
    assert blocking(found) == []
