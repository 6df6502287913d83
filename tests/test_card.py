"""The card: it says what the manifest says, and of the licences what a sceptic has to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from triage.card import model_card
from triage.manifest import FORMAT, Manifest, read_manifest

ESTIMATE = {"value": 0.91234, "low": 0.8, "high": 0.9999}


def row(**changes: Any) -> dict[str, Any]:
    figures = dict.fromkeys(("auprc", "auroc", "recall_at_1pct_fpr", "ece"), ESTIMATE)
    return {"name": "hate", "positives": 12, "negatives": 345, **figures, **changes}


def manifest(**changes: Any) -> Manifest:
    encoder = {"name": "whisper-tiny.en", "width": 384, "licence": "MIT", "files": {}}
    return Manifest.model_validate(
        {
            "format": FORMAT,
            "name": "triage-1.0",
            "created": "2026-01-01T00:00:00+00:00",
            "code": "0.1.0",
            "files": {},
            "encoders": {"speech": encoder, "text": {**encoder, "name": "MiniLM"}},
            "categories": ["hate"],
            "events": ["siren"],
            "event_thresholds": {},
            "strengths": {},
            "lineage": sources("MIT", "CC-BY-4.0"),
            "training": {"too_few_labels": ["alarm", "illicit"]},
            "metrics": {"text, val": [row()]},
            **changes,
        }
    )


def sources(*licences: str) -> list[dict[str, Any]]:
    return [
        {"kind": "text", "source": f"source{n}", "licence": licence, "train": n, "val": 100 + n}
        for n, licence in enumerate(licences)
    ]


def line(card: str, *, starting: str) -> str:
    (found,) = [one for one in card.split("\n") if one.startswith(starting)]
    return found


def test_the_card_names_the_model_and_its_encoders() -> None:
    card = model_card(manifest())
    assert card.startswith("# triage-1.0\n")
    digest = manifest().digest[:16]
    assert f"Made 2026-01-01T00:00:00+00:00 by Triage 0.1.0, format {FORMAT}" in card
    assert f"digest `{digest}`. Made from nothing but data." in card
    assert "| speech | whisper-tiny.en | 384 | MIT |" in card
    assert "| text | MiniLM | 384 | MIT |" in card


def test_the_card_names_the_model_that_it_was_made_from() -> None:
    card = model_card(manifest(parent={"name": "triage-0.9", "digest": "ab" * 32}))
    assert "Made from triage-0.9 (`abababababababab`) and the data below." in card


def test_promises_are_told_and_what_they_lack() -> None:
    told = {"miss": 0.05, "confidence": 0.95, "needed": 59}
    promises = {
        "hate": told | {"threshold": 0.01234, "cases": 80, "flagged": 0.021},
        "distress": told | {"threshold": None, "cases": 12, "flagged": None},
    }
    card = model_card(manifest(guarantees=promises))
    assert "at most 5% of the cases, with 95% confidence" in card
    assert "| hate | 0.0123 | 2.1% | 80 |" in card
    assert "| distress | too few cases, 47 more are needed |  | 12 |" in card
    assert "Nothing about misses." in model_card(manifest())


def test_figures_are_told_with_their_intervals_and_counts() -> None:
    card = model_card(manifest(metrics={"text, val": [row(ece=None)], "sound, val": []}))
    told = line(card, starting="| hate")
    interval = "0.912 (0.800–1.000)"  # noqa: RUF001
    assert told == f"| hate | 12 | 345 | {interval} | {interval} | {interval} | – |"  # noqa: RUF001
    assert card.index("### text, val") < card.index("### sound, val")


def test_every_source_is_named_with_its_licence_and_size() -> None:
    card = model_card(manifest(lineage=sources("MIT", "CC-BY-NC-4.0")))
    assert "| text | source0 | MIT | 0 | 100 |" in card
    assert "| text | source1 | CC-BY-NC-4.0 | 1 | 101 |" in card


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    cells: list[int] = []
    for one in model_card(manifest()).split("\n"):
        if not one.startswith("|"):
            cells = []
            continue
        cells.append(one.count("|"))
        assert len(set(cells)) == 1


@pytest.mark.parametrize(
    ("training", "told"),
    [({"too_few_labels": ["alarm", "illicit"]}, "alarm, illicit."), ({}, "none.")],
)
def test_what_is_not_scored_is_told(training: dict[str, Any], told: str) -> None:
    assert f"so not scored: {told}\n" in model_card(manifest(training=training))


@pytest.mark.parametrize(
    "licence", ["CC-BY-NC-4.0", "CC BY-NC-SA 3.0", "cc-by-nc", "NC", "unknown", "Unknown"]
)
def test_a_source_that_is_not_for_commerce_is_named(licence: str) -> None:
    card = model_card(manifest(lineage=sources("MIT", licence, "CC0-1.0", licence)))
    assert "without counsel: source1, source3." in card


@pytest.mark.parametrize(
    "licence", ["Non-commercial research only", "CC_BY_NC", "CC-BY-NC/ODbL-1.0", "(unknown)", ""]
)
def test_other_ways_to_write_it_are_known(licence: str) -> None:
    assert "without counsel: source0." in model_card(manifest(lineage=sources(licence)))


@pytest.mark.parametrize(
    "licence", ["MIT", "CC-BY-SA-4.0", "CC-BY-3.0/CC0", "GPL-3.0", "ODbL-1.0", "public-domain"]
)
def test_a_source_for_everybody_is_not_accused(licence: str) -> None:
    card = model_card(manifest(lineage=sources(licence)))
    assert "No source bars commercial use or leaves its licence unstated." in card
    assert "counsel" not in card


def test_a_card_says_where_a_model_must_not_be_used() -> None:
    card = model_card(manifest())
    for heading in ("How good it is", "What it is bad at", "Where it must not be used"):
        assert f"## {heading}" in card
    assert "without a person's look" in card
    assert card.endswith(".\n")


@pytest.mark.models
def test_the_model_that_ships_has_the_card_of_its_manifest(model: Path) -> None:
    card = model / "README.md"
    assert card.read_text() == model_card(read_manifest(model))


def test_what_the_figures_say_against_it_is_told() -> None:
    low = ESTIMATE | {"value": 0.25}
    rows = [
        row(name="hate", positives=400, recall_at_1pct_fpr=low),
        row(name="distress", positives=400),
        row(name="violence", positives=3, recall_at_1pct_fpr=low),
    ]
    card = model_card(manifest(metrics={"text, val": rows}))
    assert line(card, starting="- Finds fewer").endswith("alarms of: hate (0.25).")
    assert line(card, starting="- Hardly measured").endswith("cases: violence (3).")
    assert "- Finds fewer" not in model_card(manifest(metrics={"text, val": rows[1:2]}))


def test_how_private_what_is_private_stays_is_told() -> None:
    training = {"accidental": {"withheld": 0.91, "wrongly": 0.013}}
    card = model_card(manifest(training=training, accidental_below=0.2))
    told = line(card, starting="Words are flagged `likely_accidental`")
    assert "under 0.200" in told
    assert "91.0% of what people said among themselves" in told
    assert "1.3% of what they said to the device" in told
    assert "likely_accidental" not in model_card(manifest())
