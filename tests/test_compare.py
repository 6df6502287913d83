"""Champion against challenger: the same rows for both, none that either has seen, kept whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from triage.artefact import SEEN, seen_to_bytes
from triage.errors import ArtefactRefused, LabelsRefused, TooLarge
from triage.labels.rows import Labelled, row_digest
from triage.manifest import read_manifest
from triage.measure import compare as comparing
from triage.measure import latency
from triage.measure.compare import compare
from triage.measure.comparison import FOLDER, Comparison, store, stored
from triage.measure.evaluate import ANY
from triage.measure.gate import findings
from triage.policy.loading import load_policy
from triage.policy.model import Policy
from triage.records import Recording, Scores
from triage.settings import Settings
from triage.weights import sha256

MANIFEST = read_manifest(Settings().model).model_copy(
    update={"categories": ("violence", "distress"), "strengths": {}}
)
CRITICAL = ("violence", "distress")
Score = Callable[[Recording], Mapping[str, float]]


@pytest.fixture(autouse=True)
def _loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models here have no files to load."""
    monkeypatch.setattr(latency, "loading", lambda folder: 1.0)


class Model:
    """Scores by a function of the recording; everything around it is real."""

    def __init__(self, folder: Path, name: str, score: Score, known: Sequence[int] = ()) -> None:
        folder.mkdir()
        (folder / SEEN).write_bytes(seen_to_bytes(known))
        files = {SEEN: sha256(folder / SEEN)}
        manifest = MANIFEST.model_copy(update={"name": name, "files": files})
        (folder / "manifest.json").write_text(manifest.model_dump_json())
        self.artefact = SimpleNamespace(folder=folder, manifest=manifest)
        self.policy: Policy = load_policy(Settings().policy)
        self._score = score

    def score(self, recording: Recording) -> Scores:
        if recording.id == "long":
            raise TooLarge("It is too long.", limit=1)
        return Scores(
            model=self.artefact.manifest.name,
            categories=dict(self._score(recording)),
            applied={},
            measurements={"words": 5.0},
        )


def rows(count: int = 80) -> list[Labelled]:
    """Every fourth is violence, every other distress; each a group of its own."""
    row = Labelled("", "s", "MIT", "", "val", {}, {})
    return [
        replace(
            row,
            id=f"r{n}",
            group=f"r{n}",
            text="word " * (n % 7 + 1),
            labels={"violence": int(n % 4 == 0), "distress": int(n % 2 == 0)},
        )
        for n in range(count)
    ]


def good(recording: Recording) -> Mapping[str, float]:
    number = int(recording.id[1:]) if recording.id[1:].isdigit() else 1
    noise = (number * 37 % 100) / 250
    return {
        "violence": 0.5 * (number % 4 == 0) + noise,
        "distress": 0.5 * (number % 2 == 0) + noise,
    }


def bad(recording: Recording) -> Mapping[str, float]:
    return good(recording) | {"violence": 0.9 - good(recording)["violence"]}


def loud(recording: Recording) -> Mapping[str, float]:
    return {name: score + 0.1 for name, score in good(recording).items()}


def compared(
    tmp_path: Path,
    challenger: Score,
    labelled: Sequence[Labelled] | None = None,
    known: Sequence[int] = (),
) -> Comparison:
    one = Model(tmp_path / "one", "one-1", good)
    two = Model(tmp_path / "two", "two-1", challenger, known)
    told: Any = {"prevalence": 0.01, "workers": 1, "repeats": 100, "report": lambda *_: None}
    return compare(one, two, rows() if labelled is None else labelled, **told)  # type: ignore[arg-type]


def test_an_equal_model_differs_by_nothing_and_may_be_promoted(tmp_path: Path) -> None:
    found = compared(tmp_path, good)
    assert (found.rows, found.left_out, found.failed) == (80, 0, {})
    assert [one.name for one in found.compared] == ["violence", "distress"]
    for one in found.compared:
        assert all(difference.value == 0 for difference in one.differences.values())
    assert [one for one in findings(found, CRITICAL) if one.blocks] == []


def test_a_damaged_model_is_told_by_what_it_lost(tmp_path: Path) -> None:
    found = compared(tmp_path, bad)
    violence, distress = found.compared
    assert violence.differences["auprc"].lower
    assert violence.threshold == pytest.approx(0.45)
    assert violence.ppv is not None
    assert violence.ppv[0] > violence.ppv[1]
    assert distress.differences["auprc"].value == 0
    assert {one.about for one in findings(found, CRITICAL) if one.blocks} == {"violence"}
    assert {one.category for one in found.slices if one.auprc.lower} == {"violence", ANY}


def test_rows_that_either_model_was_fitted_on_are_left_out(tmp_path: Path) -> None:
    known = [row_digest(row) for row in rows()[:30]]
    found = compared(tmp_path, good, known=known)
    assert (found.rows, found.left_out) == (50, 30)


def test_nothing_left_to_compare_on_is_told_with_numbers(tmp_path: Path) -> None:
    known = [row_digest(row) for row in rows()]
    with pytest.raises(LabelsRefused, match="Of 80 rows 80 were fitted on"):
        compared(tmp_path, good, known=known)


def test_what_cannot_be_scored_is_counted_once(tmp_path: Path) -> None:
    long = replace(rows()[0], id="long", group="long")
    found = compared(tmp_path, good, [*rows(), long])
    assert (found.rows, found.failed) == (80, {"too-large": 1})
    assert (found.champion.failed, found.challenger.failed) == (1, 0)


