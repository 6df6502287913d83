"""Beginning a run, or going on with one: what it is made from, and whether that is as it was."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from secrets import token_hex
from typing import Any

from pydantic import SecretStr

from triage.archive.entries import Entry, plain
from triage.archive.sources import Shard, entries, shards, survey
from triage.archive.stores import is_url
from triage.artefact import Artefact
from triage.artefact import load as load_artefact
from triage.batch.journal import Journal
from triage.batch.known import secret
from triage.batch.picked import Picking
from triage.batch.plan import KEPT, NEVER, Picked, Plan
from triage.batch.work import Task
from triage.errors import BatchRefused
from triage.escalate.opening import open_casebook
from triage.escalate.opening import written_down as policy_changed
from triage.escalate.roster_file import RosterInService
from triage.guard import Guard
from triage.live import Window, folder_of
from triage.policy.decide import decide
from triage.policy.following import PolicyInService
from triage.policy.model import Policy
from triage.policy.parts import TIERS
from triage.registry import in_service
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.screen import Screen, load_screen
from triage.settings import Settings
from triage.weights import WHISPER_TINY_EN, resolve

# What the scores of a recording depend on besides itself and the model.
LIMITS = ("max_bytes", "max_seconds", "max_channels", "max_characters")

# Workers, who may be on other machines, learn no secret. They are given the model's own folder, so
# that a promotion meanwhile changes nothing for them, and work in one thread each.
FOR_WORKERS = {"key": SecretStr(""), "store": "", "labels": "", "threads": 1}

_CREDENTIALS = re.compile(r"(?<=://)[^/?]*@|\?.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for.

    Attributes:
        source: Path, URL or pattern.
        by, reason: Who asks, and why.
        picked: Which recordings.
        sound_only: Whether nothing is to be transcribed.
        decide_only: Whether no case is to be raised, and nobody told.
        jsonl: Whether results are wanted as JSON lines too.
        accept: Whether a run may go on though something has changed.
        known: Where scores are kept by content; None for the run's own folder.
        screen: Folder of the first look that texts are given; None to read all of them whole.
    """

    source: str = field(repr=False)
    by: str
    reason: str
    picked: Picked = field(default_factory=Picked)
    sound_only: bool = False
    decide_only: bool = False
    jsonl: bool = False
    accept: bool = False
    known: Path | None = None
    screen: Path | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """Model and policy of a run: those in service when it began to work, to its end.

    Attributes:
        artefact: The model.
        policy: What decides.
    """

    artefact: Artefact
    policy: Policy


@dataclass(frozen=True, slots=True)
class Opened:
    """All that a run needs.

    Attributes:
        plan: What it is.
        guard: The guarded way.
        task: For its workers.
        shards: Of its source.
    """

    plan: Plan
    guard: Guard
    task: Task
    shards: Sequence[Shard]

    def entries(self) -> Iterator[Entry]:
        """What its source gives and is picked, from its beginning."""
        most = self.task.settings.max_bytes
        read = chain.from_iterable(entries(shard, most) for shard in self.shards)
        return Picking(self.plan.picked)(read)

    def surveyed(self) -> str:
        """Digest of what the source holds now."""
        return _surveyed(self.shards)[0]


def open_run(asked: Asked, journal: Journal, settings: Settings) -> Opened:
    """Opens a run that is new, or that was begun in the journal's folder.

    Raises:
        SetupError: Model, policy, key, store or roster can't be used; or the run was begun with
            others, and nobody accepted that.
        InputError: The source can't be read, or the condition isn't one.
        AuditFailed: That it begins can't be written.
    """
    found = shards(asked.source)
    _apart(found, journal.folder)
    picked = asked.picked.model_copy(update={"where": plain(asked.picked.where)})
    Picking(picked)
    artefact = load_artefact(in_service(settings))
    resolve(WHISPER_TINY_EN, settings.whisper)  # what is missing is told before workers miss it
    audit = AuditLog(settings.state / "audit.jsonl")
    policies = PolicyInService(settings.policy, settings.policy_keys, settings.state)
    policies.changed = partial(policy_changed, audit)
    fixed, key = Fixed(artefact, policies.current()), load_key(settings)
    screen = None if asked.screen is None else _screen(asked.screen, fixed)
    held, recordings = _surveyed(found)
    now = Plan(
        run=token_hex(8),
        began=datetime.now(UTC),
        by=plain(asked.by),
        reason=plain(asked.reason),
        source=_told(asked.source),
        survey=held,
        recordings=recordings,
        model=f"{artefact.manifest.name} {artefact.manifest.digest}",
        policy=fixed.policy.digest,
        key=Pseudonymiser(key).pseudonym("", "batch"),
        limits={name: float(getattr(settings, name)) for name in LIMITS},
        picked=picked,
        sound_only=asked.sound_only,
        screen="" if screen is None else screen.note.weights,
        escalate=not asked.decide_only,
        jsonl=asked.jsonl,
    )
    before = journal.plan()
    plan = now if before is None else _goes_on(before, now, accept=asked.accept)
    rosters = RosterInService(settings.roster)
    guard = Guard(
        fixed,
        Pseudonymiser(key),
        audit,
        open_casebook(settings, PolicyInService.fixed(fixed.policy), rosters, audit),
        rosters,
        Window(folder_of(artefact.manifest, settings.state), artefact.manifest.reference),
    )
    asks = {"by": now.by, "reason": now.reason or plan.reason}  # whoever it is this time
    written_down(guard, plan, "began" if before is None else "went on", asks)
    if plan != before:
        journal.write_plan(plan)
    about = f"{plan.model} {sorted(plan.limits.items())} {plan.sound_only}"
    task = Task(
        settings.model_copy(update=FOR_WORKERS | {"model": artefact.folder.absolute()}),
        secret(key),
        (asked.known or journal.folder / "scores.db").absolute(),
        about,
        asked.sound_only,
        screen,
    )
    return Opened(plan, guard, task, found)


