"""The commands of casework and their options. What they do is imported when one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cases_app = typer.Typer(no_args_is_help=True, help="Work on cases: see, take, hand over, resolve.")
outbox_app = typer.Typer(no_args_is_help=True, help="Messages that didn't arrive.")
escalate_app = typer.Typer(no_args_is_help=True, help="Tell people and keep the clocks.")
roster_app = typer.Typer(no_args_is_help=True, help="Who is reached, and how.")
store_app = typer.Typer(no_args_is_help=True, help="The store of decisions and cases.")

Id = Annotated[str, typer.Argument(metavar="CASE", help="Its id.", show_default=False)]
As = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="PERSON",
        envvar="TRIAGE_PERSON",
        help="Who you are, by the roster.",
        show_default=False,
    ),
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the case.")]
Queue = Annotated[str, typer.Option(help="Only cases before this queue.")]
Heard = Annotated[
    list[str] | None,
    typer.Option(metavar="CATEGORY", help="What was heard; may be given several times."),
]


def add(app: typer.Typer) -> None:
    """Adds the commands to those of `triage`."""
    app.add_typer(cases_app, name="cases")
    app.add_typer(outbox_app, name="outbox")
    app.add_typer(escalate_app, name="escalate")
    app.add_typer(roster_app, name="roster")
    app.add_typer(store_app, name="store")


@cases_app.command("list")
def cases_list(
    person: Annotated[
        str | None, typer.Option("--as", metavar="PERSON", help="Only what is theirs to see.")
    ] = None,
    queue: Queue = "",
    resolved: Annotated[bool, typer.Option("--resolved", help="Those that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a case.")] = False,
) -> None:
    """List cases, the most urgent first."""
    from triage.cli.cases import listed

    raise typer.Exit(listed(person, queue, resolved=resolved, limit=limit, jsonl=jsonl))


@cases_app.command("show")
def cases_show(
    id: Id, json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Show a case and everything that was done with it."""
    from triage.cli.cases import one

    raise typer.Exit(one(id, as_json=json))


@cases_app.command("next")
def cases_next(person: As, queue: Queue = "") -> None:
    """Claim the next case that is for you."""
    from triage.cli.cases import take

    raise typer.Exit(take(person, queue))


@cases_app.command("raise")
def cases_raise(
    person: As,
    queue: Annotated[str, typer.Option(help="Before whom it comes.", show_default=False)],
    heard: Annotated[
        list[str],
        typer.Option(metavar="CATEGORY", help="What you heard.", show_default=False),
    ],
    tier: Annotated[str, typer.Option(help="How soon somebody must look: E2, E3, E4.")] = "E3",
    recording: Annotated[
        str | None, typer.Option(metavar="ID", help="The recording, by the id it was sent with.")
    ] = None,
) -> None:
    """Raise a case for what you heard."""
    from triage.cli.cases import raised

    raise typer.Exit(raised(person, queue, tier, heard, recording))


@cases_app.command("acknowledge")
def cases_acknowledge(id: Id, person: As) -> None:
    """Say that you will look: nobody is told of it any more."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "acknowledge"))


@cases_app.command("claim")
def cases_claim(id: Id, person: As) -> None:
    """Take a case."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "claim"))


@cases_app.command("hand-over")
def cases_hand_over(
    id: Id,
    person: As,
    to: Annotated[str, typer.Option(metavar="PERSON", help="To whom.", show_default=False)],
    reason: Why = "",
) -> None:
    """Hand a case to somebody else of its queues."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "hand-over", to=to, reason=reason))


@cases_app.command("release")
def cases_release(id: Id, person: As, reason: Why = "") -> None:
    """Give a case back to its queues."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "release", reason=reason))


@cases_app.command("snooze")
def cases_snooze(
    id: Id,
    person: As,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.", show_default=False)],
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", help="As 20m, 4h, 1d.", show_default=False)
    ],
) -> None:
    """Leave a case until later."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "snooze", lasts=lasts, reason=reason))


@cases_app.command("resolve")
def cases_resolve(
    id: Id,
    person: As,
    outcome: Annotated[
        str,
        typer.Option(
            help="How it ended: false_alarm, helped, referred, reported, no_action, unclear.",
            show_default=False,
        ),
    ],
    heard: Heard = None,
    reason: Why = "",
) -> None:
    """Say how a case ended."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "resolve", outcome=outcome, heard=heard, reason=reason))


@cases_app.command("reopen")
def cases_reopen(
    id: Id,
    person: As,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.", show_default=False)],
) -> None:
    """Open a resolved case again."""
    from triage.cli.cases import moved

    raise typer.Exit(moved(id, person, "reopen", reason=reason))


@cases_app.command("board")
def cases_board(
    once: Annotated[bool, typer.Option("--once", help="Print it once and stop.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as a picture too, and stop.")
    ] = None,
) -> None:
    """Watch queues, clocks and deliveries live; Ctrl-C ends it."""
    from triage.cli.board import run

    raise typer.Exit(run(once=once, every=every, svg=svg))


@cases_app.command("labels")
def cases_labels(
    recordings: Annotated[
        Path,
        typer.Argument(
            metavar="ROWS",
            help="Your recordings: id as they were sent, text and/or audio on each line.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="JSON lines to import or train on.", show_default=False),
    ],
) -> None:
    """Make labels for retraining of how cases ended, and of the recordings that you have."""
    from triage.cli.outcomes import run

    raise typer.Exit(run(recordings, out))


@cases_app.command("export")
def cases_export(
    format: Annotated[str, typer.Option(help="osprey, or triage.")] = "triage",
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "24h",
) -> None:
    """Print cases as events, a JSON object a line, for another tool's input."""
    from triage.cli.outcomes import export

    raise typer.Exit(export(format, since))


@outbox_app.command("list")
def outbox_list(
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those too that are still tried.")
    ] = False,
) -> None:
    """List messages that were given up."""
    from triage.cli.outbox import listed

    raise typer.Exit(listed(waiting=waiting))


@outbox_app.command("resend")
def outbox_resend(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Which.", show_default=False)
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Send messages again that were given up, with the ids that they have."""
    from triage.cli.outbox import resend

    if not ids and not all:
        raise typer.BadParameter("Name messages, or give --all.")
    raise typer.Exit(resend(ids or [], all=all))


@escalate_app.command("run")
def escalate_run(
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and stop.")] = False,
) -> None:
    """Tell people and keep the clocks until stopped; beside the service or in its place."""
    from triage.cli.escalate import run

    raise typer.Exit(run(once=once))


@roster_app.command("check")
def roster_check(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A roster; else the one of TRIAGE_ROSTER."),
    ] = None,
) -> None:
    """Validate a roster, and say whom the policy's queues reach."""
    from triage.cli.roster import check

    raise typer.Exit(check(file))


@roster_app.command("token")
def roster_token() -> None:
    """Make a token for somebody, and the digest of it for the roster."""
    from triage.cli.roster import token

    raise typer.Exit(token())


@store_app.command("show")
def store_show() -> None:
    """Say of which revision the store is, and how much is in it."""
    from triage.cli.store import show

    raise typer.Exit(show())


@store_app.command("upgrade")
def store_upgrade() -> None:
    """Bring the stores of decisions and of labels to this version; make copies of them first."""
    from triage.cli.store import upgrade_all

    raise typer.Exit(upgrade_all())
