from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from triage.errors import PolicyRefused
from triage.policy import document
from triage.policy.model import Policy, check, load_policy, parse_policy
from triage.policy.parts import Action, Verb

SMALL = """\
name: small
version: 1.10
levels: {likely: 0.8}
categories:
  distress: {threshold: 0.5, severity: 5}
  hate: {threshold: likely, severity: 3}
severity_if:
  - {when: {any_event: {scream: likely}}, categories: [distress], add: 1}
tiers:
  E0: {deadline: null, who: null}
  E1: {deadline: null, who: null}
  E2: {deadline: 86400, who: specialists}
  E3: {deadline: 3600, who: on call}
  E4: {deadline: 300, who: on call}
rules:
  - id: heard
    when: {any_category: {distress: likely}, any_event: {scream: 0.7}, flags: {noisy: no}}
    tier: E3
    actions: [queue:on-call, withhold]
    reason: Somebody is heard.
    mode: off
    legal: {us: 18 USC 2702}
  - id: hate
    when: {any_category: {hate: likely}}
    tier: E2
    actions: [queue:hate]
    reason: Somebody is hated.
fallbacks:
  stage_failed: {tier: E2, actions: [queue:unscored], reason: It failed.}
  unknown_category:
    {threshold: 0.5, severity: 4, tier: E2, actions: [queue:unscored], reason: It is unknown.}
  invalid_score: {tier: E2, actions: [queue:unscored], reason: It is no score.}
"""


def changed(old: str, new: str) -> bytes:
    assert old in SMALL
    return SMALL.replace(old, new, 1).encode()


# What is taken -----------------------------------------------------------------------------------


def test_a_policy_is_read_as_it_is_written() -> None:
    policy = parse_policy(SMALL.encode())
    heard = policy.rules[0]
    assert (policy.name, policy.version) == ("small", "1.10")
    assert policy.categories["hate"].threshold == 0.8
    assert heard.when.any_category == {"distress": 0.8}
    assert heard.when.any_event == {"scream": 0.7}
    assert heard.when.flags == {"noisy": False}
    assert heard.actions == (Action(Verb.QUEUE, "on-call"), Action(Verb.WITHHOLD))
    assert heard.mode == "off"
    assert policy.rules[1].mode == "live"
    assert policy.tiers["E3"].deadline == 3600
    assert policy.tiers["E0"].who is None


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(SMALL.encode())
    assert load_policy(path).digest == f"sha256:{hashlib.sha256(SMALL.encode()).hexdigest()}"
    assert parse_policy(SMALL.encode() + b"#").digest != load_policy(path).digest


def test_a_policy_can_not_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse_policy(SMALL.encode()).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("text", ["page:on-call", "queue:child-safety", "count", "withhold"])
def test_an_action_reads_as_it_is_written(text: str) -> None:
    assert str(Action.parse(text)) == text


