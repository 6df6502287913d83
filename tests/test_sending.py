"""Sending one message once: to real servers that answer, hang, lie, or never end."""

from __future__ import annotations

import logging
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET, SO_LINGER, SOCK_STREAM, SOL_SOCKET, create_server, socket
from time import monotonic, time, tzset
from typing import Any

import pytest
from casework import SECRET, hook
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

import triage
from triage.escalate import addresses
from triage.escalate.neighbours import body
from triage.escalate.records import Message
from triage.escalate.roster import Target
from triage.escalate.sending import (
    LONGEST_WAIT,
    AppriseSender,
    Result,
    Sender,
    WebhookSender,
    sender,
)

NAME = "hook.example"
MADE = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()
AT = "2026-05-04T12:00:00.000Z"
MESSAGE = Message(
    "msg_1",
    "case_1",
    "violence",
    "case.escalated",
    "ann",
    "hook",
    "E3",
    {
        "case": "case_1",
        "tier": "E3",
        "severity": 4,
        "rule": "threat",
        "reason": "A threät.",
        "queue": "violence",
        "scores": {"categories": {"violence": 0.6}, "events": {}},
        "due_at": AT,
        "is_late": False,
        "link": None,
    },
)
SHORT = 0.25  # s that a receiver has that will not use them
LATE = 1.0  # s after which an exchange must have ended by then

Answer = tuple[int, Mapping[str, str], bytes]


