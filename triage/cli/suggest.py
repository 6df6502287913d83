"""`triage suggest`: which recordings people should label next, within the sampling cap.

The picks go into a file that only its owner can read, for they say whose recordings they are and
may hold a transcript. Nothing of that is printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from triage.archive.entries import Row
from triage.archive.read import count_rows, read
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.score import passes
from triage.cli.tables import plain_console, plain_table
from triage.errors import BadSetting, NothingToScore
from triage.labels.write import whole
from triage.policy.parts import TIERS
from triage.process import Processor
from triage.records import Outcome, Recording, Report
from triage.safeguards.pseudonym import Pseudonymiser
from triage.safeguards.sampling import LEDGER, Ledger, Sampled, pseudonym
from triage.settings import settings
from triage.suggest import Candidates, Pick, Pool, choose, known_positives

PLACES = 4  # decimals of scores; weights are as exact as they come
UNREADABLE = "not scored"


def run(
    paths: Sequence[Path], budget: int, out: Path | None, seed: int, *, decide_only: bool
) -> Exit:
    """Scores the recordings, draws some of them, writes them to `out` and prints how many.

    Without `out` nothing is drawn: the table says what would be. With `decide_only` no case is
    raised, and nobody told.

    Returns:
        `Exit.SETUP` if there was nothing to draw or the cap allowed none; `Exit.INCOMPLETE` if
        there was a recording that couldn't be scored, or not by every stage.

    Raises:
        InputError: A path can't be read, or nothing is there to score.
        SetupError: Models, policy, key or ledger are missing or refused, or the archive changed
            in the meantime; nothing was drawn.
        AuditFailed: The audit couldn't be written; nothing was drawn.
    """
    _check(out)
    total = count_rows(paths)
    if not total:
        raise NothingToScore("The paths hold no audio file and no line to score.")
    with progress() as report:
        report("loading the model", 0, 0)
        processor = Processor.load(settings())
        report("loading the model", 1, 1)
        pool, incomplete = gather(paths, processor, total, report, escalate=not decide_only)
    ledger = Ledger(settings().state / LEDGER, settings().sampling_cap, processor.audit)
    ledger.see(pool.pseudonyms())
    candidates, before = pool.candidates(ledger.drawn()), ledger.stand()
    n = min(budget, before.allowed, len(candidates.places))
    picks = _choose(candidates, n, processor, seed)
    if picks and out is not None:
        _give_out(paths, picks, out, processor, ledger, {"seed": seed, "budget": budget})
    _show(picks, pool.left_out, len(candidates.places), before)
    sys.stderr.write(_told(n, budget, before, drawn=out is not None) + "\n")
    if not picks:
        return Exit.SETUP
    return Exit.INCOMPLETE if incomplete else Exit.DONE


def gather(
    paths: Sequence[Path],
    processor: Processor,
    total: int,
    report: Report,
    *,
    escalate: bool = True,
) -> tuple[Pool, bool]:
    """Takes every recording the guarded way, and keeps what the draw needs.

    Returns:
        The pool, and whether any recording couldn't be scored, or not by every stage.
    """
    manifest = processor.triage.artefact.manifest
    pool, incomplete = Pool(manifest.categories, manifest.events), False
    for place, (entry, answer) in enumerate(
        passes(read(paths, settings().max_bytes), processor, "suggest", escalate=escalate)
    ):
        name = _pseudonym(entry, processor.pseudonymiser)
        if isinstance(answer, Outcome) and name:
            pool.add(place, name, answer)
            incomplete |= bool(answer.scores.failures)
        else:
            pool.left_out[UNREADABLE] += 1
            incomplete = True
        report("scoring", place + 1, total)
    return pool, incomplete


def _choose(candidates: Candidates, n: int, processor: Processor, seed: int) -> list[Pick]:
    manifest = processor.triage.artefact.manifest
    known = known_positives(manifest.metrics, manifest.categories)
    return choose(candidates, n, manifest.categories, known, seed)


def _give_out(
    paths: Sequence[Path],
    picks: Sequence[Pick],
    out: Path,
    processor: Processor,
    ledger: Ledger,
    how: dict[str, Any],
) -> None:
    """Writes the picks; the file is there once they are in the ledger and in the audit."""
    rows = _rows(paths, picks, processor.pseudonymiser)
    how["model"] = processor.triage.artefact.manifest.name
    with whole(out) as stream:
        for row in rows:
            stream.write(json.dumps(row).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())  # or a full disk could lose what was drawn
        ledger.draw([pick.pseudonym for pick in picks], how, datetime.now(UTC))


def _rows(
    paths: Sequence[Path], picks: Sequence[Pick], pseudonymiser: Pseudonymiser
) -> list[dict[str, Any]]:
    """The picks as rows of `triage.labels.schema` without labels, in their order.

    The archive is read once more for them, so that nobody's id and words were kept until now.

    Raises:
        BadSetting: It has changed since it was scored.
    """
    wanted = {pick.place: pick for pick in picks}
    rows: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(read(paths, settings().max_bytes)):
        pick = wanted.get(place)
        if pick is None or not isinstance(entry, Recording):
            continue
        if _pseudonym(entry, pseudonymiser) == pick.pseudonym:
            rows[place] = _row(entry, pick)  # now, since the entry may hold its audio
    if len(rows) < len(wanted):
        raise BadSetting(
            "The archive has changed since it was scored, so nothing was drawn. Run this "
            "again when nobody writes to it."
        )
    return [rows[pick.place] for pick in picks]


def _row(recording: Recording, pick: Pick) -> dict[str, Any]:
    row: dict[str, Any] = {"id": recording.id}
    if isinstance(recording.audio, Path):
        row["audio"] = str(recording.audio.absolute())
    if recording.transcript:  # the caller's own; the transcriber's words go nowhere
        row["text"] = recording.transcript
    return row | {
        "weight": 1 / pick.chance,
        "inclusion_probability": pick.chance,
        "tier": pick.tier,
        "why": _why(pick),
        "category_scores": {name: round(score, PLACES) for name, score in pick.scores.items()},
    }


def _why(pick: Pick) -> str:
    if not pick.category:
        return pick.why
    return f"{pick.why}: {pick.category} {pick.scores[pick.category]:.2g}"


def _pseudonym(entry: Row, pseudonymiser: Pseudonymiser) -> str:
    """By which the ledger knows a recording; empty for what can't be read."""
    try:
        return pseudonym(entry, pseudonymiser) if isinstance(entry, Recording) else ""
    except OSError:
        return ""