# What is refused, where, and what to do ----------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: 1.10\n", "", "line 1, column 1, version: Field required"),
        ("version", "versoin", "line 2, column 10, versoin: Extra inputs are not permitted"),
        ("name: small", "name: Small", "line 1, column 7, name: String should match"),
        ("severity: 5", "severity: 8", "line 5, column 40, categories.distress.severity: Input"),
        ("threshold: 0.5", "threshold: 0", "categories.distress.threshold: Input should be gre"),
        ("threshold: 0.5", "threshold: 1.01", "categories.distress.threshold: Input should be l"),
        ("threshold: 0.5", "threshold: .nan", "categories.distress.threshold: Input should be a"),
        ("threshold: 0.5", "threshold: inf", "there is no level inf"),
        ("distress: likely", "distress: likly", "there is no level likly; did you mean likely?"),
        ("{likely: 0.8}", "{likely: high}", "line 3, column 18, levels.likely: Input"),
        ("{likely: 0.8}", "[likely]", "line 3, column 9, levels: Input should be a valid dict"),
        ("flags: {noisy: no}", "flags: {noisy: loud}", "rules.0.when.flags.noisy: Input"),
        ("any_event", "any_sound", "line 8, column 24, severity_if.0.when.any_sound: Extra"),
        ("{any_category: {hate: likely}}", "{}", "a condition must name a category, an event"),
        ("{hate: likely}", "{}", "rules.1.when.any_category: Dictionary should have at least 1"),
        ("{hate: likely}", "{hte: likely}", "hte is not among the categories; did you mean hate?"),
        ("[distress], add", "[distrss], add", "distrss is not among the categories; did you mean"),
        ("tier: E3", "tier: E5", "line 18, column 11, rules.0.tier: Input should be 'E0'"),
        ("mode: off", "mode: maybe", "rules.0.mode: Input should be 'live', 'shadow' or 'off'"),
        ("reason: It failed.", "reason: ''", "fallbacks.stage_failed.reason: String should have"),
        ("withhold]", "withold]", "there is no action withold; did you mean withhold?"),
        ("withhold]", "withhold:me]", "withhold reaches nobody; write it alone"),
        ("[queue:hate]", "[queue]", "queue must say whom it reaches, as in queue:on-call"),
        ("[queue:hate]", "['page: ']", "page must say whom it reaches, as in page:on-call"),
        ("id: heard", "id: hate", "line 23, column 9, rules.1.id: hate is taken"),
        ("id: heard", "id: none", "line 16, column 9, rules.0.id: none is taken"),
        ("[queue:hate]", "[count]", "rules.1: somebody must look in tier E2; add a queue or a"),
        ("tier: E3", "tier: E1", "rules.0: nobody looks in tier E1; take a higher tier"),
        ("86400, who: specialists", "null, who: null", "somebody must look in tier E2; say who"),
        ("86400, who: specialists", "86400, who: null", "line 12, column 7, tiers.E2: deadline"),
        ("deadline: null, who: null", "deadline: 9, who: me", "nobody looks in tier E0"),
        ("deadline: 300,", "deadline: 3601,", "tiers.E4: 3601 s is longer than the 3600 s"),
        ("deadline: 86400", "deadline: 0", "tiers.E2.deadline: Input should be greater than 0"),
        ("deadline: 86400", "deadline: 3000000", "Input should be less than or equal to 2592000"),
        ("  E4: {deadline: 300, who: on call}\n", "", "tiers: tier E4 is missing"),
        ("stage_failed: {tier: E2, actions: [queue:unscored],", "stage_failed: {tier: E1, actions: "
         "[count],", "fallbacks.stage_failed: a fallback must end with somebody who looks"),
        ("  invalid_score: {tier: E2, actions: [queue:unscored], reason: It is no score.}\n", "",
         "line 29, column 3, fallbacks.invalid_score: Field required"),
        ("name: small", "name: small\ndigest: x", "line 2, column 9, digest: it is worked out"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(changed(old, new))
    assert told in refused.value.detail


def test_a_policy_without_rules_or_categories_is_refused() -> None:
    start, rest = SMALL.split("rules:\n")
    fallbacks = rest[rest.index("fallbacks:") :]
    with pytest.raises(PolicyRefused, match="rules: Tuple should have at least 1 item"):
        parse_policy(f"{start}rules: []\n{fallbacks}".encode())
    with pytest.raises(PolicyRefused, match="rules: Field required"):
        parse_policy(f"{start}{fallbacks}".encode())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty or no mapping"),
        (b"# nothing\n", "empty or no mapping"),
        (b"- a\n- b\n", "empty or no mapping"),
        (b"a: \xff", "isn't UTF-8: byte 3"),
        (b"a: \0", "Character 3 of the policy"),
        (b"a: 1\nb: [1,\n", "line 3, column 1: while parsing a flow"),
        (b"a: 1\n\tb: 2", "line 2, column 1: while scanning"),
        (b"a: 1\nb: {c: 1, 'c': 2}", "line 2, column 11: the key c is here twice"),
        (b"[a, b]: 1", "line 1, column 1: a key must be a plain word"),
        (b"a: &a 1\nb: *a", "line 1, column 4: anchors and aliases"),
        (b"a: *a", "line 1, column 4: anchors and aliases"),
        (b"a: !!python/object/apply:os.getcwd []", "line 1, column 4: tags are not allowed"),
        (b"a: !!int x", "line 1, column 4: tags are not allowed"),
        (b"a: 1\n---\nb: 2", "line 2, column 1: expected a single document"),
        (b"a: " + b"[" * 400_000, "line 1, column 15: this is nested deeper than 12 levels"),
        (b"a: [" + b"1," * 20_000, "this has more than 20000 parts"),
        (b"a" * (document.MAX_BYTES + 1), "more than 1000000 bytes"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(data)
    assert told in refused.value.detail


def test_a_key_named_for_a_merge_merges_nothing() -> None:
    with pytest.raises(PolicyRefused, match="<<: Extra inputs"):
        parse_policy(changed("threshold: 0.5,", "<<: {threshold: 0.5},"))


@given(st.data())
def test_whatever_bytes_are_given_a_policy_is_taken_or_refused(data: st.DataObject) -> None:
    whole = SMALL.encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 20)))
    other = data.draw(st.binary(max_size=6) | st.sampled_from([b"&a ", b"*a", b"? ", b": ", b"{"]))
    try:
        policy = parse_policy(whole[:start] + other + whole[end:])
    except PolicyRefused:
        return
    assert policy.rules


def test_a_file_that_can_not_be_read_is_refused_without_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(PolicyRefused, match="TRIAGE_POLICY") as refused:
            load_policy(path)
        assert str(path) not in refused.value.detail


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(PolicyRefused, match="more than 1000000 bytes") as refused:
        load_policy(Path("/dev/zero"))
    assert refused.value.limit == document.MAX_BYTES


# A policy and a model ----------------------------------------------------------------------------


def small() -> Policy:
    return parse_policy(SMALL.encode())


def test_a_policy_and_a_model_that_know_each_other_have_nothing_to_tell() -> None:
    assert check(small(), ["distress", "hate"], ["scream", "speech"]) == []


def test_what_they_do_not_know_of_each_other_is_told_with_the_nearest_name() -> None:
    assert check(small(), ["distres", "hate"], ["screams"]) == [
        "The policy names the category distress, which nothing scores; did you mean distres?",
        "The policy names the event scream, which nothing scores; did you mean screams?",
        "The policy doesn't know the category distres: its scores go to a person; did you mean "
        "distress?",
    ]


def test_what_only_makes_it_worse_is_checked_too() -> None:
    policy = parse_policy(changed("any_event: {scream", "any_event: {scremm"))
    assert check(policy, ["distress", "hate"], ["scream"]) == [
        "The policy names the event scremm, which nothing scores; did you mean scream?"
    ]


def test_a_flag_that_nothing_raises_is_told() -> None:
    policy = parse_policy(changed("noisy", "nosy"))
    assert check(policy, ["distress", "hate"], ["scream"]) == [
        "The policy names the flag nosy, which nothing scores; did you mean noisy?"
    ]
