"""`triage policy`: check, test, show, diff, shadow, promote and sign."""

from __future__ import annotations

import stat
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.monitor import duration
from triage.cli.tables import NONE, TIER_STYLES, plain_console, plain_table
from triage.database.store import open_store
from triage.decisions import Compared, Decisions
from triage.errors import PolicyRefused
from triage.files import put
from triage.manifest import read_manifest
from triage.policy.against import check as against_model
from triage.policy.diff import by_whom, diff
from triage.policy.document import Document
from triage.policy.loading import approved, as_written, read_policy, tested
from triage.policy.model import Policy, parse_policy
from triage.policy.parts import TIERS
from triage.policy.signing import sign, signature_file
from triage.registry import in_service
from triage.settings import settings

MOST_DAYS = 31  # shown by `shadow`


def check(file: Path | None) -> Exit:
    """Validates a policy.

    Raises:
        PolicyRefused: It can't decide; says where and why.
    """
    policy = approved(_policy(file))
    manifest = read_manifest(in_service(settings()))
    console = plain_console()
    notes = against_model(policy, manifest.categories, manifest.events)
    for note in notes:
        console.print(f"Note: {note}.")
    rules = Counter(rule.mode for rule in policy.rules)
    told = ", ".join(f"{count} {mode}" for mode, count in rules.items())
    console.print(
        f"{policy.name} {policy.version} can decide: {told} rules, {len(policy.queues)} queues, "
        f"{len(policy.tests)} tests passed."
    )
    console.print(policy.digest)
    return Exit.DONE


def test(file: Path | None) -> Exit:
    """Runs a policy's own tests; `Exit.SETUP` if one fails, for it couldn't go into service.

    Raises:
        PolicyRefused: It isn't a policy.
    """
    policy, console = _policy(file), plain_console()
    failed = tested(policy)
    for one in failed:
        console.print(f"Failed: {one}.")
    console.print(f"{len(policy.tests) - len(failed)} of {len(policy.tests)} tests passed.")
    return Exit.SETUP if failed else Exit.DONE


def show(file: Path | None) -> Exit:
    """Shows a policy's rules by tier, and its queues.

    Raises:
        PolicyRefused: It isn't a policy.
    """
    policy, console = _policy(file), plain_console()
    console.print(f"{policy.name} {policy.version}, owned by {policy.owner}. {policy.digest}")
    rules = plain_table("Rules", "tier", "within", "rule", "mode", "~when", "~actions")
    for rule in sorted(policy.rules, key=lambda one: -TIERS.index(one.tier)):
        rules.add_row(
            Text(rule.tier, TIER_STYLES[rule.tier]),
            _seconds(policy.tiers[rule.tier].deadline),
            rule.id,
            rule.mode,
            " ".join(rule.when.split()),
            ", ".join(map(str, rule.actions)) or NONE,
        )
    console.print(rules)
    queues = plain_table("Queues", "queue", "~members", ">reviews a day", "hours")
    for name, queue in policy.queues.items():
        open_ = queue.hours
        hours = f"{open_.start:%H:%M}–{open_.end:%H:%M} {open_.zone}" if open_ else "always"  # noqa: RUF001
        queues.add_row(name, ", ".join(queue.members), f"{queue.capacity:,}", hours)
    console.print(queues)
    return Exit.DONE


def difference(new: Path, old: Path | None) -> Exit:
    """Says what changes for whom; what asks for less is marked.

    Raises:
        PolicyRefused: One of them isn't a policy.
    """
    console = plain_console()
    changes = diff(_policy(old), _policy(new))
    if not changes:
        console.print("The policies decide alike.")
    for whom, some in by_whom(changes).items():
        console.print(Text(whom, "bold"))
        for one in some:
            mark = "less  " if one.weaker else "      "
            console.print(Text(mark, "bold red").append(f"{one.what}.", ""))
    return Exit.DONE


