"""`python -m benchmarks.decisions`: decisions a second on one core, by the default policy.

Beside it stands what one would write by hand: a chain of `if`s over the same scores that says the
same tier and rule, and nothing of severities, actions, flags, deadlines or why. Both decide the
same recordings, drawn by a fixed chance around the levels of the policy, in turn.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.timing import Spread, in_turn, ratios
from triage.policy.decide import decide
from triage.policy.loading import load_policy
from triage.policy.model import Policy
from triage.records import Scores
from triage.settings import Settings
from triage.taxonomy import FLAGS

AIM = 10_000  # decisions a second
QUIET = 0.1  # share of the cores that others may take before the figures are worth little
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Figure:
    """How fast recordings of one kind were decided.

    Attributes:
        kind: "sound and words" or "words only".
        ours, by_hand: Decisions a second.
        ratio: How many times as long ours take.
    """

    kind: str
    ours: Spread
    by_hand: Spread
    ratio: Spread


def recordings(policy: Policy, count: int, *, sound: bool) -> list[Scores]:
    """Scores of recordings, of which a few reach some rule.

    Args:
        policy: Its categories and events are scored.
        count: How many.
        sound: Whether they have sound and the flags of it; else they are words only.
    """
    chance = random.Random(0)  # noqa: S311 - what is timed, not a secret

    def scored(names: Sequence[str]) -> dict[str, float]:
        return {name: round(chance.random() ** 6, 4) for name in names}

    return [
        Scores(
            model="bench",
            categories=scored(tuple(policy.categories)),
            applied=dict.fromkeys(policy.categories, ("audio", "text") if sound else ("text",)),
            seconds=5.0 if sound else None,
            event_scores=scored(policy.events) if sound else {},
            flags={name: chance.random() < 0.05 for name in FLAGS} if sound else {},
        )
        for _ in range(count)
    ]


def by_hand(scores: Scores, levels: Mapping[str, float]) -> tuple[str, str]:
    """Tier and rule as the default policy has them, for a pseudonym without a history."""
    one, heard = scores.categories, scores.event_scores
    likely, possible = levels["likely"], levels["possible"]
    probable, loud = levels["probable"], levels["sound_likely"]
    scream, shot = heard.get("scream", 0.0), heard.get("gunshot", 0.0)
    alarming = scream >= loud or shot >= loud
    crying = alarming or heard.get("cry", 0.0) >= loud
    violent = max(one["violence"], one["domestic_abuse"], one["sexual_violence"])
    if one["self_harm"] >= likely and crying:
        return "E4", "self-harm-heard"
    if one["child_safety"] >= likely and crying:
        return "E4", "child-in-danger-heard"
    if violent >= likely and alarming:
        return "E4", "violence-heard"
    if one["child_safety"] >= likely:
        return "E3", "child-safety-likely"
    if one["self_harm"] >= likely:
        return "E3", "self-harm-likely"
    if violent >= likely:
        return "E3", "violence-likely"
    if one["medical_emergency"] >= possible:
        return "E3", "medical-emergency"
    if one["distress"] >= likely:
        return "E3", "distress-likely"
    if alarming:
        return "E3", "distress-heard"
    if one["child_safety"] >= possible:
        return "E2", "child-safety-possible"
    if one["self_harm"] >= possible:
        return "E2", "self-harm-possible"
    if max(one["violence"], one["domestic_abuse"]) >= possible or (
        one["sexual_violence"] >= probable
    ):
        return "E2", "violence-possible"
    if one["distress"] >= levels["audible"]:
        return "E2", "distress-possible"
    if max(scream, shot) >= levels["sound_possible"] or heard.get("explosion", 0.0) >= loud:
        return "E2", "alarming-sound"
    if one["illicit"] >= probable:
        return "E2", "illicit"
    if one["hate"] >= likely:
        return "E2", "hate"
    if one["harassment"] >= likely:
        return "E1", "harassment"
    if one["sexual"] >= possible:
        return "E0", "private"
    return ("E0", "accidental") if scores.flags.get("likely_accidental") else ("E0", "none")


def disagreement(policy: Policy, some: Sequence[Scores]) -> Scores | None:
    """The first recording that both don't decide alike; None if there is none."""
    for scores in some:
        decision = decide(scores, policy, NOW)
        if (decision.tier, decision.rule) != by_hand(scores, policy.levels):
            return scores
    return None


def measure(policy: Policy, count: int, rounds: int) -> list[Figure]:
    """Times both on recordings of each kind.

    Args:
        policy: The default one.
        count: Recordings a round.
        rounds: How often they are decided, after one that isn't counted.

    Raises:
        RuntimeError: The chain of `if`s no longer says what the policy does.
    """
    found = []
    for kind, sound in (("sound and words", True), ("words only", False)):
        some = recordings(policy, count, sound=sound)
        if disagreement(policy, some) is not None:
            raise RuntimeError("the policy has other rules by now; write by_hand() anew")
        runs = {
            "ours": partial(_seconds, lambda one: decide(one, policy, NOW), some),
            "by hand": partial(_seconds, lambda one: by_hand(one, policy.levels), some),
        }
        taken = in_turn(runs, rounds, pause=0)
        ours, hand = ([count / one for one in taken[name]] for name in ("ours", "by hand"))
        ratio = ratios(taken["ours"], taken["by hand"])
        found.append(Figure(kind, Spread.of(ours), Spread.of(hand), ratio))
    return found


def _seconds(task: Callable[[Scores], object], some: Sequence[Scores]) -> float:
    start = perf_counter()
    for one in some:
        task(one)
    return perf_counter() - start


def show(figures: Sequence[Figure], console: Console) -> None:
    """Prints them, with the aim."""
    table = Table(title=f"Decisions a second on one core; the aim is {AIM:,}")
    for head in ("", "Triage", "by hand", "times as long", "aim"):
        table.add_column(head, justify="right" if head else "left")
    for one in figures:
        met = "met" if one.ours.median >= AIM else "missed"
        row = [f"{rate.median:,.0f}" for rate in (one.ours, one.by_hand)]
        told = f"{one.ratio.median:.0f} ({one.ratio.least:.0f} to {one.ratio.most:.0f})"
        table.add_row(one.kind, *row, told, met)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--count", type=int, default=5_000, help="recordings a round")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args(arguments)
    allowed = os.sched_getaffinity(0)
    busy = machine.busy()
    os.sched_setaffinity(0, machine.cores()[:1])
    try:
        policy: Path = Settings.model_fields["policy"].default
        figures = measure(load_policy(policy), given.count, given.rounds)
    finally:
        os.sched_setaffinity(0, allowed)
    console = Console()
    show(figures, console)
    if busy > QUIET:
        console.print(f"Others took {100 * busy:.0f} % of the cores: the rates are too low.")


if __name__ == "__main__":
    main()
