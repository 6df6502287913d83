"""`triage promote`, `triage rollback`, and what `triage model show` tells of them."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_registry import home as home
from test_registry import make as make
from test_registry import setup as setup
from typer.testing import CliRunner

from triage.artefact import HEADS, load
from triage.cli import model as model_command
from triage.cli import promote as promote_command
from triage.cli.app import app
from triage.cli.exits import Exit
from triage.errors import ArtefactRefused, PromotionRefused
from triage.manifest import read_manifest
from triage.measure.gate import Finding
from triage.pipeline import Triage
from triage.policy.loading import load_policy
from triage.registry import champion, history, in_service
from triage.settings import Settings

Make = Callable[[str], Path]
POLICY = load_policy(Settings.model_fields["policy"].default)
WORSE = (
    Finding("violence", "recall falls.", blocks=True),
    Finding("distress", "calibration error rises.", blocks=True),
    Finding("size", "the model has 60 MB.", blocks=False),
)


@dataclass
class Comparing:
    """Stands in for the comparing of two models.

    Attributes:
        says: What speaks against the challenger; None: there is no stored comparison.
        policy: Digest of the policy that the comparison was made under.
        pair: Digests that the comparison names; None: those of the two models.
        asked: What was to be compared, and how.
    """

    says: Sequence[Finding] | None = ()
    policy: str = POLICY.digest
    pair: tuple[str, str] | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def compared(self, challenger: Path, champion: Path, data: Sequence[Path]) -> Any:
        self.asked.append((challenger, champion, tuple(data)))
        return self._comparison(read_manifest(champion).digest, read_manifest(challenger).digest)

    def stored(self, state: Path, champion: str, challenger: str) -> Any:
        self.asked.append((champion, challenger))
        return None if self.says is None else self._comparison(champion, challenger)

    def _comparison(self, *pair: str) -> Any:
        champion, challenger = (SimpleNamespace(digest=one) for one in self.pair or pair)
        return SimpleNamespace(
            digest="c" * 64, policy=self.policy, champion=champion, challenger=challenger
        )

    def findings(self, comparison: Any, critical: Sequence[str]) -> Sequence[Finding]:
        assert tuple(critical) == POLICY.critical
        return self.says or ()


@pytest.fixture(autouse=True)
def comparing(setup: Settings, monkeypatch: pytest.MonkeyPatch) -> Comparing:
    """The commands with settings of the test's own, and without models or labels to score."""
    one = Comparing()
    monkeypatch.setenv("COLUMNS", "200")
    for module in (promote_command, model_command):
        monkeypatch.setattr(module, "settings", lambda: setup)
    monkeypatch.setattr(
        Triage,
        "load",
        lambda own: SimpleNamespace(artefact=load(in_service(own)), policy=POLICY),
    )
    monkeypatch.setattr(promote_command, "stored", one.stored)
    monkeypatch.setattr(promote_command, "findings", one.findings)
    monkeypatch.setattr(promote_command, "compared", one.compared)
    return one