def test_what_only_the_challenger_cannot_score_is_held_against_it(tmp_path: Path) -> None:
    def refuses(recording: Recording) -> Mapping[str, float]:
        if recording.id in {"r3", "r9"}:
            raise TooLarge("It is too long.", limit=1)
        return good(recording)

    found = compared(tmp_path, refuses)
    assert (found.rows, found.failed) == (78, {"too-large": 2})
    assert (found.champion.failed, found.challenger.failed) == (0, 2)
    assert [one.about for one in findings(found, CRITICAL) if one.blocks] == ["scoring"]


def test_curves_end_where_every_case_is_found(tmp_path: Path) -> None:
    violence = compared(tmp_path, bad).compared[0]
    for curve in violence.curves:
        assert curve.recall[-1] == 1
        assert list(curve.recall) == sorted(curve.recall)
        assert sum(one.count for one in curve.reliability) == 80
    assert violence.curves[0].precision[-1] > violence.curves[1].precision[-1]


def test_ppv_is_that_of_bayes(tmp_path: Path) -> None:
    violence = compared(tmp_path, loud).compared[0]
    recall = violence.differences["recall"].challenger
    alarms = violence.differences["false alarms"].challenger
    assert alarms > 0
    assert violence.ppv is not None
    assert violence.ppv[1] == pytest.approx(recall * 0.01 / (recall * 0.01 + alarms * 0.99))


def test_a_model_that_flags_nothing_has_no_ppv_and_is_kept_all_the_same(tmp_path: Path) -> None:
    found = compared(tmp_path, lambda recording: {"violence": 0.1, "distress": 0.1})
    assert found.compared[0].ppv is not None
    assert found.compared[0].ppv[1] is None
    store(found, tmp_path / "state")
    assert stored(tmp_path / "state", found.champion.digest, found.challenger.digest) == found


def test_rows_are_the_same_whether_they_come_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "chunks").mkdir()
    long = replace(rows()[0], id="long", group="long")
    labelled = [*rows()[:40], long, *rows()[40:]]
    whole = compared(tmp_path / "whole", bad, labelled)
    monkeypatch.setattr(comparing, "CHUNK", 7)
    chunks = compared(tmp_path / "chunks", bad, labelled)
    for name in ("rows", "left_out", "failed", "data", "compared", "slices", "thin"):
        assert getattr(chunks, name) == getattr(whole, name)


def test_progress_never_goes_back_and_ends_at_all(tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    one, two = (Model(tmp_path / name, f"{name}-1", good) for name in ("one", "two"))
    compare(
        one,  # type: ignore[arg-type]
        two,  # type: ignore[arg-type]
        rows(),
        prevalence=0.01,
        workers=1,
        repeats=5,
        report=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    assert set(told) == {"scoring", "measuring", "timing"}
    for steps in told.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


def test_a_name_that_only_one_model_scores_is_told_and_not_measured(tmp_path: Path) -> None:
    one, two = (Model(tmp_path / name, f"{name}-1", good) for name in ("one", "two"))
    two.artefact.manifest = two.artefact.manifest.model_copy(update={"categories": ("violence",)})
    found = compare(
        one,  # type: ignore[arg-type]
        two,  # type: ignore[arg-type]
        rows(),
        prevalence=0.01,
        workers=1,
        repeats=20,
        report=lambda *_: None,
    )
    assert (found.champion.alone, found.challenger.alone) == (("distress",), ())
    assert [one.name for one in found.compared] == ["violence"]
    first = findings(found, CRITICAL)[0]
    assert (first.about, first.blocks) == ("distress", True)


def test_parts_that_are_too_small_are_counted(tmp_path: Path) -> None:
    few = [replace(row, source="rare") for row in rows()[:9]]
    found = compared(tmp_path, good, [*few, *rows()[9:]])
    assert found.thin["source: rare"] == 9
    assert "rare" not in {one.slice for one in found.slices}


def test_no_false_alarm_in_few_rows_is_no_promise_of_none(tmp_path: Path) -> None:
    found = compared(
        tmp_path, lambda one: {"violence": float(good(one)["violence"] > 0.45), "distress": 0.0}
    )
    violence = found.compared[0]
    assert violence.differences["false alarms"].challenger == 0
    recall = violence.differences["recall"].challenger
    assert violence.ppv is not None
    assert violence.ppv[1] == pytest.approx(recall * 0.01 / (recall * 0.01 + 1 / 60 * 0.99))


def test_ppv_at_one_percent_takes_the_recall_there_and_at_least_one_alarm(tmp_path: Path) -> None:
    violence = compared(tmp_path, good).compared[0]
    recall = violence.differences["recall at 1 % false alarms"].champion
    assert violence.ppv_at_1pct_fpr is not None
    assert violence.ppv_at_1pct_fpr[0] == pytest.approx(
        recall * 0.01 / (recall * 0.01 + 1 / 60 * 0.99)
    )


# Kept ---------------------------------------------------------------------------------------


def test_a_comparison_is_kept_and_found_by_its_models(tmp_path: Path) -> None:
    found = compared(tmp_path, bad)
    state = tmp_path / "state"
    assert stored(state, found.champion.digest, found.challenger.digest) is None
    store(found, state)
    again = stored(state, found.champion.digest, found.challenger.digest)
    assert again == found
    assert again is not None
    assert again.digest == found.digest
    assert stored(state, found.challenger.digest, found.champion.digest) is None


@pytest.mark.parametrize("content", ["{}", "no JSON", '{"format": 2}'])
def test_one_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    found = compared(tmp_path, good)
    file = store(found, tmp_path / "state")
    assert file.parent.name == FOLDER
    file.write_text(content)
    with pytest.raises(ArtefactRefused, match="Compare again"):
        stored(tmp_path / "state", found.champion.digest, found.challenger.digest)