def shadow(since: str) -> Exit:
    """Compares decisions with their shadows.

    Raises:
        BadField: `since` is no length of time.
        StoreFailed: The store can't be read.
    """
    now = datetime.now(UTC)
    tiers, days, rules = Counter[tuple[str, str]](), dict[str, list[int]](), Counter[str]()
    for one in Decisions(open_store(settings().store_url)).compared(now - duration(since)):
        tiers[one.tier, one.shadow_tier] += 1
        day = days.setdefault(f"{one.at:%Y-%m-%d}", [0, 0, 0])
        day[0] += 1
        day[1] += _more(one)
        day[2] += _more(one) and one.shadow_tier in TIERS[2:]
        if _more(one):
            rules[one.shadow_rule] += 1
    console = plain_console()
    if not tiers:
        console.print(f"Nothing was decided in the last {since}.")
        return Exit.DONE
    table = plain_table("Decisions by tier: rows live, columns with the shadow rules", "live")
    for tier in TIERS:
        table.add_column(tier, justify="right")
    for live in TIERS:
        table.add_row(
            live, *(f"{tiers[live, one]:,}" if tiers[live, one] else NONE for one in TIERS)
        )
    console.print(table)
    by_day = plain_table("By day (UTC)", "day", ">decisions", ">raised", ">somebody looks")
    for name, (all_, raised, looked) in list(days.items())[-MOST_DAYS:]:
        by_day.add_row(name, f"{all_:,}", f"{raised:,}", f"{looked:,}")
    console.print(by_day)
    by_rule = plain_table("Raised by", "shadow rule", ">decisions")
    for rule, count in rules.most_common():
        by_rule.add_row(rule, f"{count:,}")
    console.print(by_rule)
    return Exit.DONE


def promote(rule: str, file: Path | None) -> Exit:
    """Makes a shadow rule live.

    Raises:
        PolicyRefused: There is no such rule, it isn't a shadow rule, or the policy that would
            come of it couldn't go into service. The file is as it was.
        OSError: The file can't be written.
    """
    path, console = file or settings().policy, plain_console()
    data = read_policy(path)
    policy = parse_policy(data)
    places = {one.id: number for number, one in enumerate(policy.rules)}
    if rule not in places or policy.rules[places[rule]].mode != "shadow":
        known = [one.id for one in policy.rules if one.mode == "shadow"]
        raise PolicyRefused(
            f"{rule} is no shadow rule of {policy.name}. Its shadow rules are: "
            f"{', '.join(known) or 'none'}.",
            limit=known,
        )
    changed = Document(data).replaced(("rules", places[rule], "mode"), "live")
    fresh = approved(parse_policy(changed))
    put(path, changed, stat.S_IMODE(path.stat().st_mode))
    for change in diff(policy, fresh):
        console.print(f"{change.whom}: {change.what}.")
    if settings().policy_keys or signature_file(path).exists():
        console.print("Sign it again with `triage policy sign`: its signature is of what it was.")
    return Exit.DONE


def sign_file(key: Path, file: Path | None) -> Exit:
    """Signs a policy that could go into service.

    Raises:
        PolicyRefused: It couldn't.
        BadSetting: The key can't be used.
    """
    path = file or settings().policy
    data = read_policy(path)
    policy = approved(parse_policy(data))
    fingerprint = sign(path, data, key)
    plain_console().print(
        f"{policy.name} {policy.version} is signed by {fingerprint}: {signature_file(path).name}"
    )
    return Exit.DONE


def _policy(file: Path | None) -> Policy:
    return as_written(file or settings().policy)


def _seconds(deadline: int | None) -> str:
    if deadline is None:
        return NONE
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if deadline % length == 0:
            return f"{deadline // length} {unit}"
    return f"{deadline} s"


def _more(one: Compared) -> bool:
    return TIERS.index(one.shadow_tier) > TIERS.index(one.tier)
