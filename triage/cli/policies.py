"""The commands of `triage policy` and their options. What they do is imported when one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Check, try, compare and sign escalation policies.")

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help="A policy; without it the one of TRIAGE_POLICY.", show_default=False
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="OLD", help="The policy to compare with; else that of TRIAGE_POLICY."),
]
Scores = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="SCORES",
        help="Files of answers, as `triage score --jsonl` prints them; without any, what the store "
        "of decisions holds.",
        show_default=False,
    ),
]
Page = Annotated[
    Path | None, typer.Option("--report", metavar="HTML", help="Write a page with plots as well.")
]
Since = Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")]


@app.command("check")
def policy_check(file: File = None) -> None:
    """Validate a policy whole: its form, its conditions, its own tests, and against the model."""
    from triage.cli.policy import check

    raise typer.Exit(check(file))


@app.command("test")
def policy_test(file: File = None) -> None:
    """Run the tests that stand beside a policy's rules."""
    from triage.cli.policy import test

    raise typer.Exit(test(file))


@app.command("show")
def policy_show(file: File = None) -> None:
    """Show who looks at what, and by when."""
    from triage.cli.policy import show

    raise typer.Exit(show(file))


@app.command("diff")
def policy_diff(
    new: Annotated[Path, typer.Argument(metavar="NEW", show_default=False)],
    against: Against = None,
) -> None:
    """Say in words what a new policy changes, and for whom."""
    from triage.cli.policy import difference

    raise typer.Exit(difference(new, against))


@app.command("backtest")
def policy_backtest(
    new: Annotated[Path, typer.Argument(metavar="NEW", show_default=False)],
    scores: Scores = None,
    against: Against = None,
    since: Since = "30d",
    report: Page = None,
    jsonl: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Replay stored scores through a new policy and show what would change."""
    from triage.cli.backtest import run

    raise typer.Exit(run(new, against, scores or [], report, since=since, jsonl=jsonl))


@app.command("simulate")
def policy_simulate(
    scores: Scores = None,
    policy: Annotated[Path | None, typer.Option(metavar="FILE", help="The policy.")] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(metavar="ROWS", help="What the recordings are labelled with, by id."),
    ] = None,
    a_day: Annotated[float, typer.Option(min=1, help="Recordings that come in a day.")] = 100_000,
    capacity: Annotated[
        int | None, typer.Option(min=1, help="Reviews a day per queue; else the policy's own.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="What a review takes.")] = 6,
    since: Since = "30d",
    report: Page = None,
) -> None:
    """Say which thresholds fit the reviewers' time, what they miss, and how long people wait."""
    from triage.cli.simulate import run

    raise typer.Exit(
        run(
            policy,
            scores or [],
            labels or [],
            since=since,
            a_day=a_day,
            capacity=capacity,
            minutes=minutes,
            report=report,
        )
    )


@app.command("explain")
def policy_explain(
    scores: Scores = None,
    policy: Annotated[Path | None, typer.Option(metavar="FILE", help="The policy.")] = None,
    id: Annotated[
        list[str] | None, typer.Option(help="Of a recording, as Triage gave it; else all.")
    ] = None,
    since: Since = "30d",
) -> None:
    """Say which rule decided, by which values, and what was missing for a higher tier."""
    from triage.cli.explain import run

    raise typer.Exit(run(scores or [], policy, id or [], since=since))


@app.command("shadow")
def policy_shadow(since: Since = "7d") -> None:
    """Compare what was decided with what the shadow rules would have, over time."""
    from triage.cli.policy import shadow

    raise typer.Exit(shadow(since))


@app.command("promote")
def policy_promote(
    rule: Annotated[str, typer.Argument(help="Id of a shadow rule.", show_default=False)],
    file: File = None,
) -> None:
    """Make a shadow rule live, in the policy's file; a service that follows it takes it up."""
    from triage.cli.policy import promote

    raise typer.Exit(promote(rule, file))


@app.command("sign")
def policy_sign(
    key: Annotated[
        Path, typer.Option(metavar="PEM", help="Ed25519 private key.", show_default=False)
    ],
    file: File = None,
) -> None:
    """Sign a policy, after checking it, for services that take only signed ones."""
    from triage.cli.policy import sign_file

    raise typer.Exit(sign_file(key, file))
