"""Sending one message to one target, once: Standard Webhooks over HTTPS, or Apprise.

Says what came of it and never raises: whether and when to try again is for whoever asked.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import gaierror
from typing import Any, Protocol
from urllib.parse import urlsplit

import triage
from triage.escalate.neighbours import body, text
from triage.escalate.records import Message
from triage.escalate.roster import Target
from triage.escalate.telling import moment

MOST_READ = 65_536  # bytes of an answer; more isn't read, as nothing in it is used
LONGEST_WAIT = 3600.0  # s that a receiver may ask for

SENT = "sent"
GONE = "gone"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt.

    Attributes:
        code: "sent", or what was wrong, as a word of ours.
        wait: Seconds that the receiver asked for until the next attempt.
    """

    code: str
    wait: float = 0.0

    @property
    def is_sent(self) -> bool:
        return self.code == SENT

    @property
    def is_final(self) -> bool:
        """Whether the receiver wants nothing any more (410)."""
        return self.code == GONE


class Sender(Protocol):
    """Sends to one target; from several threads at once."""

    def send(self, message: Message, at: float, now: float) -> Result:
        """Makes one attempt.

        Args:
            message: What.
            at: When it was made, s since 1970.
            now: The time that it is signed with.
        """


def sender(target: Target) -> Sender:
    """The way to a target."""
    return AppriseSender(target) if target.apprise else WebhookSender(target)


class WebhookSender:
    """Signed messages to a webhook.

    Args:
        target: Its address, its secret and its bounds.
        trusted: Whose certificates are taken; those of the system if not given.
    """

    def __init__(self, target: Target, trusted: ssl.SSLContext | None = None) -> None:
        from httpcore2 import ConnectionPool
        from standardwebhooks import Webhook

        from triage.escalate.addresses import PublicBackend

        self._target, self._url = target, target.webhook or ""
        secret = target.secret and target.secret.get_secret_value()
        self._signer = Webhook(secret) if secret else None
        self._backend = PublicBackend(target.allow)
        self._pool = ConnectionPool(
            ssl_context=trusted or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=target.at_once,
            keepalive_expiry=30.0,
            network_backend=self._backend,
        )

    def send(self, message: Message, at: float, now: float) -> Result:
        import httpcore2

        from triage.escalate.addresses import PrivateAddress

        content = body(message, moment(at), self._target)
        headers = self._headers(message, content, now)
        self._backend.begin(self._target.timeout)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._target.timeout)
        try:
            with self._pool.stream(
                "POST",
                self._url,
                headers=list(headers.items()),
                content=content,
                extensions={"timeout": timeouts},
            ) as response:
                status, told = response.status, dict(response.headers)
                self._read(response)
        except PrivateAddress:
            return Result("private-address")
        except httpcore2.TimeoutException:
            return Result("timeout")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            return Result(_kind(error))
        return _meaning(status, told, now)

    def _headers(self, message: Message, content: bytes, now: float) -> Mapping[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"triage/{triage.__version__}",
            "Idempotency-Key": message.id,
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now)),
        }
        if self._signer:
            at = datetime.fromtimestamp(int(now), UTC)
            headers["webhook-signature"] = self._signer.sign(message.id, at, content.decode())
        mine = {name: one.get_secret_value() for name, one in self._target.headers.items()}
        host = urlsplit(self._url).netloc
        return {"Host": host, "Content-Length": str(len(content))} | headers | mine

    def _read(self, response: object) -> None:
        """Reads what the connection needs to be used again, and no more."""
        size = 0
        for part in response.stream:  # type: ignore[attr-defined]
            size += len(part)
            if size > MOST_READ:
                return


class AppriseSender:
    """Messages to mail, chat and pagers, by whatever Apprise knows.

    Apprise makes its own connections, so a private address is refused by what the name is looked
    up as beforehand; it follows no redirects.

    Args:
        target: Its address and its bounds.
    """

    def __init__(self, target: Target) -> None:
        import apprise

        silence_apprise()
        asset = apprise.AppriseAsset(http_redirects=False, secure_logging=True)
        url = target.apprise.get_secret_value() if target.apprise else ""
        self._allow = target.allow
        self._service = apprise.Apprise.instantiate(url, asset=asset)
        if self._service is not None:
            self._service.redirects = False  # an address may ask for them
            self._service.socket_connect_timeout = target.timeout
            self._service.socket_read_timeout = target.timeout

    def send(self, message: Message, at: float, now: float) -> Result:
        from triage.escalate.addresses import PrivateAddress, looked_up

        if self._service is None:
            return Result("apprise-address")
        title, told = text(message)
        try:
            for host in self._hosts():
                with suppress(gaierror):  # some services' names stand where others have a host
                    looked_up(host, 0, self._allow)
            done = self._service.notify(body=told, title=title)
        except PrivateAddress:
            return Result("private-address")
        except OSError as error:
            return Result(_kind(error))
        except Exception as error:  # a plugin's own, which could hold the address
            return Result(_kind(error))
        return Result(SENT if done else "apprise-failed")

    def _hosts(self) -> list[str]:
        """The hosts that its address names; many services have their own, which are public."""
        service: Any = self._service
        named = any("{host}" in one for one in service.templates)
        hosts = [getattr(service, "host", None)] if named else []
        return [one for one in (*hosts, getattr(service, "smtp_host", None)) if one]


def silence_apprise() -> None:
    """Keeps Apprise, and what it sends with, from logging addresses, which are secrets."""
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _meaning(status: int, headers: Mapping[bytes, bytes], now: float) -> Result:
    if 200 <= status < 300:
        return Result(SENT)
    if status == 410:
        return Result(GONE)
    if 300 <= status < 400:
        return Result("redirected")
    lower = {name.lower(): value for name, value in headers.items()}
    return Result(f"http-{status}", _asked(lower.get(b"retry-after", b"").decode("latin-1"), now))


def _asked(retry_after: str, now: float) -> float:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3); 0 if it can't be read."""
    try:
        if retry_after.strip().isdecimal():
            wait = float(retry_after)
        else:
            date = parsedate_to_datetime(retry_after)
            wait = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)


def _kind(error: Exception) -> str:
    """The kind of an error, without its message, as a word of ours."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-") or "failed"
