"""Who is reached, and how: people, lines of them, and the targets that messages go to.

A policy names the members of its queues; the roster says who they are. It is a YAML file beside the
policy, not in it, because it changes every week and nobody need sign it. Secrets never stand in
it: `env:NAME` or `file:PATH` says where they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from triage.policy.conditions import nearest
from triage.policy.document import Where
from triage.policy.parts import Name, Part, Sentence, Slug

LONGEST_SECRET = 4096  # bytes of a file
SENT_ANYWAY = (
    "host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent",
    "idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature",
)  # fmt: skip


def _secret(value: object) -> SecretStr:
    """A secret from where a text says that it is."""
    where, colon, name = str(value).partition(":")
    if isinstance(value, SecretStr):
        return value
    if not colon or where not in ("env", "file") or not name:
        raise ValueError("a secret doesn't stand here; say env:NAME or file:PATH")
    if where == "env":
        found = os.environ.get(name, "")
        if not found:
            raise ValueError(f"the environment has no {name}")
        return SecretStr(found)
    try:
        with Path(name).open("rb") as file:
            found = file.read(LONGEST_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the secret's file can't be read ({type(error).__name__})") from None
    if not found:
        raise ValueError("the secret's file is empty")
    return SecretStr(found)


def _signing(secret: SecretStr) -> SecretStr:
    """A secret that Standard Webhooks can sign with: base64 of 24 to 64 bytes, "whsec_" before it.

    Source: https://github.com/standard-webhooks/standard-webhooks, "Signature scheme".
    """
    told = secret.get_secret_value().removeprefix("whsec_")
    try:
        found = base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a signing secret is base64, with whsec_ before it or not") from None
    if not 24 <= len(found) <= 64:
        raise ValueError(f"a signing secret has 24 to 64 bytes, and this one {len(found)}")
    return secret


def _header(name: str) -> str:
    """A header's name that HTTP takes and that nothing else is sent under."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("a header's name is letters, digits and hyphens")
    if name.lower() in SENT_ANYWAY:
        raise ValueError(f"{name} is sent anyway; leave it out")
    return name


def _header_value(secret: SecretStr) -> SecretStr:
    told = secret.get_secret_value()
    if not (told.isascii() and told.isprintable() and told == told.strip()):
        raise ValueError("a header's value is printable ASCII, without spaces around it")
    return secret


Secret = Annotated[SecretStr, BeforeValidator(_secret), PlainSerializer(lambda _: "…")]
SigningSecret = Annotated[Secret, AfterValidator(_signing)]
HeaderName = Annotated[str, AfterValidator(_header)]
HeaderValue = Annotated[Secret, AfterValidator(_header_value)]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class CoopFormat(Part):
    """How a case is told to ROOST's Coop, as a report (`POST /api/v1/report`).

    Attributes:
        item_type: Id of the item type that cases are of.
        reporter_type, reporter: Of the user in whose name Triage reports.
        policies: Coop's policy ids by category.
    """

    item_type: Sentence
    reporter_type: Sentence
    reporter: Sentence = "triage"
    policies: Mapping[Name, Sentence] = Field(default_factory=dict)


class OspreyFormat(Part):
    """How a case is told to ROOST's Osprey, as an event."""

    action_name: Sentence = "triage_escalation"


class Target(Part):
    """Where messages go: a webhook of one's own, or whatever Apprise knows.

    Attributes:
        webhook: An https address; http only to a host that is in `allow`.
        secret: What messages to it are signed with (Standard Webhooks).
        coop, osprey: Its messages are written as these read them.
        headers: Sent along, with secrets as values, such as an API key.
        allow: Names of hosts that may be in a private network, or reached without TLS.
        apprise: An Apprise address, which is a secret as a whole.
        per_minute: How many messages it takes; the rest waits.
        at_once: How many are sent side by side.
        timeout: Seconds that it has for an answer.
    """

    webhook: str | None = None
    secret: SigningSecret | None = None
    coop: CoopFormat | None = None
    osprey: OspreyFormat | None = None
    headers: Mapping[HeaderName, HeaderValue] = Field(default_factory=dict)
    allow: tuple[str, ...] = ()
    apprise: Secret | None = None
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    timeout: Annotated[float, Field(ge=0.1, le=60)] = 10.0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.apprise is None):
            raise ValueError("say webhook or apprise, one of them")
        if self.webhook is None:
            if self.secret or self.coop or self.osprey or self.headers:
                raise ValueError("secret, coop, osprey and headers belong to a webhook")
            return self
        if not re.fullmatch("[!-~]+", self.webhook):
            raise ValueError("a webhook's address is ASCII without spaces; see xn-- and %20")
        url = urlsplit(self.webhook)
        if url.scheme not in ("https", "http") or not url.hostname or "@" in url.netloc:
            raise ValueError("a webhook is https://host/path, without a user in it")
        if url.port == 0:  # one that is no port at all is refused by being asked for
            raise ValueError("a webhook's port is 1 to 65535")
        if url.scheme == "http" and url.hostname not in self.allow:
            raise ValueError("a webhook is https, or its host is named in allow")
        if self.coop and self.osprey:
            raise ValueError("say coop or osprey, one of them")
        if not (self.secret or self.coop or self.osprey):
            raise ValueError("a webhook needs a secret, to sign messages with")
        return self


