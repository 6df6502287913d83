"""The page of a freshly trained model: what to mind first, then figures, promises, sources."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from triage.manifest import Guarantee, Manifest, Parent
from triage.report.training import training_page

ESTIMATE = {"value": 0.8, "low": 0.7004, "high": 0.9}
BIN = {"mean": 0.1, "share": 0.1, "low": 0.05, "high": 0.2, "count": 100}
PROMISE = {"miss": 0.05, "confidence": 0.95, "needed": 59}


def row(name: str, positives: int = 1_234, **other: Any) -> dict[str, Any]:
    estimates = dict.fromkeys(("auprc", "auroc", "recall_at_1pct_fpr", "ece"), ESTIMATE)
    return {"name": name, "positives": positives, "negatives": 9, **estimates, **other}


@pytest.fixture
def manifest(fake_triage: Any) -> Manifest:
    found: Manifest = fake_triage.artefact.manifest
    return found


def words(manifest: Manifest, **changes: Any) -> str:
    """What is to be read outside of the plots."""
    html = training_page(manifest.model_copy(update=changes))
    plain = re.sub(r"<(svg|style).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", plain)))


def test_in_its_order(manifest: Manifest) -> None:
    read = words(
        manifest,
        metrics={"text, val": [row("violence")], "sound, val": [row("scream")]},
        guarantees={"violence": Guarantee(threshold=0.5, cases=80, flagged=0.1, **PROMISE)},
        parent=Parent(name="triage-old", digest="a" * 64),
    )
    order = [
        "triage-fake",
        manifest.created,
        "Nothing stands out",
        "triage-old (aaaaaaaaaaaaaaaa)",
        "violence, distress",
        "violence 1,234 9 0.800 (0.70 to 0.90)",
        "scream 1,234 9 0.800 (0.70 to 0.90)",
        "at most 5 % of the cases are missed, with 95 % confidence",
        "violence 0.500000 10.0 % 80",
        "text s MIT 1 1",
        "seed 0",
    ]
    places = [read.find(one) for one in order]
    assert -1 not in places
    assert places == sorted(places)


def test_a_model_of_data_alone_says_so(manifest: Manifest) -> None:
    assert "Made from data alone" in words(manifest)


def test_a_calibration_error_has_the_decimals_that_it_needs(manifest: Manifest) -> None:
    assert "0.800 (0.700 to 0.900)" in words(manifest, metrics={"text": [row("violence")]})


def test_what_could_not_be_measured_is_an_empty_cell(manifest: Manifest) -> None:
    nothing = dict.fromkeys(("auprc", "auroc", "recall_at_1pct_fpr", "ece"))
    read = words(manifest, metrics={"text": [row("violence", 0, **nothing)]})
    assert "violence 0 9 – – – –" in read  # noqa: RUF001 - empty cells


def test_a_shown_threshold_keeps_its_promise(manifest: Manifest) -> None:
    one = Guarantee(threshold=0.0000749999, cases=80, flagged=None, **PROMISE)
    assert "violence 0.000074 –" in words(manifest, guarantees={"violence": one})  # noqa: RUF001


def test_what_is_to_be_minded_comes_first(manifest: Manifest) -> None:
    read = words(
        manifest,
        metrics={"sound, val": [row("scream", 9), row("cry", 10)]},
        guarantees={"violence": Guarantee(threshold=None, cases=4, flagged=None, **PROMISE)},
        training={"too_few_labels": ["alarm"], "bad_rows": 1_200, "conflicts": 0},
    )
    order = [
        "To be minded",
        "Too few labels to be fitted: alarm.",
        "Too few cases for a promise: violence.",
        "Measured on fewer than 10 positives (sound, val): scream.",
        "Rows that couldn't be used: 1,200.",
        "Made from",
        "55 more cases are needed",
    ]
    places = [read.find(one) for one in order]
    assert -1 not in places
    assert places == sorted(places)
    assert "contradicted" not in read


@pytest.mark.parametrize(
    ("rows", "plots"),
    [
        ([row("violence", reliability=[BIN]), row("distress", reliability=[BIN])], 1),
        ([row("violence", reliability=[BIN]), row("distress")], 1),
        ([row("violence", reliability=[])], 0),
        ([row("violence", 0, reliability=[BIN])], 0),
        ([row("violence")], 0),
    ],
)
def test_a_diagram_is_there_where_there_are_bins(
    manifest: Manifest, rows: list[dict[str, Any]], plots: int
) -> None:
    html = training_page(manifest.model_copy(update={"metrics": {"text": rows}}))
    assert html.count("<svg") == plots
    wanted = {one["name"] for one in rows if one.get("reliability") and one["positives"]}
    shown = set(re.findall(r">(violence|distress)</text>", html))
    assert shown == wanted


def test_the_same_model_gives_the_same_page(manifest: Manifest) -> None:
    metrics = {"text": [row("violence", reliability=[BIN])]}
    one = manifest.model_copy(update={"metrics": metrics})
    assert training_page(one) == training_page(one)
