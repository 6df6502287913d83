from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from triage.errors import PolicyRefused
from triage.policy import document
from triage.policy.against import check
from triage.policy.loading import load_policy
from triage.policy.model import Policy, parse_policy
from triage.policy.parts import Action, Verb
from triage.taxonomy import FLAGS

SMALL = """\
name: small
version: 1.10
owner: the safety team
levels: {likely: 0.8}
categories:
  distress: {threshold: 0.5, severity: 5, critical: yes}
  hate: {threshold: likely, severity: 3}
events: [scream, speech]
context:
  locale: {kind: string, default: en}
  tries: {kind: int, default: 0}
history: {windows: {day: 86400}, cool_down: 3600}
severity_if:
  - {when: event_scores.scream >= likely, categories: [distress], add: 1}
tiers:
  E0: {deadline: null, who: null}
  E1: {deadline: null, who: null}
  E2: {deadline: 86400, who: specialists}
  E3: {deadline: 3600, who: on call}
  E4: {deadline: 300, who: on call}
queues:
  on-call: {members: [anna, ben], capacity: 10, hours: {zone: Europe/Berlin, start: "08:00", end: "17:30", days: [mon, fri]}}
  hate: {members: [carla], capacity: 5}
  unscored: {members: [carla], capacity: 5}
rules:
  - id: heard
    when: scores.distress >= likely && event_scores.scream >= 0.7 && !flags.noisy
    tier: E3
    actions: [queue:on-call, withhold]
    reason: Somebody is heard.
    mode: off
    legal: {us: 18 USC 2702}
  - id: hate
    when: |
      scores.hate >= likely
        || (scores.hate >= 0.7 && context.locale == "de")
        || history.day.hate >= 3
    tier: E2
    actions: [queue:hate]
    reason: Somebody is hated.
  - {id: third, when: 'scores.hate >= 0.7 && context.tries > 2', tier: E1, actions: [count], reason: It is.}
fallbacks:
  stage_failed: {tier: E2, actions: [queue:unscored], reason: It failed.}
  unknown_category:
    {threshold: 0.5, severity: 4, tier: E2, actions: [queue:unscored], reason: It is unknown.}
  invalid_score: {tier: E2, actions: [queue:unscored], reason: It is no score.}
  rule_failed: {tier: E2, actions: [queue:unscored], reason: It can't be asked.}
tests:
  - {name: hate, given: {scores: {hate: 0.9}}, expect: {tier: E2, rule: hate, actions: [queue:hate]}}
"""  # noqa: E501


def changed(old: str, new: str) -> bytes:
    assert old in SMALL
    return SMALL.replace(old, new, 1).encode()


# What is taken -----------------------------------------------------------------------------------


