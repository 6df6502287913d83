"""Evaluation: the right scores against the right labels, unknown left unknown, failures counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from triage.errors import DamagedAudio, LabelsRefused
from triage.labels.rows import Labelled
from triage.measure.evaluate import ANY, Evaluation, evaluate
from triage.metrics import average_precision
from triage.records import Recording, Scores

CATEGORIES = ("distress", "hate")
EVENTS = ("scream", "speech")


class Reader:
    """Scores a row by what its text says: "distress=0.9 scream=0.2"; anything unnamed gets 0."""

    def __init__(self) -> None:
        self.seen: list[Recording] = []

    def score(self, recording: Recording) -> Scores:
        self.seen.append(recording)
        said = recording.transcript or (recording.audio.name if recording.audio else "")  # type: ignore[union-attr]
        if "damaged" in said:
            raise DamagedAudio("It is.")
        found = {k: float(v) for k, v in (part.split("=") for part in said.split() if "=" in part)}
        return Scores(
            model="reader-1",
            categories={name: found.get(name, 0.0) for name in CATEGORIES},
            applied={},
            event_scores={name: found.get(name, 0.0) for name in EVENTS if recording.audio},
            failures={"text": "ValueError"} if "failing" in said else {},
        )


def text(said: str, group: str = "", **labels: int) -> Labelled:
    return Labelled(said, "s", "CC0-1.0", group or said, "val", labels, {}, text=said)


def clip(heard: str, **events: int) -> Labelled:
    return Labelled(heard, "s", "CC0-1.0", heard, "val", {}, events, audio=Path(heard))


def evaluated(*rows: Labelled, reader: Reader | None = None) -> Evaluation:
    return evaluate(reader or Reader(), rows, workers=2, repeats=20, report=lambda *_: None)


def counts(found: Evaluation) -> Mapping[str, tuple[int, int]]:
    return {m.name: (m.positives, m.negatives) for m in (*found.categories, *found.events)}


def test_scores_meet_their_own_rows_labels() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.random(60), rng.random(60) < 0.4
    rows = [text(f"distress={s}", distress=int(y)) for s, y in zip(scores, labels, strict=True)]
    (distress, _) = evaluated(*rows).categories
    assert distress.auprc is not None
    expected = average_precision(labels, scores.astype(np.float32))
    assert distress.auprc.value == pytest.approx(float(expected))


def test_unknown_is_not_zero() -> None:
    found = evaluated(
        text("distress=0.9", distress=1), text("hate=0.1", hate=0), text("distress=0.1", distress=0)
    )
    assert counts(found) == {"distress": (1, 1), "hate": (0, 1), ANY: (1, 2)}


def test_any_category_is_any_known_label_against_the_highest_score() -> None:
    found = evaluated(
        text("distress=0.2 hate=0.7", distress=0, hate=1),
        text("distress=0.6 hate=0.1", distress=0),
        text("distress=0.8", distress=1),
        text("distress=0.99", directed=1),
    )
    last = found.categories[-1]
    assert (last.name, last.positives, last.negatives) == (ANY, 2, 1)
    assert last.auroc is not None
    assert last.auroc.value == 1.0


def test_labels_that_the_model_does_not_know_are_told() -> None:
    assert evaluated(text("distress=0.9", distress=1, directed=0)).unknown == ("directed",)


def test_clips_give_events_only_and_are_not_transcribed() -> None:
    reader = Reader()
    found = evaluated(
        clip("scream=0.9", scream=1, speech=0), clip("scream=0.1", scream=0), reader=reader
    )
    assert counts(found) == {"scream": (1, 1), "speech": (0, 1)}
    assert [one.transcript for one in reader.seen] == ["", ""]


def test_words_of_a_clip_with_labelled_categories_are_transcribed() -> None:
    reader = Reader()
    row = Labelled("1", "s", "l", "g", "val", {"distress": 1}, {}, audio=Path("distress=0.4"))
    evaluated(row, reader=reader)
    assert [one.transcript for one in reader.seen] == [None]


def test_texts_without_sound_take_no_part_in_the_events() -> None:
    row = Labelled("1", "s", "l", "g", "val", {}, {"scream": 1}, text="scream=0.9")
    found = evaluated(row, clip("scream=0.1", scream=0))
    assert counts(found)["scream"] == (0, 1)


def test_rows_that_fail_are_counted_and_left_out() -> None:
    found = evaluated(
        text("damaged 1", distress=1),
        text("damaged 2", distress=1),
        text("failing distress=0.3", distress=1),
        text("distress=0.9", distress=1),
        text("distress=0.1", distress=0),
    )
    assert found.failed == {"damaged-audio": 2, "stage-failed": 1}
    assert found.rows == 5
    assert counts(found)["distress"] == (1, 1)


def test_nothing_scored_is_refused() -> None:
    with pytest.raises(LabelsRefused, match="damaged-audio"):
        evaluated(text("damaged", distress=1))
    with pytest.raises(LabelsRefused, match="0 rows"):
        evaluated()


def test_groups_are_drawn_whole() -> None:
    said = [(f"distress={n / 40}", int(n % 3 == 0)) for n in range(40)]
    alone = evaluated(*(text(s, distress=y) for s, y in said)).categories[0].auprc
    halves = [text(s, "even" if y else "odd", distress=y) for s, y in said]
    together = evaluated(*halves).categories[0].auprc
    assert alone is not None
    assert together is not None
    assert alone.value == together.value
    assert (alone.low, alone.high) != (together.low, together.high)


def test_json_holds_figures_and_no_row() -> None:
    found = evaluated(text("distress=0.9 marker=1", distress=1), text("distress=0.1", distress=0))
    written = json.dumps(found.as_json(), allow_nan=False)
    read = json.loads(written)
    assert "marker" not in written
    assert read["categories"][0]["auprc"].keys() == {"value", "low", "high"}
    assert (read["model"], read["rows"], read["repeats"]) == ("reader-1", 2, 20)


def test_progress_ends_at_the_last_row() -> None:
    told: list[tuple[str, int, int]] = []
    rows = [text(f"distress=0.{n}", distress=n % 2) for n in range(5)]
    evaluate(Reader(), rows, workers=2, repeats=5, report=lambda *args: told.append(args))
    assert told[:5] == [("scoring", n, 5) for n in range(1, 6)]
    assert told[5:] == [("measuring categories", n, 3) for n in (1, 2, 3)]