def written_down(guard: Guard, plan: Plan, what: str, more: Mapping[str, Any]) -> None:
    """Puts a run's beginning or end into the audit.

    Raises:
        AuditFailed: It can't be written.
    """
    picked = plan.picked.model_dump(exclude_defaults=True)
    if plan.picked.where:  # may name a recording
        picked["where"] = guard.pseudonymiser.pseudonym(plan.picked.where, "where")
    body = {
        "run": plan.run,
        "what": what,
        "reason": plan.reason,
        "source": plan.source,
        "survey": plan.survey,
        "model": plan.model,
        "policy": plan.policy,
        "picked": picked,
        "screen": plan.screen,
        "escalate": plan.escalate,
        "accepted": list(plan.accepted),
    }
    guard.audit.append("run", body | dict(more), guard.now())


def _apart(found: Sequence[Shard], out: Path) -> None:
    """Refuses a run that would find its own results in its source, each time others."""
    here = [one.place for one in found if one.kind == "folder" and not is_url(one.place)]
    if any(out.resolve().is_relative_to(Path(one).resolve()) for one in here):
        raise BatchRefused(
            "The folder given with --out is inside of the source, so the source would change "
            "with every part. Name one outside of it."
        )


def _screen(folder: Path, fixed: Fixed) -> Screen:
    """The first look at texts, if the policy has no use for what it passes over."""
    screen = load_screen(folder, fixed.artefact.manifest)
    said = decide(screen.worst(), fixed.policy, datetime.now(UTC))
    if said.tier != TIERS[0] or said.flagged:
        raise BatchRefused(
            f"The policy asks for texts that score less than {screen.note.floor:g}, and the screen "
            "looks for no others. Make one with a lower --floor, or leave out --screen.",
            limit=screen.note.floor,
        )
    return screen


def _goes_on(before: Plan, now: Plan, *, accept: bool) -> Plan:
    """The run that was begun, if it may go on with what there is now."""
    changed, more = before.changed(now), {"jsonl": now.jsonl or before.jsonl}
    if not changed:
        return before.model_copy(update=more)
    told = ", ".join(dict.fromkeys(KEPT[name] for name in changed))
    if any(name in NEVER for name in changed):
        raise BatchRefused(
            f"The run in this folder was begun with another {told}. Give the command as it was "
            "given then, or begin anew in another folder."
        )
    if not accept:
        raise BatchRefused(
            f"Since the run was begun, this has changed: {told}. Bring it back to what it was, "
            "begin anew in another folder, or go on with --accept-changes: rows that are written "
            "stay as they are."
        )
    more |= {name: getattr(now, name) for name in (*changed, "recordings")}
    accepted = (*before.accepted, f"{told} (after {now.began:%Y-%m-%dT%H:%M:%SZ}, by {now.by})")
    return before.model_copy(update=more | {"accepted": accepted})


def _told(source: str) -> str:
    """A source as it may be written down: as text, and a URL without what opens it."""
    told = plain(source)  # a file's name may be no UTF-8
    return _CREDENTIALS.sub("", told) if is_url(source) else told


def _surveyed(found: Sequence[Shard]) -> tuple[str, int | None]:
    """Digest of what a source holds, and how many recordings if that is known."""
    digest, recordings = hashlib.sha256(), 0
    unknown = False
    for shard in found:
        one = survey(shard)
        digest.update(one.fingerprint.encode())
        unknown |= one.recordings is None
        recordings += one.recordings or 0
    return digest.hexdigest(), None if unknown else recordings