@dataclass(frozen=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers as it is told and keeps what it was asked, and on how many connections."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.answer: Answer = (200, {}, b"")
        self.asked: list[Asked] = []
        self.connections = 0
        self.closes = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/in"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(Asked(self.path, dict(self.headers), content))
        status, headers, told = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(told)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(told)
        self.close_connection = self.server.closes

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    running: list[Receiver] = []

    def start(tls: ssl.SSLContext | None = None) -> Receiver:
        one = Receiver(tls)
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
        running.append(one)
        return one

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


@pytest.fixture
def receiver(receivers: Callable[..., Receiver]) -> Receiver:
    return receivers()


@dataclass
class Rude:
    """A server that does as it likes once it was asked; `over` is set when the test is."""

    behave: Callable[[socket, threading.Event], None]
    reads: bool = True
    tls: ssl.SSLContext | None = None
    over: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def __post_init__(self) -> None:
        self.socket = create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/in"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket) -> None:
        with suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self._answer(connection)
        connection.close()

    def _answer(self, connection: socket) -> None:
        with connection:
            if self.reads:
                file = connection.makefile("rb")
                size = 0
                while (line := file.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                file.read(size)
            self.asked += 1
            self.behave(connection, self.over)


@pytest.fixture
def rude() -> Iterator[Callable[..., Rude]]:
    running: list[Rude] = []

    def start(
        behave: Callable[[socket, threading.Event], None],
        *,
        reads: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> Rude:
        running.append(Rude(behave, reads, tls))
        return running[-1]

    yield start
    for one in running:
        one.over.set()
        one.socket.close()


def to(url: str, **terms: Any) -> WebhookSender:
    return WebhookSender(Target.model_validate(hook(url, **terms)))


def send(way: Sender, message: Message = MESSAGE, now: float | None = None) -> Result:
    return way.send(message, MADE, time() if now is None else now)


def timed(way: Sender) -> tuple[Result, float]:
    began = monotonic()
    return send(way), monotonic() - began


def in_time(way: Sender) -> None:
    """The receiver is given up on when its time is over, and not before."""
    result, seconds = timed(way)
    assert result == Result("timeout")
    assert SHORT * 0.9 <= seconds < SHORT + LATE


# A message ---------------------------------------------------------------------------------------


def test_a_message_is_signed_so_that_the_standards_own_library_takes_it(
    receiver: Receiver,
) -> None:
    assert send(to(receiver.url)) == Result("sent")
    (asked,) = receiver.asked
    told = Webhook(SECRET).verify(asked.body, dict(asked.headers))
    assert told == {"type": "case.escalated", "timestamp": AT, "data": MESSAGE.payload}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body + b" ", dict(asked.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(asked.body, {**asked.headers, "webhook-id": "msg_2"})


def test_a_message_says_what_it_is_and_who_sends_it(receiver: Receiver) -> None:
    send(to(receiver.url))
    (asked,) = receiver.asked
    assert asked.path == "/in"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["User-Agent"] == f"triage/{triage.__version__}"
    assert asked.headers["webhook-id"] == asked.headers["Idempotency-Key"] == "msg_1"
    assert asked.headers["Host"] == f"127.0.0.1:{receiver.server_port}"


def test_a_second_attempt_has_the_same_bytes_and_another_signature(receiver: Receiver) -> None:
    way, now = to(receiver.url), time()
    receiver.answer = (500, {}, b"")
    send(way, now=now)
    receiver.answer = (204, {}, b"")
    assert send(way, now=now + 60.7) == Result("sent")
    first, second = receiver.asked
    assert first.body == second.body == body(MESSAGE, AT, Target.model_validate(hook()))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] == str(int(now))
    assert second.headers["webhook-timestamp"] == str(int(now + 60.7))
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    for one in receiver.asked:
        Webhook(SECRET).verify(one.body, dict(one.headers))


def test_headers_of_a_target_are_sent_with_what_is_secret_in_them(receiver: Receiver) -> None:
    terms = {"item_type": "case", "reporter_type": "service"}
    way = to(receiver.url, secret=None, coop=terms, headers={"X-API-KEY": SecretStr("coops key")})
    assert send(way) == Result("sent")
    (asked,) = receiver.asked
    assert asked.headers["X-API-KEY"] == "coops key"
    assert "webhook-signature" not in asked.headers
    assert b'"reportedItem":' in asked.body


def test_a_target_is_sent_to_in_its_own_way() -> None:
    assert isinstance(sender(Target.model_validate(hook())), WebhookSender)
    assert isinstance(sender(Target(apprise=SecretStr("json://127.0.0.1"))), AppriseSender)


# Answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_answer_of_success_is_one(receiver: Receiver, status: int) -> None:
    receiver.answer = (status, {}, b"")
    result = send(to(receiver.url))
    assert result == Result("sent")
    assert (result.is_sent, result.is_final) == (True, False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    receiver: Receiver, receivers: Callable[..., Receiver], status: int
) -> None:
    other = receivers()
    receiver.answer = (status, {"Location": other.url}, b"")
    result = send(to(receiver.url))
    assert result == Result("redirected")
    assert not result.is_sent
    assert (len(receiver.asked), other.connections) == (1, 0)


def test_a_receiver_that_is_gone_is_final(receiver: Receiver) -> None:
    receiver.answer = (410, {"Retry-After": "5"}, b"")
    result = send(to(receiver.url))
    assert result == Result("gone")
    assert (result.is_sent, result.is_final) == (False, True)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 599])
def test_a_refusal_is_told_by_its_number(receiver: Receiver, status: int) -> None:
    receiver.answer = (status, {}, b'{"detail": "somebody\'s words"}')
    result = send(to(receiver.url))
    assert result == Result(f"http-{status}")
    assert (result.is_sent, result.is_final) == (False, False)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        (format_datetime(datetime(2026, 5, 4, 12, 1, 30, tzinfo=UTC), usegmt=True), 90),
        ("Monday, 04-May-26 12:01:30 GMT", 90),
        ("Mon May  4 12:01:30 2026", 90),
        ("Mon, 04 May 2026 14:01:30 +0200", 90),
        ("Mon, 04 May 2026 11:00:00 GMT", 0),
        ("Mon, 04 May 2037 11:00:00 GMT", LONGEST_WAIT),
        ("3601", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("", 0),
        ("²", 0),
        ("nan", 0),
        ("Mon, 99 Foo 99999 99:99:99 GMT", 0),
        (f"Mon, 04 May 2026 12:01:30 +{'9' * 30}", 0),
    ],
)
def test_a_receiver_may_ask_for_time(
    receiver: Receiver, status: int, asked: str, wait: float
) -> None:
    receiver.answer = (status, {"Retry-After": asked}, b"")
    assert send(to(receiver.url), now=MADE) == Result(f"http-{status}", wait)


