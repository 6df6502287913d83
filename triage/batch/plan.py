"""What is asked of a run, and what makes it this run and no other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1  # of `run.json` and the journal

# What must be as it was when a run goes on, and what to call it if it isn't.
KEPT: Mapping[str, str] = {
    "source": "source",
    "survey": "source",
    "model": "model",
    "policy": "policy",
    "key": "key for pseudonyms",
    "limits": "limits of the settings",
    "picked": "choice of recordings (--limit, --sample, --seed, --where)",
    "sound_only": "choice of --sound-only",
    "screen": "screen for texts (--screen)",
    "escalate": "choice of --decide-only",
    "format": "format of the folder",
}
NEVER = ("source", "key", "picked", "format")  # these can't be accepted: it would be another run


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Picked(_Frozen):
    """Which of the recordings.

    Attributes:
        limit: The first so many of those that are picked otherwise; None for all.
        sample: Share of them that is drawn, by chance but always the same for one seed and id.
        seed: Of the draw.
        where: A condition in CEL over `id`, `context`, `text_present` and `sound_present`; empty
            for all.
    """

    limit: int | None = Field(default=None, gt=0)
    sample: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    where: str = ""


class Plan(_Frozen):
    """What makes a run what it is; kept in `run.json`.

    Attributes:
        format: Of this file and the journal.
        run: Its id: 16 hex digits.
        began: When; what a policy's history is counted from.
        by, reason: Who started it, and why.
        source: As it was given, without credentials.
        survey: Digest of what the source held when the run began.
        recordings: How many it holds; None if that isn't known without reading it.
        model: Name and digest of the model.
        policy: Digest of the policy.
        key: What the key for pseudonyms makes of nothing: tells another key.
        limits: Of one recording, from the settings.
        picked: Which recordings.
        sound_only: Whether nothing is transcribed.
        screen: Digest of the first look that texts are given; empty if they are given none.
        escalate: Whether cases are raised, and people told.
        jsonl: Whether results are written as JSON lines as well.
        accepted: What had changed when it went on, and who accepted it.
    """

    format: int = FORMAT
    run: str = Field(pattern="^[0-9a-f]{16}$")
    began: datetime
    by: str
    reason: str
    source: str
    survey: str
    recordings: int | None
    model: str
    policy: str
    key: str
    limits: dict[str, float]
    picked: Picked
    sound_only: bool
    screen: str = ""
    escalate: bool
    jsonl: bool
    accepted: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the ids of its passes begin with."""
        return f"tri_{self.run}"

    def id(self, position: int) -> str:
        """Triage's own id of the pass of the recording at a position."""
        return f"{self.prefix}{position:016x}"

    def changed(self, now: Plan) -> list[str]:
        """What isn't as it was when the run began, by its field."""
        return [name for name in KEPT if getattr(self, name) != getattr(now, name)]


class Part(_Frozen):
    """A line of the journal: a part that is written.

    Attributes:
        part: Its number, from 0.
        first, rows: Position of its first recording, and how many there are.
        refused: Rows with an error.
        failed: Rows on which a stage failed.
        looks: Rows that somebody has to look at.
        passed_over: What the source holds besides recordings, up to here since the part before.
        seconds: Of sound.
        took: Seconds from the part before it.
        stages: Seconds of all processes, by stage.
        known: Rows whose scores were known already.
        ids: Digest of all ids from the run's first to this part's last.
        results: SHA-256 of the part's file of results.
        witness: Id of a pass whose decision must be in the store if this part is; empty if none
            was decided.
        megabytes: Memory of all processes together when it was written.
    """

    part: int = Field(ge=0)
    first: int = Field(ge=0)
    rows: int = Field(ge=0)
    refused: int
    failed: int
    looks: int
    passed_over: dict[str, int]
    seconds: float
    took: float
    stages: dict[str, float]
    known: int
    ids: str
    results: str
    witness: str
    megabytes: float

    @property
    def end(self) -> int:
        """Position of the first recording after it."""
        return self.first + self.rows


class End(_Frozen):
    """The journal's last line: the run is whole.

    Attributes:
        rows: How many recordings.
        survey: Digest of what the source held at the end.
        passed_over: After the last part.
    """

    end: bool = True
    rows: int
    survey: str
    passed_over: dict[str, int]
