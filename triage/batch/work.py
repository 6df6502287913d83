"""What a worker does: entries of an archive in, scores without words out. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from triage.archive.entries import Distant, Unreadable, fetch
from triage.batch.known import Known
from triage.errors import InputError
from triage.pipeline import Triage, unscored
from triage.records import Recording, Scores
from triage.screen import Screen
from triage.settings import Settings
from triage.text import spoken_words

FETCHED_AT_ONCE = 16  # reads from elsewhere that wait side by side

Readable = Recording | Distant | Unreadable


@dataclass(frozen=True, slots=True)
class Task:
    """What workers are told before they begin.

    Attributes:
        settings: As in the process that began the run, with the model that it chose.
        key: The secret that contents are digested with.
        known: File of scores by content; None for none.
        about: What scores depend on besides the content.
        sound_only: Whether nothing is transcribed.
        screen: Which texts are read whole; None for all.
    """

    settings: Settings
    key: bytes = field(repr=False)
    known: Path | None
    about: str
    sound_only: bool
    screen: Screen | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """What came of an entry.

    Attributes:
        id: The caller's.
        context: The caller's.
        content: Keyed digest of what was scored; empty if it couldn't be read.
        scores: Without words; or why there are none.
        known: Whether they were there already.
    """

    id: str = field(repr=False)
    context: Mapping[str, Any] = field(repr=False)
    content: str
    scores: Scores | InputError = field(repr=False)
    known: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What came of some entries.

    Attributes:
        scored: In their order.
        stages: Seconds by stage.
    """

    scored: list[Scored]
    stages: Mapping[str, float] = field(default_factory=dict)


class Worker:
    """Models, loaded once, for one process and one thread.

    Raises:
        SetupError: They can't be.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._most_bytes = task.settings.max_bytes
        self._triage = Triage.load(task.settings, sound_only=task.sound_only)
        self._known = Known(task.known, task.key, task.about)

    def score(self, entries: Sequence[Readable]) -> Group:
        """Scores entries together. Nothing is raised but what ends the process."""
        clock = self._triage.clock
        with clock.stage("read"):
            read = self._read(entries)
            states = [_state(one) for one in read]
            contents = [self._content(one) for one in read]
        # One whose content has no digest is scored by itself; those of one content are scored once.
        keys = [content or f"place {n}" for n, content in enumerate(contents)]
        with clock.stage("screen"):
            found = self._screened(dict(zip(keys, read, strict=True)))
        with clock.stage("read"):
            known = self._known.get([one for one in contents if one and one not in found])
        found |= known
        wanted: dict[str, Recording] = {}
        before: dict[str, object] = {}
        for one, key, state in zip(read, keys, states, strict=True):
            if isinstance(one, Recording) and key not in found:
                wanted.setdefault(key, one)
                before.setdefault(key, state)
        fresh = dict(zip(wanted, self._score(list(wanted.values())), strict=True))
        found |= fresh
        with clock.stage("read"):
            self._known.put(
                {
                    key: one
                    for key, one in fresh.items()
                    if isinstance(one, Scores)
                    and key in contents
                    and _whole(one)
                    # Or what a file holds now would be taken for what it held then.
                    and _state(wanted[key]) == before[key]
                }
            )
        scored = [
            Scored(
                one.id,
                {} if isinstance(one, Unreadable) else one.context,
                content,
                one.error if isinstance(one, Unreadable) else found[key],
                known=key in known,
            )
            for one, content, key in zip(read, contents, keys, strict=True)
        ]
        return Group(scored, clock.taken())

    def _screened(
        self, entries: Mapping[str, Recording | Unreadable]
    ) -> dict[str, Scores | InputError]:
        """What is said of texts that needn't be read whole, if they are given a first look."""
        screen = self._task.screen
        if screen is None:
            return {}
        told = screen.screened()
        return {
            key: told
            for key, one in entries.items()
            if isinstance(one, Recording) and not self._is_read_whole(one, screen)
        }

    def _is_read_whole(self, one: Recording, screen: Screen) -> bool:
        text = one.transcript or ""
        if one.audio is not None or len(text) > self._task.settings.max_characters:
            return True
        words = spoken_words(text)
        return not words or screen.passes(words)

    def _score(self, recordings: Sequence[Recording]) -> list[Scores | InputError]:
        found = self._triage.score_together(recordings)
        return [without_words(one) if isinstance(one, Scores) else one for one in found]

    def _read(self, entries: Sequence[Readable]) -> list[Recording | Unreadable]:
        from concurrent.futures import ThreadPoolExecutor

        def read(entry: Readable) -> Recording | Unreadable:
            return self._asked(fetch(entry, self._most_bytes))

        if not any(isinstance(one, Distant) for one in entries):
            return [read(one) for one in entries]
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            return list(pool.map(read, entries))

    def _asked(self, one: Recording | Unreadable) -> Recording | Unreadable:
        if not self._task.sound_only or isinstance(one, Unreadable):
            return one
        if one.audio is None or one.transcript is not None:
            return one
        return replace(one, transcript="")  # as if somebody had said that nothing was said

    def _content(self, one: Recording | Unreadable) -> str:
        """The digest of what is to be scored; empty where scoring will say what is wrong."""
        if isinstance(one, Unreadable):
            return ""
        if isinstance(one.audio, Path):
            try:
                # Some that the system makes up are of 0 bytes, and reading them waits for ever.
                size = one.audio.stat().st_size if one.audio.is_file() else 0
                if not 0 < size <= self._most_bytes:
                    return ""
            except OSError:
                return ""
        try:
            return self._known.content(one)
        except OSError:
            return ""


def _state(one: Recording | Unreadable) -> object:
    """What changes when the file of a recording does; None if it isn't in one."""
    if isinstance(one, Unreadable) or not isinstance(one.audio, Path):
        return None
    try:
        told = one.audio.stat()
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def died(entry: Readable, model: str) -> Scored:
    """What there is to say of an entry over which a worker died: somebody has to look."""
    if isinstance(entry, Unreadable):
        return Scored(entry.id, {}, "", entry.error)
    of = entry.recording if isinstance(entry, Distant) else entry
    return Scored(of.id, of.context, "", unscored(model, WorkerDied()))


class WorkerDied(Exception):
    """The kind of failure that is told of a recording over which a worker died, or hung."""


def _whole(scored: Scores) -> bool:
    """Whether it is worth keeping: what a stage failed on is tried anew the next time."""
    if scored.failures:
        return False
    return all(map(isfinite, (*scored.categories.values(), *scored.event_scores.values())))


def without_words(scores: Scores) -> Scores:
    """The scores without a word of what was said."""
    evidence = tuple(replace(one, words=()) for one in scores.evidence)
    return replace(scores, transcript=None, evidence=evidence)
