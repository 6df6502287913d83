"""How messages are written: for a webhook, for Coop and Osprey, for people; and what is in none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from casework import NOON, case_of, casework_policy, hook, roster_of
from conftest import FakeTriage

from triage.database.store import open_store
from triage.database.tables import NotificationRow
from triage.escalate.casebook import Casebook
from triage.escalate.neighbours import body, coop, osprey, text
from triage.escalate.records import Message
from triage.escalate.roster import CoopFormat, OspreyFormat, Target
from triage.escalate.telling import moment, resolved, told
from triage.policy.following import PolicyInService
from triage.process import Processor
from triage.records import Outcome, Recording
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser

AT = moment(NOON)
COOP = CoopFormat(
    item_type="case",
    reporter_type="service",
    policies={"violence": "pol_violence", "hate": "pol_hate"},
)
SCORES = {"categories": {"hate": 0.5, "sexual": 0.9, "violence": 0.6}, "events": {"scream": 0.7}}


def message(times: int = 0, now: float = NOON, **changes: Any) -> Message:
    """What is told of a case before `violence`."""
    case = case_of(scores=SCORES, **changes)
    (one,) = told(case, "violence", times, now, roster_of(), casework_policy()).messages
    return one


def ended(heard: tuple[str, ...] | None = ("violence",)) -> Message:
    (one,) = resolved(case_of(), "helped", heard, NOON, roster_of(outcomes=["hook"]))
    return one


def target(**terms: Any) -> Target:
    return Target.model_validate(hook(**terms))


def written(one: Message, **terms: Any) -> Any:
    return json.loads(body(one, AT, target(**terms)))


# A webhook of one's own --------------------------------------------------------------------------


def test_a_webhook_gets_type_time_and_data() -> None:
    one = message()
    assert written(one) == {"type": "case.escalated", "timestamp": AT, "data": one.payload}
    assert AT == "2026-05-04T12:00:00.000Z"


def test_the_bytes_do_not_depend_on_the_order_in_which_a_payload_was_made() -> None:
    one = message()
    other = replace(one, payload=dict(reversed(list(one.payload.items()))))
    for terms in ({}, {"coop": COOP}, {"osprey": OspreyFormat()}):
        assert body(one, AT, target(**terms)) == body(other, AT, target(**terms))


# Coop --------------------------------------------------------------------------------------------


def test_coop_gets_a_report_of_the_case_as_an_item() -> None:
    assert written(message(), coop=COOP) == {
        "reporter": {"kind": "user", "typeId": "service", "id": "triage"},
        "reportedAt": "2026-05-04T12:00:00.000Z",
        "reportedForReason": {"policyId": "pol_violence", "reason": "E3 by threat: threat."},
        "reportedItem": {
            "id": "a",
            "typeId": "case",
            "data": {
                "case": "a",
                "tier": "E3",
                "severity": 4,
                "rule": "threat",
                "reason": "threat.",
                "queue": "violence",
                "recording": "rec_a",
                "recordings": 1,
                "scores": json.dumps(SCORES),
                "raised_at": "2026-05-04T12:00:00.000Z",
                "due_at": "2026-05-04T13:00:00.000Z",
                "is_late": False,
                "times_told": 0,
                "link": "https://triage.example/cases/a",
            },
        },
    }


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({"hate": "1", "sexual": "2", "violence": "3"}, "2"),
        ({"hate": "1"}, "1"),
        ({"distress": "4"}, None),
        ({}, None),
    ],
)
def test_coops_policy_is_that_of_the_worst_category_that_has_one(
    policies: Mapping[str, str], told: str | None
) -> None:
    terms = CoopFormat(item_type="case", reporter_type="service", policies=policies)
    assert coop(message(), AT, terms)["reportedForReason"].get("policyId") == told


@pytest.mark.parametrize("one", [message(), ended(), ended(None)])
def test_items_of_coop_have_plain_fields_and_none_that_is_empty(one: Message) -> None:
    for value in coop(one, AT, COOP)["reportedItem"]["data"].values():
        assert isinstance(value, str | int | float | bool | list)


def test_triage_never_files_with_an_authority_by_itself() -> None:
    case = case_of(tier="E4", severity=7, scores={"categories": {"csam": 1.0}, "events": {}})
    (one,) = told(case, "violence", 0, NOON, roster_of(), casework_policy()).messages
    assert "csam" not in coop(one, AT, COOP)["reportedForReason"]
    assert set(coop(one, AT, COOP)) == {
        "reporter", "reportedAt", "reportedForReason", "reportedItem",
    }  # fmt: skip


# Osprey ------------------------------------------------------------------------------------------


def test_osprey_gets_an_event_with_an_id_that_is_a_number() -> None:
    one = message()
    found = written(one, osprey=OspreyFormat(action_name="a_case"))
    number = found["data"].pop("action_id")
    assert found == {
        "send_time": "2026-05-04T12:00:00.000Z",
        "data": {
            "action_name": "a_case",
            "data": {"event_type": "case.escalated", **one.payload},
        },
    }
    assert type(number) is int
    assert 0 <= number < 2**63


def test_ospreys_id_is_of_the_message_and_not_of_the_attempt() -> None:
    first, second = message(), message(times=1)

    def number(one: Message, at: float) -> int:
        found: int = osprey(one, moment(at), OspreyFormat())["data"]["action_id"]
        return found

    assert number(first, NOON) == number(first, NOON + 60)
    assert number(first, NOON) != number(second, NOON)


# People ------------------------------------------------------------------------------------------


def test_people_are_told_what_it_is_and_by_when_they_must_look() -> None:
    one = message()
    title, lines = text(one)
    assert title == "E3 escalated: threat."
    assert lines.splitlines() == [
        "Case a, severity 4, by rule threat.",
        "Queue violence.",
        "Somebody must look by 2026-05-04T13:00:00.000Z.",
        "https://triage.example/cases/a",
        f"Message {one.id}.",
    ]


def test_people_are_told_that_it_is_late() -> None:
    title, lines = text(message(times=2, now=NOON + 7_200))
    assert title == "E3 reminded: threat."
    assert "Somebody must look by 2026-05-04T13:00:00.000Z, which is past." in lines


def test_people_are_told_how_it_ended() -> None:
    title, lines = text(ended())
    assert title == "E3 resolved: threat."
    assert "It ended as helped." in lines
    assert "must look" not in lines
    assert "Queue" not in lines


def test_there_is_no_empty_line_where_there_is_no_link() -> None:
    (one,) = told(case_of(), "violence", 0, NOON, roster_of(link=""), casework_policy()).messages
    assert "" not in text(one)[1].splitlines()


# What is in none of them -------------------------------------------------------------------------


def test_no_message_holds_a_callers_id_a_word_said_or_a_persons_name(
    fake_triage: FakeTriage, tmp_path: Path
) -> None:
    policy = casework_policy()
    fake_triage.followed = PolicyInService.fixed(policy)
    people = {name: {"targets": ["hook"]} for name in ("xanthippe", "yorick")}
    lines = {"on-call": ["xanthippe", "yorick"]}
    roster = roster_of(people=people, lines=lines, queues={"on-call": ["hook"]})
    store, audit = open_store(f"sqlite:///{tmp_path / 'triage.db'}"), AuditLog(tmp_path / "audit")
    book = Casebook(store, lambda: policy, lambda: roster, audit)
    triage: Any = fake_triage
    processor = Processor(triage, Pseudonymiser(b"k" * 32), audit, book, workers=1)
    recording = Recording(
        "kitchen-7", b"sound", transcript="help me waldemar", context={"account": "theodora"}
    )
    (answer,) = processor.process([recording], "http")
    assert isinstance(answer, Outcome)
    with store.connect() as connection:
        rows = list(connection.execute(sa.select(NotificationRow.__table__)).mappings())
    assert {row["person"] for row in rows} == {"xanthippe", ""}
    for row in rows:
        payload = json.loads(row["payload"])
        assert payload["account"]
        assert payload["recording"]
        one = Message(
            row["id"], row["case"], row["queue"], row["kind"], row["person"], "hook", "E3", payload
        )
        ways: tuple[dict[str, Any], ...] = ({}, {"coop": COOP}, {"osprey": OspreyFormat()})
        everything = [body(one, AT, target(**terms)).decode() for terms in ways]
        for form in (*everything, *text(one)):
            for word in ("kitchen", "theodora", "waldemar", "help me", "xanthippe", "yorick"):
                assert word not in form.lower()