def _check(out: Path | None) -> None:
    """Refuses a file that can't be written before hours of scoring, not after them."""
    if out is None:
        return
    if out.exists():
        raise typer.BadParameter(
            "The file of --out is there already. What it holds is never drawn again, so it is not "
            "overwritten; name another."
        )
    if not os.access(out.absolute().parent, os.W_OK):
        raise typer.BadParameter("The folder of --out isn't there or can't be written.")


def _show(picks: Sequence[Pick], left_out: Mapping[str, int], size: int, before: Sampled) -> None:
    """Prints counts, never an id."""
    console = plain_console()
    if picks:
        console.print(_table(picks, console.width))
    console.print(f"{size:,} recordings could be picked")
    for why, count in sorted(left_out.items()):
        console.print(f"  {count:,} left out: {why}")
    console.print(
        f"{before.seen:,} seen in all, {before.drawn:,} drawn before, the cap is {before.cap:.3%}: "
        f"{before.allowed:,} may be drawn"
    )


def _told(n: int, budget: int, before: Sampled, *, drawn: bool) -> str:
    """What came of it, in a sentence."""
    if not before.allowed:
        more = f"{before.unseen:,} recordings more have to be seen"
        return f"Nothing was drawn: the sampling cap allows none; {more} until it allows one."
    if not n:
        return "Nothing was drawn: every recording was left out or drawn before."
    if not drawn:
        return f"Nothing was drawn: {n:,} of {budget:,} would be. Name a file with --out."
    fewer = "" if n == budget else f", fewer than the {budget:,} asked for"
    return f"{n:,} drawn{fewer}."


def _table(picks: Sequence[Pick], width: int) -> Table:
    table = plain_table("", "why", "category", *(f">{tier}" for tier in TIERS), width=width)
    counts = Counter((pick.why, pick.category, pick.tier) for pick in picks)
    for why, category in sorted({(why, category) for why, category, _ in counts}):
        numbers = (counts[why, category, tier] for tier in TIERS)
        table.add_row(why, category, *(f"{one:,}" if one else "" for one in numbers))
    return table