def test_a_policy_is_read_as_it_is_written() -> None:
    policy = parse_policy(SMALL.encode())
    heard = policy.rules[0]
    assert (policy.name, policy.version) == ("small", "1.10")
    assert policy.categories["hate"].threshold == 0.8
    assert heard.when == "scores.distress >= likely && event_scores.scream >= 0.7 && !flags.noisy"
    assert heard.actions == (Action(Verb.QUEUE, "on-call"), Action(Verb.WITHHOLD))
    assert heard.mode == "off"
    assert policy.rules[1].mode == "live"
    assert policy.tiers["E3"].deadline == 3600
    assert policy.tiers["E0"].who is None
    hours = policy.queues["on-call"].hours
    assert hours is not None
    assert (str(hours.tzinfo), hours.days, str(hours.end)) == (
        "Europe/Berlin",
        ("mon", "fri"),
        "17:30:00",
    )
    assert policy.queues["hate"].hours is None
    assert policy.critical == ("distress",)
    assert policy.context["tries"].default == 0
    assert policy.counted == ("history.day.distress", "history.day.hate", "history.day.any")


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
        ("owner: the safety team\n", "", "owner: Field required"),
        ("name: small", "name: Small", "line 1, column 7, name: String should match"),
        ("severity: 5", "severity: 8", "line 6, column 40, categories.distress.severity: Input"),
        ("threshold: 0.5", "threshold: 0", "categories.distress.threshold: Input should be gre"),
        ("threshold: 0.5", "threshold: 1.01", "categories.distress.threshold: Input should be l"),
        ("threshold: 0.5", "threshold: .nan", "categories.distress.threshold: Input should be a"),
        ("threshold: 0.5", "threshold: inf", "there is no level inf"),
        ("threshold: likely", "threshold: likly", "no level likly; did you mean likely?"),
        ("{likely: 0.8}", "{likely: high}", "line 4, column 18, levels.likely: Input"),
        ("{likely: 0.8}", "[likely]", "line 4, column 9, levels: Input should be a valid dict"),
        ("  distress: {", "  any: {threshold: 0.5, severity: 1}\n  distress: {",
         "line 6, column 8, categories.any: any means every category"),
        ("  distress: {", "  with-dash: {threshold: 0.5, severity: 1}\n  distress: {",
         "categories.with-dash.[key]: String should match"),
        ("[distress], add", "[distrss], add", "distrss is not among the categories; did you mean"),
        ("add: 1", "add: 8", "severity_if.0.add: Input should be less than or equal to 7"),
        ("tier: E3", "tier: E5", "line 28, column 11, rules.0.tier: Input should be 'E0'"),
        ("mode: off", "mode: maybe", "rules.0.mode: Input should be 'live', 'shadow' or 'off'"),
        ("reason: It failed.", "reason: ''", "fallbacks.stage_failed.reason: String should have"),
        ("withhold]", "withold]", "there is no action withold; did you mean withhold?"),
        ("withhold]", "withhold:me]", "withhold reaches nobody; write it alone"),
        ("[queue:hate]", "[queue]", "queue must say whom it reaches, as in queue:on-call"),
        ("[queue:hate]", "['page: ']", "page must say whom it reaches, as in page:on-call"),
        ("[queue:hate]", "[queue:hat]",
         "line 39, column 14, rules.1.actions: hat is not among the queues; did you mean hate?"),
        ("[queue:unscored]", "[page:unscred]", "unscred is not among the queues; did you mean uns"),
        ("members: [carla]", "members: []", "queues.hate.members: Tuple should have at least 1"),
        ("capacity: 5}", "capacity: 0}", "queues.hate.capacity: Input should be greater than 0"),
        ("Europe/Berlin", "Europe/Berln", "no time zone Europe/Berln; did you mean Europe/Berlin?"),
        ("Europe/Berlin", "../etc/passwd", "there is no time zone ../etc/passwd"),
        ('"17:30"', "late", "queues.on-call.hours.end: Input should be in a valid time format"),
        ("[mon, fri]", "[mon, fry]", "hours.days.1: Input should be 'mon'"),
        ("kind: int", "kind: whole", "context.tries.kind: Input should be 'bool', 'int', 'double'"),
        ("default: 0}", "default: many}", "line 11, column 10, context.tries: invalid literal"),
        ("default: 0}", "default: 9223372036854775808}", "context.tries: this is no int"),
        ("{day: 86400}", "{day: 0}", "history.windows.day: Input should be greater than 0"),
        ("{day: 86400}", "{day: 3000000}", "Input should be less than or equal to 2592000"),
        ("owner: the", "effective: {since: 2026-02-30}\nowner: the", "effective.since: Input sh"),
        ("owner: the", "effective: {since: 2026-02-02, until: 2026-02-01}\nowner: the",
         "effective: until 2026-02-01 is before since 2026-02-02"),
        ("id: heard", "id: hate", "line 33, column 9, rules.1.id: hate is taken"),
        ("id: heard", "id: none", "line 26, column 9, rules.0.id: none is taken"),
        ("[queue:hate]", "[count]", "rules.1: somebody must look in tier E2; add a queue or a"),
        ("tier: E3", "tier: E1", "rules.0: nobody looks in tier E1; take a higher tier"),
        ("86400, who: specialists", "null, who: null", "somebody must look in tier E2; say who"),
        ("86400, who: specialists", "86400, who: null", "line 18, column 7, tiers.E2: deadline"),
        ("deadline: null, who: null", "deadline: 9, who: me", "nobody looks in tier E0"),
        ("deadline: 300,", "deadline: 3601,", "tiers.E4: 3601 s is longer than the 3600 s"),
        ("{deadline: 300, ", "{", "line 20, column 7, tiers.E4.deadline: Field required"),
        ("deadline: 86400", "deadline: 0", "tiers.E2.deadline: Input should be greater than 0"),
        ("deadline: 86400", "deadline: 3000000", "Input should be less than or equal to 2592000"),
        ("  E4: {deadline: 300, who: on call}\n", "", "tiers: tier E4 is missing"),
        ("stage_failed: {tier: E2, actions: [queue:unscored],", "stage_failed: {tier: E1, actions: "
         "[count],", "fallbacks.stage_failed: a fallback must end with somebody who looks"),
        ("  rule_failed: {tier: E2, actions: [queue:unscored], reason: It can't be asked.}\n", "",
         "line 43, column 3, fallbacks.rule_failed: Field required"),
        ("name: small", "name: small\ndigest: x", "line 2, column 9, digest: it is worked out"),
        ("given: {scores: {hate: 0.9}}", "given: {scores: {hte: 0.9}}",
         "tests.0.given.scores.hte: nothing is named hte; did you mean hate?"),
        ("given: {scores: {hate: 0.9}}", "given: {scores: {hate: 1.1}}",
         "tests.0.given.scores.hate: Input should be less than or equal to 1"),
        ("given: {scores: {hate: 0.9}}", "given: {context: {locle: de}}",
         "tests.0.given.context.locle: nothing is named locle; did you mean locale?"),
        ("given: {scores: {hate: 0.9}}", "given: {history: {dy: {hate: 1}}}",
         "tests.0.given.history.dy: nothing is named dy; did you mean day?"),
        ("given: {scores: {hate: 0.9}}", "given: {flags: {nosy: yes}}",
         "tests.0.given.flags.nosy: nothing is named nosy; did you mean noisy?"),
        ("rule: hate,", "rule: hte,", "tests.0.expect.rule: there is no rule hte; did you mean ha"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, told: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(changed(old, new))
    assert told in refused.value.detail


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        # Plain, in a flow mapping, quoted and in a block; at the names themselves.
        ("scores.distress >= likely", "scores.distres >= likely",
         "line 27, column 17, rules.0.when: nothing is named scores.distres; did you mean scor"),
        ("event_scores.scream >= 0.7", "event_scores.scream >= 1",
         "line 27, column 60, rules.0.when: >= can't be asked of double and int; write a whole"),
        ("event_scores.scream >= likely", "event_scores.screm >= likely",
         "line 14, column 24, severity_if.0.when: nothing is named event_scores.screm; did"),
        ("event_scores.scream >= likely", "severity >= 3", "severity_if.0.when: nothing is named"),
        ("context.tries > 2", "context.trys > 2",
         "line 41, column 53, rules.2.when: nothing is named context.trys; did you mean conte"),
        ("'scores.hate >= 0.7 && context.tries > 2'", '"scores.hate >= 0.7 && context.tries > 2.0"',
         "line 41, column 60, rules.2.when: > can't be asked of int and double"),
        ("scores.hate >= likely\n", "scores.hate >= likly\n",
         "line 35, column 22, rules.1.when: nothing is named likly; did you mean likely?"),
        ('|| (scores.hate >= 0.7', '|| (scores.hat >= 0.7',
         "line 36, column 19, rules.1.when: nothing is named scores.hat; did you mean score"),
        ('context.locale == "de"', "context.locale == 7",
         "line 36, column 50, rules.1.when: == can't be asked of string and int"),
        ("history.day.hate >= 3", "history.week.hate >= 3",
         "line 37, column 24, rules.1.when: nothing is named history.week.hate; did you mean"),
        ("history.day.hate >= 3", "scores.hate < 0.1",
         "line 34, column 11, rules.1.when: this may no longer hold because scores.hate rose"),
        ("history.day.hate >= 3", "3 / 0 > 1", "rules.1.when: this can't be evaluated"),
        ("history.day.hate >= 3", "events.exists(e, e.label == 'x')", "can't be evaluated where"),
        ("history.day.hate >= 3", "history.day.hate", "line 37, column 9, rules.1.when: || can't"),
        # Put together from several lines, or with signs that stand for others.
        ("when: scores.distress >= likely &&", "when: scores.distres >= likely\n      &&",
         "line 27, column 11, rules.0.when, at character 7 of its line 1: nothing is named"),
        ("'scores.hate >= 0.7 &&", "'context.locale == ''x'' && scores.hte >= 0.7 &&",
         "rules.2.when, at character 32 of its line 1: nothing is named scores.hte"),
        ("!flags.noisy", "!flags.nosy", "nothing is named flags.nosy; did you mean flags.noisy?"),
        ("    mode: off", "    mode: off\n    falls_with: [scores.hate]",
         "rules.0.falls_with: the condition doesn't speak of scores.hate"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_condition_is_told_with_its_place_in_the_file(
    old: str, new: str, told: str
) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(changed(old, new))
    assert told in refused.value.detail


@pytest.mark.parametrize(
    ("header", "line", "column"), [("|\n\n", 38, 22), ("|2-\n", 37, 22), ("|  # so\n", 37, 22)]
)
def test_lines_and_columns_are_those_of_the_file_whatever_the_block(
    header: str, line: int, column: int
) -> None:
    data = changed("when: |\n", f"when: {header}").replace(b"history.day.hate", b"histry.day.hate")
    with pytest.raises(PolicyRefused, match=f"line {line}, column {column}, rules.1.when: nothing"):
        parse_policy(data)


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("scores.hate >= 0.7 &&", "it ends where more must follow"),
        ("  ", "it ends where more must follow"),
        ("scores.hate >= '0.7'", ">= can't be asked of double and string"),
        ("context.locale > 0.5", "> can't be asked of string and double"),
        ("scores.hate", "a condition must be true or false, and this is double"),
        ("scores.hate >= 0.7 // " + "x" * 1_000, "has at most 1000 characters, this has 1022"),
        (" || ".join(["scores.hate >= 0.7"] * 60), "at most 1000 characters, this has 1316"),
        ("[1, 2].all(x, events.exists(e, e.score > 0.5))", "can't hold another, nor the events"),
        ("events.exists(e, e in events)", "it may run long"),
        ("(" * 40 + "true" + ")" * 40, "too many brackets or signs are in each other"),
        (" || ".join(f"flags.{one}" for one in FLAGS), "speaks of at most 6 flags, this of 9"),
        ("1 / 0 > 0", "this can't be evaluated anywhere; guard it"),
        ("1 / severity > 0", "this can't be evaluated where severity is 0; guard it"),
        ("9223372036854775807 + severity > 0", "can't be evaluated where severity is"),
        ("int(1e300 * scores.hate) > 0", "can't be evaluated where scores.hate is"),
        (".scores.hate >= 0.7", "write scores.violence as it is"),
    ],
)
def test_a_condition_that_is_no_good_is_refused_with_a_clear_word(when: str, told: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(changed("'scores.hate >= 0.7 && context.tries > 2'", f'"{when}"'))
    assert "rules.2.when" in refused.value.detail
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
        (b"name: x # " + b"a" * 10_000_000, "more than 1000000 bytes"),
        (
            b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
            "line 1, column 4: anchors and aliases are not allowed; write it out",
        ),
    ],
)
def test_what_is_no_plain_yaml_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(data)
    assert told in refused.value.detail