def test_a_date_without_a_zone_is_in_utc_wherever_this_runs(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        tzset()
        receiver.answer = (503, {"Retry-After": "Mon May  4 12:01:30 2026"}, b"")
        result = send(to(receiver.url), now=MADE)
    tzset()
    assert result == Result("http-503", 90)


# Connections -------------------------------------------------------------------------------------


def test_a_connection_is_used_again(receiver: Receiver) -> None:
    way = to(receiver.url)
    for status, told in ((200, b""), (500, b"x" * 60_000), (302, b"moved"), (200, b"{}")):
        receiver.answer = (status, {}, told)
        send(way)
    assert (len(receiver.asked), receiver.connections) == (4, 1)


def test_a_connection_that_was_closed_meanwhile_is_made_anew(receiver: Receiver) -> None:
    way = to(receiver.url)
    receiver.closes = True
    results = []
    for _ in range(3):
        results.append(send(way))
        threading.Event().wait(0.05)
    assert results == [Result("sent")] * 3
    assert receiver.connections == 3


def test_nobody_listens() -> None:
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert send(to(f"http://127.0.0.1:{port}/")) == Result("connect")


def test_a_connection_that_is_dropped_after_the_request_was_read(
    rude: Callable[..., Rude],
) -> None:
    server = rude(lambda connection, over: None)
    result = send(to(server.url))
    assert result == Result("remote-protocol")
    assert not result.is_sent
    assert server.asked == 1


def test_a_connection_that_is_reset_after_the_request_was_read(rude: Callable[..., Rude]) -> None:
    def reset(connection: socket, over: threading.Event) -> None:
        connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    assert send(to(rude(reset).url)).code in ("read", "remote-protocol")


@pytest.mark.parametrize(
    "told",
    [
        b"\x00" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_no_success_and_raises_nothing(
    rude: Callable[..., Rude], told: bytes
) -> None:
    server = rude(lambda connection, over: connection.sendall(told))
    result, seconds = timed(to(server.url))
    assert result.code in ("remote-protocol", "read")
    assert seconds < LATE


# Time --------------------------------------------------------------------------------------------


def dripping(head: bytes, drop: bytes) -> Callable[[socket, threading.Event], None]:
    """Sends some bytes at once, and then a few again and again."""

    def behave(connection: socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.05):
            connection.sendall(drop)

    return behave


def test_a_receiver_that_says_nothing_is_given_up_on(rude: Callable[..., Rude]) -> None:
    server = rude(lambda connection, over: over.wait(20) and None)
    in_time(to(server.url, timeout=SHORT))


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["status", "header", "headers", "hints", "body", "until closed", "chunks"],
)
def test_a_receiver_that_dawdles_has_no_more_time_than_one_that_is_silent(
    rude: Callable[..., Rude], head: bytes, drop: bytes
) -> None:
    in_time(to(rude(dripping(head, drop)).url, timeout=SHORT))


@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xf0\x03\x03"])
def test_a_handshake_that_dawdles_has_no_more_time(rude: Callable[..., Rude], begin: bytes) -> None:
    drop = b"\x00" if begin else b""
    url = rude(dripping(begin, drop), reads=False).url.replace("http", "https")
    in_time(to(url, timeout=SHORT))


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_without_end_is_not_read_to_its_end(
    rude: Callable[..., Rude], head: bytes
) -> None:
    part = b"2000\r\n" + b"x" * 8192 + b"\r\n" if head else b"x" * 8192

    def behave(connection: socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while not over.is_set():
            connection.sendall(part)

    server = rude(behave)
    way = to(server.url, timeout=10)
    for asked in (1, 2):
        result, seconds = timed(way)
        assert result == Result("sent")
        assert seconds < 5
        assert server.asked == asked


def test_time_is_counted_for_each_of_those_that_send_side_by_side(
    rude: Callable[..., Rude],
) -> None:
    drips, first = dripping(b"", b"H"), threading.Lock()

    def behave(connection: socket, over: threading.Event) -> None:
        if first.acquire(blocking=False):
            drips(connection, over)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")

    server = rude(behave)
    way = to(server.url, timeout=SHORT)
    found: list[tuple[Result, float]] = []
    slow = threading.Thread(target=lambda: found.append(timed(way)))
    slow.start()
    while not server.asked:
        threading.Event().wait(0.001)
    began = monotonic()
    while slow.is_alive() and monotonic() - began < 2 * LATE:
        assert send(way) == Result("sent")
    slow.join(LATE)
    ((result, seconds),) = found
    assert result == Result("timeout")
    assert seconds < SHORT + LATE


# Private networks --------------------------------------------------------------------------------


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives a name its addresses, as a name server would."""

    def known_as(*found: str) -> None:
        monkeypatch.setattr(
            addresses,
            "getaddrinfo",
            lambda host, port, **_: [(AF_INET, SOCK_STREAM, 6, "", (one, port)) for one in found],
        )

    return known_as


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost"]
)
def test_this_machine_is_not_asked_unless_it_is_allowed(receiver: Receiver, host: str) -> None:
    url = f"https://{host}:{receiver.server_port}/"
    assert send(to(url, allow=["10.0.0.1"])) == Result("private-address")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["::1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["93.184.215.14", "127.0.0.1"],
        ["127.0.0.1", "93.184.215.14"],
    ],
)
def test_a_name_that_leads_into_a_private_network_is_not_asked(
    receiver: Receiver, named: Callable[..., None], found: list[str]
) -> None:
    named(*found)
    result = send(to(f"https://{NAME}:{receiver.server_port}/", allow=[f"other.{NAME}"]))
    assert result == Result("private-address")
    assert not result.is_final
    assert receiver.connections == 0


def test_a_name_that_is_allowed_is_asked_wherever_it_leads(
    receiver: Receiver, named: Callable[..., None]
) -> None:
    named("127.0.0.1")
    url = f"http://{NAME}:{receiver.server_port}/"
    assert send(to(url, allow=[NAME])) == Result("sent")
    assert receiver.asked[0].headers["Host"] == f"{NAME}:{receiver.server_port}"


# Certificates ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """Makes certificates of a name, signed with their own keys."""
    folder = tmp_path_factory.mktemp("certificates")

    def issue(name: str, days: int = 1) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        ends = datetime.now(UTC) + timedelta(days=days)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=30))
            .not_valid_after(ends)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)]
                ),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file, keys = folder / f"{name}{days}.pem", folder / f"{name}{days}.key"
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        keys.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return file, keys

    return issue


@pytest.fixture
def secured(
    issued: Callable[..., tuple[Path, Path]],
    receivers: Callable[..., Receiver],
    named: Callable[..., None],
) -> Callable[..., tuple[Receiver, WebhookSender]]:
    """A receiver with a certificate, and a way to it that takes that one, or the system's."""

    def start(
        certified: str, asked: str = NAME, *, days: int = 1, trusts: bool = True
    ) -> tuple[Receiver, WebhookSender]:
        file, keys = issued(certified, days)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(file, keys)
        one = receivers(tls)
        named("127.0.0.1")
        target = Target.model_validate(hook(f"https://{asked}:{one.server_port}/", allow=[asked]))
        trusted = ssl.create_default_context(cafile=str(file)) if trusts else None
        return one, WebhookSender(target, trusted)

    return start


@pytest.mark.parametrize("name", [NAME, "127.0.0.1"])
def test_a_certificate_of_the_name_is_taken(
    secured: Callable[..., tuple[Receiver, WebhookSender]], name: str
) -> None:
    receiver, way = secured(name, name)
    assert send(way) == Result("sent")
    assert send(way) == Result("sent")
    assert receiver.connections == 1
    Webhook(SECRET).verify(receiver.asked[0].body, dict(receiver.asked[0].headers))


@pytest.mark.parametrize(
    ("certified", "terms"),
    [
        ("other.example", {}),
        ("127.0.0.1", {}),  # the address that it was found at isn't its name
        (NAME, {"days": -1}),
        (NAME, {"trusts": False}),
    ],
    ids=["another name", "an address", "out of date", "signed by nobody known"],
)
def test_nothing_is_said_to_a_receiver_with_a_wrong_certificate(
    secured: Callable[..., tuple[Receiver, WebhookSender]], certified: str, terms: dict[str, Any]
) -> None:
    receiver, way = secured(certified, **terms)
    assert send(way) == Result("connect")
    assert receiver.asked == []


def test_a_receiver_that_dawdles_behind_its_certificate_has_no_more_time(
    rude: Callable[..., Rude], issued: Callable[..., tuple[Path, Path]]
) -> None:
    file, keys = issued("127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, keys)
    url = rude(dripping(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"), tls=tls).url
    target = Target.model_validate(hook(url.replace("http:", "https:"), timeout=SHORT))
    in_time(WebhookSender(target, ssl.create_default_context(cafile=str(file))))


def test_a_receiver_without_tls_is_told_nothing_where_tls_was_wanted(receiver: Receiver) -> None:
    assert send(to(receiver.url.replace("http:", "https:"))) == Result("connect")
    assert receiver.asked == []


# Apprise -----------------------------------------------------------------------------------------


def by_apprise(address: str, *allow: str, timeout: float = 5.0) -> AppriseSender:
    return AppriseSender(Target(apprise=SecretStr(address), allow=allow, timeout=timeout))


def as_json(receiver: Receiver, more: str = "") -> str:
    return f"json://ann:hush-1@127.0.0.1:{receiver.server_port}/hush-2{more}"


def test_people_are_told_by_apprise(receiver: Receiver) -> None:
    assert send(by_apprise(as_json(receiver), "127.0.0.1")) == Result("sent")
    (asked,) = receiver.asked
    assert asked.path == "/hush-2"
    assert b"E3 escalated: A thre" in asked.body
    assert b"Message msg_1." in asked.body


def test_apprise_does_not_reach_this_machine_unless_it_is_allowed(receiver: Receiver) -> None:
    for allow in ((), ("localhost",)):
        assert send(by_apprise(as_json(receiver), *allow)) == Result("private-address")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        f"json://{NAME}/",
        f"mailto://ann:hush@{NAME}",
        f"mailto://ann:hush@public.example?smtp={NAME}",
        f"gotify://{NAME}/token",
    ],
)
def test_apprise_does_not_reach_a_name_that_leads_into_a_private_network(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(host: str, port: int, **_: Any) -> list[Any]:
        found = "10.0.0.7" if host == NAME else "93.184.215.14"
        return [(AF_INET, SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(addresses, "getaddrinfo", answer)
    assert send(by_apprise(address)) == Result("private-address")


@pytest.mark.parametrize("more", ["", "?redirect=yes"])
def test_apprise_follows_no_redirect_even_if_its_address_asks_for_it(
    receiver: Receiver, receivers: Callable[..., Receiver], more: str
) -> None:
    other = receivers()
    receiver.answer = (307, {"Location": other.url}, b"")
    assert send(by_apprise(as_json(receiver, more), "127.0.0.1")) == Result("apprise-failed")
    assert (len(receiver.asked), other.connections) == (1, 0)


@pytest.mark.parametrize("status", [400, 410, 500])
def test_what_apprise_could_not_do_is_told_by_a_word(receiver: Receiver, status: int) -> None:
    receiver.answer = (status, {}, b"")
    assert send(by_apprise(as_json(receiver), "127.0.0.1")) == Result("apprise-failed")


def test_apprise_waits_no_longer_than_a_target_has(rude: Callable[..., Rude]) -> None:
    server = rude(lambda connection, over: over.wait(20) and None)
    address = server.url.replace("http:", "json:")
    result, seconds = timed(by_apprise(address, "127.0.0.1", timeout=SHORT))
    assert result == Result("apprise-failed")
    assert seconds < SHORT + LATE


def test_an_address_that_apprise_does_not_know_is_told_and_raises_nothing() -> None:
    assert send(by_apprise("nothing://of-the-kind")) == Result("apprise-address")


# Secrets -----------------------------------------------------------------------------------------


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log at its loudest, also of what another test has silenced."""
    names = ("apprise", "urllib3", "urllib3.connectionpool", "requests", "httpcore2")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)
    caplog.set_level(1)
    yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_no_log_has_what_is_secret_in_a_webhook(
    everything_logged: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    way = to(receiver.url, headers={"X-API-KEY": SecretStr("hush-3")})
    for status in (200, 302, 500):
        receiver.answer = (status, {"Location": "/"}, b"")
        send(way)
    receiver.shutdown()
    receiver.server_close()
    assert len(receiver.asked) == 3
    for secret in ("hush-3", SECRET, SECRET.removeprefix("whsec_"), "threät", "v1,"):
        assert secret not in everything_logged.text


def test_no_log_has_what_is_secret_in_an_address_of_apprise(
    everything_logged: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    way = by_apprise(as_json(receiver), "127.0.0.1")
    for status in (200, 302, 500):
        receiver.answer = (status, {"Location": "/"}, b"")
        send(way)
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    send(by_apprise(f"json://ann:hush-1@127.0.0.1:{port}/hush-2", "127.0.0.1"))
    send(by_apprise("json://ann:hush-1@127.0.0.1/hush-2"))
    send(by_apprise("nothing://hush-1"))
    assert len(receiver.asked) == 3
    assert "hush" not in everything_logged.text
    assert "threät" not in everything_logged.text