def run(*arguments: str | Path) -> str:
    """What a command prints; raises what it raises."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == Exit.DONE, done.output
    return done.stdout


# triage promote ------------------------------------------------------------------------------


def test_it_compares_on_the_data_and_promotes(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    before = champion(setup)
    out = run("promote", make("mine"), "--data", "a.jsonl", "--data", "b.csv", "--reason", "new")
    ((challenger, against, data),) = comparing.asked
    assert (challenger.name, against) == ("mine", before.folder)
    assert data == (Path("a.jsonl"), Path("b.csv"))
    (change,) = history(setup)
    assert (change.after.name, change.before) == ("mine", before)
    assert (change.reason, change.by) == ("new", getpass.getuser())
    assert (change.comparison, change.findings, change.override) == ("c" * 64, (), "")
    assert f"{change.after} is in service in place of {before}" in out
    assert "Nothing speaks against it." in out
    assert "TRIAGE_MODEL" in out


def test_without_data_the_stored_comparison_of_the_two_is_taken(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    mine = make("mine")
    before = champion(setup)
    run("promote", mine, "--by", "ada")
    assert comparing.asked == [(before.digest, read_manifest(mine).digest)]
    (change,) = history(setup)
    assert (change.comparison, change.by) == ("c" * 64, "ada")


def test_without_any_comparison_it_says_which_one_to_make(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    comparing.says = None
    mine = make("mine")
    with pytest.raises(PromotionRefused) as caught:
        run("promote", mine)
    assert f"`triage compare` of mine with --champion {setup.model}" in caught.value.detail
    assert history(setup) == ()
    run("promote", mine, "--override", "the champion is gone")
    assert history(setup)[0].override == "the champion is gone"


def test_a_comparison_that_can_not_be_read_is_none(
    setup: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ArtefactRefused("It can't be read.")

    monkeypatch.setattr(promote_command, "stored", fail)
    with pytest.raises(PromotionRefused, match="none of these two models that can be read"):
        run("promote", make("mine"))
    run("promote", make("mine"), "--override", "the champion is gone")
    assert history(setup)[0].comparison == ""


def test_a_comparison_under_another_policy_does_not_count(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    comparing.policy = "sha256:another"
    with pytest.raises(PromotionRefused, match="another policy"):
        run("promote", make("mine"))
    assert history(setup) == ()


def test_a_comparison_of_what_a_folder_held_before_does_not_count(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    mine = make("mine")
    for pair in ((champion(setup).digest, "other"), ("other", read_manifest(mine).digest)):
        comparing.pair = pair
        with pytest.raises(PromotionRefused, match="of other models"):
            run("promote", mine, "--data", "a.jsonl")
    assert history(setup) == ()


def test_a_worse_challenger_is_refused_and_an_override_is_recorded(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    comparing.says = WORSE
    mine = make("mine")
    with pytest.raises(PromotionRefused, match=r"violence: recall falls\.\n- distress: .* rises\."):
        run("promote", mine)
    assert in_service(setup) == setup.model
    out = run("promote", mine, "--override", "accepted by the board")
    for finding in WORSE:
        assert str(finding) in out
    (change,) = history(setup)
    assert change.findings == ("violence: recall falls.", "distress: calibration error rises.")
    assert change.override == "accepted by the board"


def test_what_does_not_block_is_told_and_no_more(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    comparing.says = WORSE[-1:]
    assert "size: the model has 60 MB." in run("promote", make("mine"))
    assert history(setup)[0].findings == ()


def test_a_model_that_fails_its_checks_is_never_promoted(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    mine = make("mine")
    (mine / HEADS).write_bytes(b"rot")
    with pytest.raises(ArtefactRefused, match=HEADS):
        run("promote", mine, "--data", "a.jsonl", "--override", "it must be")
    assert comparing.asked == []
    assert in_service(setup) == setup.model


def test_what_the_service_can_not_load_is_not_promoted(
    setup: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(own: Settings) -> Triage:
        assert own.model.name == "mine"
        raise ArtefactRefused("The graph is none.")

    monkeypatch.setattr(Triage, "load", fail)
    with pytest.raises(ArtefactRefused, match="graph"):
        run("promote", make("mine"), "--override", "it must be")
    assert in_service(setup) == setup.model


def test_the_model_in_service_is_told_and_not_compared(
    setup: Settings, comparing: Comparing
) -> None:
    out = run("promote", setup.model, "--data", "a.jsonl")
    assert "is in service already" in out
    assert comparing.asked == []
    assert history(setup) == ()


def test_what_the_policy_and_the_model_do_not_know_is_told(make: Make) -> None:
    out = run("promote", make("mine"))
    assert "The policy names the category self_harm, which the model doesn't score" in out


def test_a_model_that_is_set_here_is_told(
    setup: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Settings(state=setup.state, model=setup.model)
    monkeypatch.setattr(promote_command, "settings", lambda: own)
    assert "TRIAGE_MODEL is set here" in run("promote", make("mine"))


def test_a_user_without_a_name(
    setup: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    run("promote", make("mine"))
    assert history(setup)[0].by.startswith("user ")


# triage rollback -----------------------------------------------------------------------------


def test_rollback_is_one_command(setup: Settings, make: Make) -> None:
    run("promote", make("mine"))
    out = run("rollback", "--reason", "too many alarms", "--by", "bo")
    assert f"shipped ({champion(setup).digest[:12]}) is in service in place of mine" in out
    last = history(setup)[-1]
    assert (last.kind, last.reason, last.by) == ("rollback", "too many alarms", "bo")
    with pytest.raises(PromotionRefused, match="no promotion to take back"):
        run("rollback")


# triage model show ---------------------------------------------------------------------------


def test_model_show_tells_how_it_came_into_service(
    setup: Settings, make: Make, comparing: Comparing
) -> None:
    comparing.says = WORSE[:1]
    mine = make("mine")
    assert "not in service" in run("model", "show", mine)
    run("promote", mine, "--reason", "more labels", "--by", "a\x1bda", "--override", "the board")
    out = run("model", "show")
    assert out.startswith("mine\n")
    assert f"digest: {read_manifest(mine).digest}" in out
    assert "\nin service\n" in out
    assert "promoted in place of shipped" in out
    assert "because: more labels" in out
    assert "in spite of: violence: recall falls. Overridden because: the board" in out
    assert "\x1b" not in out
    run("rollback", "--reason", "too many alarms")
    assert "not in service" in run("model", "show", mine)
    back = run("model", "show")
    assert back.startswith("shipped\n")
    assert "put back into service in place of mine" in back
    assert "promoted" not in back


def test_model_show_of_one_that_is_set(
    setup: Settings, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("promote", make("mine"))
    own = Settings(state=setup.state, model=make("pinned"))
    monkeypatch.setattr(model_command, "settings", lambda: own)
    out = run("model", "show")
    assert out.startswith("pinned\n")
    assert "\nin service\n" in out
    assert "not in service" in run("model", "show", champion(setup).folder)