def test_a_key_named_for_a_merge_merges_nothing() -> None:
    with pytest.raises(PolicyRefused, match="<<: Extra inputs"):
        parse_policy(changed("{threshold: 0.5,", "{<<: {threshold: 0.5},"))


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


# A policy and a model ----------------------------------------------------------------------------


def small() -> Policy:
    return parse_policy(SMALL.encode())


def test_a_policy_and_a_model_that_know_each_other_have_nothing_to_tell() -> None:
    assert check(small(), ["distress", "hate"], ["scream", "speech"]) == []


def test_what_they_do_not_know_of_each_other_is_told_with_the_nearest_name() -> None:
    assert check(small(), ["distres", "hate"], ["screams"]) == [
        "The policy names the category distress, which the model doesn't score; did you mean "
        "distres?",
        "The policy names the event scream, which the model doesn't score; did you mean screams?",
        "The policy doesn't know the category distres: its scores go to a person; did you mean "
        "distress?",
    ]


def test_what_only_makes_it_worse_is_checked_too() -> None:
    policy = parse_policy(changed("event_scores.scream >= likely", "event_scores.speech >= likely"))
    assert check(policy, ["distress", "hate"], ["scream"]) == [
        "The policy names the event speech, which the model doesn't score"
    ]


# Big ones ----------------------------------------------------------------------------------------


def test_a_policy_of_very_many_rules_is_asked_whole() -> None:
    one = SMALL[SMALL.index("  - {id: third") : SMALL.index("fallbacks:")]
    many = "".join(
        one.replace("third", f"rule-{number}").replace("> 2", f"> {number} // {'x' * 200}")
        for number in range(500)
    )
    policy = parse_policy(SMALL.replace(one, many).encode())
    met = policy.rule_conditions.met(
        {"scores.hate": 0.75, "scores.distress": 0.0, "context.tries": 499, "context.locale": "en"}
        | {"event_scores.scream": 0.0, "flags.noisy": False, "history.day.hate": 0}
    )
    assert met == [False, False, *[True] * 499, False]