class Person(Part):
    """Somebody who looks.

    Attributes:
        targets: Where they are told.
        token: "sha256:" and the digest of the token that they call the API with; None: they don't.
        opt_out: Categories that they are spared.
        a_day: Cases that they take in 24 hours at most; E4 is beside it.
        lead: Whether they may act on every case, and in another's place.
    """

    targets: tuple[Slug, ...] = ()
    token: Sha256 | None = None
    opt_out: tuple[Name, ...] = ()
    a_day: Annotated[int, Field(gt=0)] | None = None
    lead: bool = False


class Roster(Part):
    """Everybody, and every target.

    Attributes:
        targets: By name.
        people: By the name that they act under.
        lines: Who a member of a policy's queue is, in the order in which they are told. A member
            that isn't here is a person of that name.
        queues: Targets that are told of everything that comes before a queue, such as a channel.
        fallback: Targets that are told where nobody of a line can be.
        outcomes: Targets that are told how every case ended, such as the callers' own service.
        senders: Secrets of those who may send outcomes, by name.
        link: What a case's id is put behind, to make a link for people.
    """

    targets: Mapping[Slug, Target] = Field(default_factory=dict)
    people: Mapping[Slug, Person] = Field(default_factory=dict)
    lines: Mapping[Slug, Annotated[tuple[Slug, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    queues: Mapping[Slug, tuple[Slug, ...]] = Field(default_factory=dict)
    fallback: tuple[Slug, ...] = ()
    outcomes: tuple[Slug, ...] = ()
    senders: Mapping[Slug, SigningSecret] = Field(default_factory=dict)
    link: Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")] = ""

    def line(self, members: tuple[str, ...]) -> tuple[str, ...]:
        """The people behind the members of a queue, in order, each once."""
        found = [one for member in members for one in self.lines.get(member, (member,))]
        return tuple(dict.fromkeys(one for one in found if one in self.people))

    def bearer(self, token: str) -> str | None:
        """Whose token it is; None if nobody's."""
        digest = f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
        mine = [n for n, one in self.people.items() if compare_digest(one.token or "", digest)]
        return mine[0] if mine else None

    def link_of(self, case: str) -> str | None:
        """A case's link for people; None if the roster has none."""
        return f"{self.link}{case}" if self.link else None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for where, names in self._targets_named():
            for name in names:
                if name not in self.targets:
                    raise _at(where, f"no target {name}{nearest(name, self.targets)}")
                if self.targets[name].coop and where[0] != "queues":
                    # It would open a report for every reminder, and one for the end.
                    raise _at(where, f"{name} is Coop's: name it under queues, which tell once")
        for line, people in self.lines.items():
            for one in people:
                if one not in self.people:
                    told = f"no person {one}{nearest(one, self.people)}"
                    raise _at(("lines", line), told)
        tokens: dict[str, str] = {}
        for name, person in self.people.items():
            if person.token and tokens.setdefault(person.token, name) != name:
                raise _at(("people", name), f"{tokens[person.token]} has the same token")
        return self

    def _targets_named(self) -> Iterator[tuple[Where, tuple[str, ...]]]:
        yield ("fallback",), self.fallback
        yield ("outcomes",), self.outcomes
        for name, one in self.people.items():
            yield ("people", name, "targets"), one.targets
        for name, targets in self.queues.items():
            yield ("queues", name), targets


def _at(where: Where, why: str) -> PydanticCustomError:
    # A validator of the whole can't set the place of an error, so it goes beside it.
    return PydanticCustomError("inconsistent", "{why}", {"why": why, "where": where})


NOBODY = Roster()
