"""The roster: who is reached and how; its file, its secrets, and what it says when it is wrong."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import traceback
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from casework import SECRET, casework_policy, hook, roster_of
from pydantic import SecretStr, ValidationError

from triage.errors import RosterRefused
from triage.escalate.roster import NOBODY, Roster, Target
from triage.escalate.roster_file import RosterInService, load_roster, parse_roster, problems
from triage.policy.document import MAX_BYTES

HEX = "0" * 64
TOKEN = "a token of ann's"
DIGEST = f"sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}"
HOOK = "targets:\n  hook:\n    webhook: https://hook.example/in\n    secret: env:HOOK_SECRET\n"
FILE = f"""{HOOK}
    headers: {{X-API-KEY: env:HOOK_KEY}}
  chat: {{apprise: env:CHAT}}
people:
  ann: {{targets: [hook, chat], token: "{DIGEST}", opt_out: [hate], a_day: 20}}
  bob: {{targets: [hook], lead: true}}
lines:
  on-call: [ann, bob]
queues:
  violence: [chat]
fallback: [chat]
outcomes: [hook]
senders:
  service: env:HOOK_SECRET
link: https://triage.example/cases/
"""
_clock: Iterator[int] = count(1)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("HOOK_KEY", "hush-key")
    monkeypatch.setenv("CHAT", "json://ann:hush-word@chat.example/hush-path")
    monkeypatch.setenv("SHORT", base64.b64encode(b"hush" * 2).decode())
    monkeypatch.setenv("TEXT", "hush, this is no base64")
    monkeypatch.setenv("LINES", "hush\nhush")
    monkeypatch.delenv("NOTHING", raising=False)


def refusal(text: str | bytes) -> str:
    with pytest.raises(RosterRefused) as refused:
        parse_roster(text.encode() if isinstance(text, str) else text)
    return refused.value.detail


def put(file: Path, text: str) -> Path:
    """Writes a file whose time of change differs, however fast the test is."""
    file.write_text(text)
    now = next(_clock) * 1_000_000_000
    os.utime(file, ns=(now, now))
    return file


# A file ------------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    roster = load_roster(put(tmp_path / "roster.yaml", FILE))
    assert roster.targets["hook"].webhook == "https://hook.example/in"
    assert roster.targets["hook"].per_minute == 600
    assert roster.people["ann"].targets == ("hook", "chat")
    assert (roster.people["ann"].a_day, roster.people["ann"].opt_out) == (20, ("hate",))
    assert (roster.people["ann"].lead, roster.people["bob"].lead) == (False, True)
    assert roster.lines == {"on-call": ("ann", "bob")}
    assert roster.queues == {"violence": ("chat",)}
    assert (roster.fallback, roster.outcomes) == (("chat",), ("hook",))
    assert roster.link_of("c1") == "https://triage.example/cases/c1"


def test_without_a_file_there_is_nobody() -> None:
    assert load_roster(None) is NOBODY
    assert RosterInService(None).current() is NOBODY
    assert NOBODY.link_of("c1") is None
    assert NOBODY.line(("ann",)) == ()
    assert NOBODY.bearer("") is None


def test_a_file_that_can_not_be_read_is_refused_without_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(RosterRefused, match="TRIAGE_ROSTER") as refused:
            load_roster(path)
        assert str(path) not in refused.value.detail


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(RosterRefused, match=f"more than {MAX_BYTES} bytes"):
        load_roster(Path("/dev/zero"))


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "The roster is empty or no mapping. Start it with `targets:`."),
        ("- hook", "The roster is empty or no mapping. Start it with `targets:`."),
        (b"link: \xff", "The roster isn't UTF-8: byte 6 can't be read. Save it as UTF-8."),
        ("targets: [", "line 1, column 11"),
        ("people: {}\npeople: {}", "line 2, column 1: the key people is here twice."),
        ("fallback: &a []\n", "line 1, column 11: anchors and aliases are not allowed"),
        ("link: !x y\n", "line 1, column 7: tags are not allowed"),
        ("people: {}\nperson: 1\n", "line 2, column 9, person: Extra inputs are not permitted."),
        ("people:\n  ann: {lead: maybe}", "line 2, column 15, people.ann.lead: Input should be a "),
        ("people:\n  ann: {a_day: 0}", "line 2, column 16, people.ann.a_day: Input should be gre"),
        ("people:\n  ann: {token: abc}", "line 2, column 16, people.ann.token: String should ma"),
        ("people:\n  Ann: {}", "line 2, column 8, people.Ann.[key]: String should match"),
        ("people:\n  ann: {opt_out: [Hate]}", "line 2, column 19, people.ann.opt_out.0: String"),
        ("lines: {x: []}", "line 1, column 12, lines.x: Tuple should have at least 1 item"),
        ("lines: {x: [annn]}\npeople: {ann: {}}",
         "line 1, column 12, lines.x: no person annn; did you mean ann?."),
        (f"{HOOK}fallback: [hok]",
         "line 5, column 11, fallback: no target hok; did you mean hook?"),
        (f"{HOOK}outcomes: [chat]", "line 5, column 11, outcomes: no target chat."),
        (f"{HOOK}people:\n  ann: {{targets: [hok]}}",
         "line 6, column 18, people.ann.targets: no target hok; did you mean hook?"),
        (f"{HOOK}queues:\n  violence: [hok]", "line 6, column 13, queues.violence: no target hok"),
        (f"people:\n  ann: {{token: 'sha256:{HEX}'}}\n  bob: {{token: 'sha256:{HEX}'}}",
         "line 3, column 8, people.bob: ann has the same token."),
        ("link: ftp://x", "line 1, column 7, link: String should match pattern"),
        ("link: https://a b", "line 1, column 7, link: String should match pattern"),
        ("link: https://a\nsenders: {x: env:NOTHING}",
         "line 2, column 14, senders.x: the environment has no NOTHING."),
        ("senders: {x: env:SHORT}",
         "line 1, column 14, senders.x: a signing secret has 24 to 64 bytes, and this one 8."),
        ("senders: {x: env:TEXT}", "line 1, column 14, senders.x: a signing secret is base64, "),
        ("senders: {x: file:/dev/null}", "senders.x: the secret's file is empty."),
        ("senders: {x: file:/nowhere/x}",
         "senders.x: the secret's file can't be read (FileNotFoundError)."),
        ("senders: {x: file:/}", "senders.x: the secret's file can't be read (IsADirectoryError)."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_with_its_place(text: str | bytes, told: str) -> None:
    detail = refusal(text)
    assert told in detail
    assert detail.endswith(".")


SIGNED = "secret: env:HOOK_SECRET"
COOP = "coop: {item_type: a, reporter_type: b}"


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ("", "column 6, targets.t: say webhook or apprise, one of them."),
        (f"webhook: 'https://a.b/', apprise: env:CHAT, {SIGNED}", "say webhook or apprise"),
        (f"apprise: env:CHAT, {SIGNED}", "secret, coop, osprey and headers belong to a webhook"),
        ("apprise: env:CHAT, headers: {X: env:HOOK_KEY}", "belong to a webhook"),
        ("apprise: env:TEXT", "line 2, column 16, targets.t.apprise: Apprise can't use this addre"),
        ("webhook: 'https://a.b/'", "targets.t: a webhook needs a secret, to sign messages with."),
        (f"webhook: 'https://a.b/', {COOP}, osprey: {{}}", "say coop or osprey, one of them"),
        (f"webhook: 'http://a.b/', {SIGNED}", "a webhook is https, or its host is named in allow"),
        (f"webhook: 'http://a.b/', allow: [b], {SIGNED}", "a webhook is https, or its host"),
        (f"webhook: 'ftp://a.b/', {SIGNED}", "a webhook is https://host/path"),
        (f"webhook: 'https:///x', {SIGNED}", "a webhook is https://host/path"),
        (f"webhook: 'https://ann:pw@a.b/', {SIGNED}", "without a user in it"),
        (f"webhook: 'https://:pw@a.b/', {SIGNED}", "without a user in it"),
        (f"webhook: 'https://[::1/', {SIGNED}", "Invalid IPv6 URL"),
        (f"webhook: 'https://a.b:99999/', {SIGNED}", "Port out of range"),
        (f"webhook: 'https://a.b:0/', {SIGNED}", "a webhook's port is 1 to 65535"),
        (f"webhook: 'https://a.b:x/', {SIGNED}", "targets.t: Port could not be cast"),
        (f"webhook: 'https://ä.b/', {SIGNED}", "a webhook's address is ASCII without spaces"),
        (f"webhook: 'https://a.b/x y', {SIGNED}", "a webhook's address is ASCII without spaces"),
        (f'webhook: "https://a.b/x\\ny", {SIGNED}', "a webhook's address is ASCII without spaces"),
        (f"webhook: 'https://a.b/', {SIGNED}, per_minute: 0", "column 69, targets.t.per_minute: "),
        (f"webhook: 'https://a.b/', {SIGNED}, timeout: 61", "column 66, targets.t.timeout: "),
        (f"webhook: 'https://a.b/', {SIGNED}, timeout: nan", "column 66, targets.t.timeout: "),
        (f"webhook: 'https://a.b/', {SIGNED}, at_once: 65", "column 66, targets.t.at_once: "),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{X Y: env:HOOK_KEY}}",
         "column 72, targets.t.headers.X Y.[key]: a header's name is letters, digits"),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{Ü: env:HOOK_KEY}}", "a header's name is"),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{host: env:HOOK_KEY}}",
         "host is sent anyway; leave it out"),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{Webhook-Id: env:HOOK_KEY}}",
         "Webhook-Id is sent anyway; leave it out"),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{X: env:LINES}}",
         "column 70, targets.t.headers.X: a header's value is printable ASCII"),
        (f"webhook: 'https://a.b/', {SIGNED}, headers: {{X: plain}}",
         "targets.t.headers.X: a secret doesn't stand here; say env:NAME or file:PATH."),
        (f"webhook: 'https://a.b/', {SIGNED}, nothing: 1", "targets.t.nothing: Extra inputs"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_target_is_told_with_its_place(terms: str, told: str) -> None:
    detail = refusal(f"targets:\n  t: {{{terms}}}\n")
    assert detail.startswith("line 2, column ")
    assert told in detail


@pytest.mark.parametrize(
    "address", ["nothing://hush-word", "hush-word", "json://", "mailto://", "slack://hush-word"]
)
def test_an_address_that_apprise_can_not_use_is_refused_without_being_told(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("apprise"), "level", logging.NOTSET)
    caplog.set_level(1)
    monkeypatch.setenv("CHAT", address)
    detail = refusal("targets:\n  chat: {apprise: env:CHAT}\n")
    assert detail == "line 2, column 19, targets.chat.apprise: Apprise can't use this address."
    assert "hush" not in caplog.text


def test_of_many_things_that_are_wrong_five_are_told() -> None:
    lines = "".join(f"  p{n}: {{a_day: 0}}\n" for n in range(9))
    detail = refusal(f"people:\n{lines}")
    assert detail.count("people.p") == 5
    assert "line 6, column 15, people.p4.a_day" in detail


def test_http_is_taken_where_its_host_is_allowed() -> None:
    target = Target.model_validate(hook("http://127.0.0.1:8080/in"))
    assert target.allow == ("127.0.0.1",)


# Secrets -----------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text(f"{SECRET}\n")
    roster = parse_roster(
        FILE.replace("service: env:HOOK_SECRET", f"service: file:{kept}").encode()
    )
    hook_ = roster.targets["hook"]
    assert hook_.secret is not None
    assert hook_.secret.get_secret_value() == SECRET
    assert hook_.headers["X-API-KEY"].get_secret_value() == "hush-key"
    assert roster.senders["service"].get_secret_value() == SECRET


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_")])
def test_a_signing_secret_is_base64_with_its_prefix_or_without(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", secret)
    assert parse_roster(b"senders: {x: env:HOOK_SECRET}").senders["x"] == SecretStr(secret)


@pytest.mark.parametrize(("size", "is_taken"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_signing_secret_has_24_to_64_bytes(
    size: int, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", base64.b64encode(b"x" * size).decode())
    if is_taken:
        parse_roster(b"senders: {x: env:HOOK_SECRET}")
    else:
        assert f"24 to 64 bytes, and this one {size}" in refusal("senders: {x: env:HOOK_SECRET}")


def test_no_secret_is_in_what_a_roster_shows_of_itself() -> None:
    roster = parse_roster(FILE.encode())
    parts = (roster, *roster.targets.values(), *roster.people.values())
    shown = [f"{one!r} {one} {one.model_dump()} {one.model_dump_json()}" for one in parts]
    for secret in ("hush", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in "".join(shown)
    assert roster.model_dump()["targets"]["hook"]["secret"] == "…"


@pytest.mark.parametrize(
    "text",
    [
        f"senders: {{x: {SECRET}}}",
        "targets: {t: {apprise: 'json://ann:hush-word@chat.example'}}",
        "targets: {t: {webhook: 'https://a.b/', secret: 'hush'}}",
        "targets: {t: {webhook: 'https://a.b/', headers: {X: hush}}}",
        "targets: {t: {webhook: 'https://a.b/', apprise: env:CHAT}}",
        "targets: {t: {apprise: env:CHAT, headers: {X: env:HOOK_KEY}, at_once: 0}}",
        "senders: {x: env:SHORT, y: env:TEXT}",
        "targets: {t: {webhook: 'https://a.b/', headers: {X: env:LINES}}}",
    ],
)
def test_no_secret_is_in_a_refusal(text: str) -> None:
    with pytest.raises(RosterRefused) as refused:
        parse_roster(text.encode())
    shown = f"{refused.value!r} {refused.value} {refused.value.detail}" + "".join(
        traceback.format_exception(refused.value)
    )
    assert "hush" not in shown
    assert SECRET.removeprefix("whsec_") not in shown


def test_no_secret_is_in_an_error_of_the_schema() -> None:
    given = {"webhook": "https://a.b/", "headers": {"X": SecretStr("hush\n")}, "timeout": 99}
    with pytest.raises(ValidationError) as refused:
        Target.model_validate(given)
    assert refused.value.error_count() == 2
    assert "hush" not in f"{refused.value} {refused.value!r} {refused.value.errors()}"


# In service --------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return put(tmp_path / "roster.yaml", FILE)


@pytest.fixture
def served(file: Path) -> RosterInService:
    return RosterInService(file)


def test_a_changed_file_is_taken_up(served: RosterInService, file: Path) -> None:
    assert served.current().people["ann"].a_day == 20
    put(file, FILE.replace("a_day: 20", "a_day: 21"))
    assert served.current().people["ann"].a_day == 21
    assert served.problem == ""


def test_an_unchanged_file_is_not_read_again(served: RosterInService) -> None:
    assert served.current() is served.current()


@pytest.mark.parametrize(
    "broken", ["", "targets: [", FILE.replace("[ann, bob]", "[zoe]"), FILE.replace("CHAT", "NO")]
)
def test_a_broken_file_changes_nothing_and_is_told_loudly(
    served: RosterInService, file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = served.current()
    put(file, broken)
    assert served.current() is before
    assert served.current() is before
    assert served.problem
    (told,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert served.problem in told.getMessage()
    put(file, FILE.replace("a_day: 20", "a_day: 22"))
    assert served.current().people["ann"].a_day == 22
    assert served.problem == ""


def test_a_file_that_is_gone_changes_nothing_until_it_is_back(
    served: RosterInService, file: Path
) -> None:
    before = served.current()
    file.rename(file.with_suffix(".away"))
    assert served.current() is before
    assert "can't be read" in served.problem
    file.with_suffix(".away").rename(file)
    assert served.current() == before
    assert served.problem == ""


def test_without_a_good_one_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(RosterRefused):
        RosterInService(put(tmp_path / "roster.yaml", "targets: ["))
    with pytest.raises(RosterRefused):
        RosterInService(tmp_path / "missing.yaml")


# Who ---------------------------------------------------------------------------------------------


def test_a_line_is_its_people_in_order_and_each_once() -> None:
    roster = roster_of(lines={"on-call": ["bob", "ann"], "violence": ["cyn", "ann"]})
    assert roster.line(("on-call",)) == ("bob", "ann")
    assert roster.line(("violence", "on-call")) == ("cyn", "ann", "bob")
    assert roster.line(("dan", "on-call", "dan")) == ("dan", "bob", "ann")
    assert roster.line(("nobody-knows", "dan")) == ("dan",)
    assert roster.line(()) == ()


def test_a_token_is_its_bearers_and_nobody_elses() -> None:
    people = {"ann": {"token": DIGEST}, "bob": {"token": f"sha256:{HEX}"}, "cyn": {}}
    roster = Roster.model_validate({"people": people})
    assert roster.bearer(TOKEN) == "ann"
    for other in ("", "ann", DIGEST, HEX, TOKEN.upper(), f"{TOKEN} ", "ä"):
        assert roster.bearer(other) is None


def test_a_roster_for_its_policy_has_no_problems() -> None:
    lines = {"on-call": ["ann"], "violence": ["cyn"], "hate": ["eve"]}
    assert problems(roster_of(lines=lines, queues={"hate": ["hook"]}), casework_policy()) == []


def test_queues_that_reach_nobody_are_told_with_who_is_told_instead() -> None:
    people = {"ann": {"targets": ["hook"]}, "eve": {}}
    lines = {"on-call": ["ann"], "hate": ["eve"]}
    lost = "nobody of its line has a target"
    roster = roster_of(people=people, lines=lines)
    assert problems(roster, casework_policy()) == [
        f"queue violence: {lost}; those who take its overflow are told",
        f"queue hate: {lost}; NOBODY IS TOLD of what is there",
        f"queue unscored: {lost}; NOBODY IS TOLD of what is there",
    ]
    roster = roster_of(people=people, lines=lines, fallback=["hook"])
    assert problems(roster, casework_policy())[1] == f"queue hate: {lost}; the fallback is told"
    (told,) = problems(NOBODY, casework_policy())
    assert "NOBODY IS TOLD of any case" in told


def test_who_is_told_instead_may_be_two_queues_away() -> None:
    queues = {
        name: {"members": [name], "capacity": 1} | ({"overflow": to} if to else {})
        for name, to in (("violence", "hate"), ("hate", "on-call"), ("on-call", ""))
    }
    policy = casework_policy(queues=queues | {"unscored": queues["on-call"]})
    roster = roster_of(people={"ann": {"targets": ["hook"]}}, lines={"on-call": ["ann"]})
    told = [one.partition("; ")[2] for one in problems(roster, policy)]
    assert told == ["those who take its overflow are told"] * 2


def test_names_that_a_policy_does_not_know_are_told() -> None:
    people = {
        name: {"targets": ["hook"]} | ({"opt_out": ["hate", "hat"]} if name == "ann" else {})
        for name in ("ann", "cyn", "eve")
    }
    lines = {"on-call": ["ann"], "violence": ["cyn"], "hate": ["eve"], "on_call": ["ann"]}
    roster = roster_of(people=people, lines=lines, queues={"violense": ["hook"]})
    assert problems(roster, casework_policy()) == [
        "line on_call is no member of the policy; did you mean on-call?",
        "queue violense is not of the policy; did you mean violence?",
        "person ann is spared hat, which the policy doesn't know",
    ]


def test_coop_is_told_once_of_each_case() -> None:
    coop = {"webhook": "https://coop.example/", "coop": {"item_type": "a", "reporter_type": "b"}}
    for wrong in (
        {"fallback": ["coop"]},
        {"outcomes": ["coop"]},
        {"people": {"x": {"targets": ["coop"]}}},
    ):
        with pytest.raises(ValueError, match="name it under queues"):
            Roster.model_validate({"targets": {"coop": coop}} | wrong)
    assert Roster.model_validate({"targets": {"coop": coop}, "queues": {"a": ["coop"]}})
