"""A worker: entries in, scores without words out, each by itself and each content once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tenacity
from archives import put
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import LIMIT, SAID, Fake, kind, scored, size, task, worker

from triage.archive.entries import Distant, Unreadable
from triage.batch import work
from triage.batch.work import Readable, Scored, Task, Worker, died, without_words
from triage.errors import (
    ArtefactRefused,
    BadSetting,
    DamagedAudio,
    NothingToScore,
    TooLarge,
    UnsupportedAudio,
)
from triage.records import Recording, Scores
from triage.settings import Settings


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)


# One by one -------------------------------------------------------------------------------------

sounds = st.integers(0, 4).map(lambda n: b"sound" + b"x" * n)
words = st.none() | st.sampled_from(["", "hello", "good night", "\ud800"])
good = st.builds(Recording, st.text(max_size=3), st.none() | sounds, words) | st.builds(
    Distant,
    st.builds(Recording, st.text(max_size=3), transcript=words),
    st.sampled_from(["memory://w/5", "memory://w/6"]),
)
bad = (
    st.builds(Unreadable, st.text(max_size=3), st.just(DamagedAudio("It ends.")))
    | st.builds(Distant, st.builds(Recording, st.text(max_size=3)), st.just("memory://w/none"))
    | st.builds(Distant, st.builds(Recording, st.text(max_size=3)), st.just("memory://w/long"))
    | st.builds(
        Recording,
        st.text(max_size=3),
        st.sampled_from([b"", b"other", b"breaks", b"stage", b"nan", Path("/none/of/these.wav")]),
    )
)


@pytest.fixture(scope="module", autouse=True)
def _elsewhere() -> None:
    put("memory://w/5", b"sound")
    put("memory://w/6", b"soundx")
    put("memory://w/long", b"sound" * LIMIT)


def told(one: Scored) -> tuple[object, ...]:
    """All that there is to tell of it but which process it was, and whether it was known."""
    scores = one.scores
    if not isinstance(scores, Scores):
        return one.id, one.content, type(scores), str(scores)
    return one.id, one.content, repr(scores)


@settings(max_examples=40)
@given(st.lists(good | bad, max_size=10))
def test_each_gets_in_its_place_what_it_gets_alone(entries: list[Readable]) -> None:
    alone = [told(scored([one])[0]) for one in entries]
    assert [told(one) for one in scored(entries)] == alone


@settings(max_examples=20)
@given(st.lists(good | bad, max_size=10))
def test_what_is_kept_from_before_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Readable]
) -> None:
    file = tmp_path_factory.mktemp("known") / "scores.db"
    fresh = [told(one) for one in scored(entries)]
    assert [told(one) for one in scored(entries, known=file)] == fresh
    assert [told(one) for one in scored(entries, known=file)] == fresh


def test_nothing_comes_of_nothing() -> None:
    assert scored([]) == []


def test_ids_and_context_are_the_callers_and_need_not_differ() -> None:
    context = {"account": "a", "locale": "en"}
    entries: list[Readable] = [
        Recording("x", b"sound", context=context),
        Recording("x", None, "hello", context),
        Distant(Recording("y", context=context), "memory://w/5"),
        Distant(Recording("z", context=context), "memory://w/none"),
        Unreadable("u", DamagedAudio("It ends.")),
    ]
    found = scored(entries)
    assert [one.id for one in found] == ["x", "x", "y", "z", "u"]
    assert [one.context for one in found] == [context] * 3 + [{}] * 2  # what was bad has none


def test_what_is_wrong_is_told_where_it_is_and_harms_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(b"sound" * LIMIT)
    (tmp_path / "good.wav").write_bytes(b"soundxx")
    entries: list[Readable] = [
        Recording("0", b"sound"),
        Unreadable("1", DamagedAudio("It ends.")),
        Recording("2", tmp_path / "none.wav"),
        Recording("3", tmp_path / "long.wav"),
        Recording("4", tmp_path),
        Distant(Recording("5"), "memory://w/none"),
        Distant(Recording("6"), "memory://w/long"),
        Recording("7", b"other"),
        Recording("8"),
        Recording("9", tmp_path / "good.wav"),
        Distant(Recording("10"), "memory://w/6"),
    ]
    found = scored(entries)
    refused = [
        *(DamagedAudio, NothingToScore, TooLarge, NothingToScore),
        *(UnsupportedAudio, TooLarge, UnsupportedAudio, NothingToScore),
    ]
    assert [kind(one) for one in found] == [Scores, *refused, Scores, Scores]
    assert [size(one) for one in found if isinstance(one.scores, Scores)] == [5, 7, 6]
    # What couldn't be read, or will not be, has no content.
    assert [bool(one.content) for one in found] == [
        *(True, False, False, False, False, False, False),
        *(True, True, True, True),
    ]


def test_a_file_that_may_not_be_read_harms_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.wav").write_bytes(b"other")
    held, fake = worker()

    def refuse(*_: object) -> str:
        raise PermissionError

    monkeypatch.setattr(held._known, "content", refuse)
    found = held.score([Recording("0", tmp_path / "secret.wav"), Recording("1", b"sound")]).scored
    assert [(kind(one), one.content) for one in found] == [(UnsupportedAudio, ""), (Scores, "")]
    assert len(fake.heard) == 2


def test_what_reads_a_store_and_is_missing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> bytes:
        raise BadSetting("s3fs isn't installed.")

    monkeypatch.setattr("triage.archive.entries.read_bounded", missing)
    with pytest.raises(BadSetting):
        scored([Recording("0", b"sound"), Distant(Recording("1"), "s3://w/5")])


def test_models_that_cannot_be_loaded_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArtefactRefused):
        Worker(task(Task, settings=Settings(model=tmp_path, state=tmp_path)))


@pytest.mark.parametrize("sound_only", [False, True])
def test_models_are_loaded_once_as_the_task_says(
    sound_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Settings, bool]] = []

    def load(settings: Settings, *, sound_only: bool) -> Fake:
        asked.append((settings, sound_only))
        return Fake()

    monkeypatch.setattr(work.Triage, "load", load)
    given = task(Task, sound_only=sound_only)
    one = Worker(given)
    one.score([Recording("0", b"sound")])
    one.score([Recording("0", b"sound")])
    assert asked == [(given.settings, sound_only)]


# Words ------------------------------------------------------------------------------------------


def test_no_word_that_was_said_leaves_a_worker_or_is_kept(tmp_path: Path) -> None:
    group = worker(tmp_path / "scores.db")[0].score(
        [Recording("0", b"sound"), Recording("1", b"sound", SAID), Recording("2", None, SAID)]
    )
    for one in group.scored:
        assert isinstance(one.scores, Scores)
        assert one.scores.transcript is None
        assert [evidence.words for evidence in one.scores.evidence] == [()]
    disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for word in ("timer", "minutes"):
        assert word not in repr([one.scores for one in group.scored])
        assert word.encode() not in disk


def test_taking_the_words_takes_nothing_else() -> None:
    (whole,) = Fake().score_together([Recording("0", b"sound")])
    assert isinstance(whole, Scores)
    bare = without_words(whole)
    assert bare != whole
    assert replace(bare, transcript=whole.transcript, evidence=whole.evidence) == whole
    assert [replace(one, words=()) for one in whole.evidence] == list(bare.evidence)
    assert without_words(bare) == bare


def test_sound_alone_transcribes_nothing_and_reads_the_words_that_are_there() -> None:
    held, fake = worker(sound_only=True)
    entries: list[Readable] = [
        Recording("0", b"sound"),
        Recording("1", b"soundx", "hello"),
        Recording("2", None, "hello"),
        Recording("3"),
        Distant(Recording("4"), "memory://w/6"),
        Distant(Recording("5", transcript="hello"), "memory://w/5"),
        Unreadable("6", DamagedAudio("It ends.")),
    ]
    found = held.score(entries).scored
    assert [one.transcript for one in fake.heard] == ["", "hello", "hello", None, "", "hello"]
    assert [kind(one) for one in found] == [
        *(Scores, Scores, Scores, NothingToScore, Scores, Scores, DamagedAudio)
    ]


# The clock, and the dead ------------------------------------------------------------------------


def test_the_seconds_of_each_group_are_handed_over_once() -> None:
    held, fake = worker()
    with fake.clock.stage("before"):
        pass
    assert {"before", "read", "text"} <= set(held.score([Recording("0", b"sound")]).stages)
    assert "before" not in held.score([]).stages
    assert fake.clock.taken() == {}


@pytest.mark.parametrize(
    "entry",
    [
        Recording("x", b"sound", "hello", {"account": "a"}),
        Distant(Recording("x", context={"account": "a"}), "memory://w/5"),
    ],
)
def test_over_what_a_worker_died_a_person_has_to_look(entry: Readable) -> None:
    one = died(entry, "m")
    assert (one.id, one.context, one.content, one.known) == ("x", {"account": "a"}, "", False)
    assert isinstance(one.scores, Scores)
    assert (one.scores.model, one.scores.categories) == ("m", {})
    assert one.scores.failures == {"score": "WorkerDied"}
    assert one.scores.flags == {"stage_failed": True}


def test_what_was_unreadable_stays_so_whoever_died() -> None:
    error = DamagedAudio("It ends.")
    assert died(Unreadable("x", error), "m") == Scored("x", {}, "", error)


def test_nothing_of_a_recording_is_in_a_representation() -> None:
    (one,) = scored([Recording("the id", b"sound", SAID, {"account": "the account"})])
    shown = repr(one) + repr(task(Task))
    for secret in ("the id", "the account", "timer", "a key of"):
        assert secret not in shown
