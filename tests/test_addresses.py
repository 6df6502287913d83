"""Which hosts may be reached: what a name is looked up as decides, and is what is connected to."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from socket import AF_INET, SOCK_STREAM, create_server, gaierror, socket
from time import monotonic, sleep
from typing import Any

import pytest
from httpcore2 import ConnectError, ConnectTimeout, ReadTimeout

from triage.escalate import addresses
from triage.escalate.addresses import PrivateAddress, PublicBackend, is_public, looked_up

PUBLIC = "93.184.215.14"
HOST = "hook.example"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A name server: gives every name its addresses, and keeps what it was asked."""

    def serve(**known: Sequence[str]) -> list[str]:
        asked: list[str] = []

        def answer(host: str, port: int, **terms: Any) -> list[Any]:
            asked.append(host)
            found: Mapping[str, Sequence[str]] = {HOST: known.get("hook", ())}
            if not found.get(host):
                raise gaierror
            return [(AF_INET, SOCK_STREAM, 6, "", (one, port)) for one in found[host]]

        monkeypatch.setattr(addresses, "getaddrinfo", answer)
        return asked

    return serve


@pytest.fixture
def listening() -> Iterator[socket]:
    with create_server(("127.0.0.1", 0)) as made:
        yield made


def backend(*allow: str, seconds: float = 5.0) -> PublicBackend:
    made = PublicBackend(allow)
    made.begin(seconds)
    return made


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", PUBLIC, "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_addresses_of_the_public_network(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",  # noqa: S104
        "100.64.0.1", "169.254.169.254", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1", "ff0e::1", "2001:db8::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_of_no_public_network(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
    ],
)
def test_addresses_that_stand_for_a_private_one(address: str) -> None:
    assert not is_public(address)


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.0.0.7", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
)
def test_a_name_of_a_private_address_is_refused_unless_allowed(
    names: Callable[..., list[str]], address: str
) -> None:
    names(hook=[address])
    with pytest.raises(PrivateAddress):
        looked_up(HOST, 443, ())
    with pytest.raises(PrivateAddress):
        looked_up(HOST, 443, ("example", address, f"other.{HOST}"))
    assert looked_up(HOST, 443, (HOST,)) == [address]


@pytest.mark.parametrize("found", [[PUBLIC, "10.0.0.7"], ["::1", PUBLIC], [PUBLIC, "fd00::1"]])
def test_one_private_address_among_public_ones_is_enough(
    names: Callable[..., list[str]], found: list[str]
) -> None:
    names(hook=found)
    with pytest.raises(PrivateAddress):
        looked_up(HOST, 443, ())


def test_a_public_name_has_each_of_its_addresses_once(names: Callable[..., list[str]]) -> None:
    names(hook=[PUBLIC, "8.8.8.8", PUBLIC])
    assert looked_up(HOST, 443, ()) == [PUBLIC, "8.8.8.8"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001"])
def test_this_machine_is_known_however_it_is_written(host: str) -> None:
    with pytest.raises(PrivateAddress):
        looked_up(host, 80, ())


# Connections -------------------------------------------------------------------------------------


def test_what_was_looked_up_is_what_is_connected_to(
    names: Callable[..., list[str]], listening: socket
) -> None:
    asked = names(hook=["127.0.0.1"])
    port = listening.getsockname()[1]
    stream = backend(HOST).connect_tcp(HOST, port)
    assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
    assert asked == [HOST]
    stream.close()


def test_nothing_is_connected_to_that_may_not_be_reached(listening: socket) -> None:
    listening.settimeout(0.1)
    with pytest.raises(PrivateAddress):
        backend().connect_tcp("127.0.0.1", listening.getsockname()[1])
    with pytest.raises(TimeoutError):
        listening.accept()


def test_the_next_address_is_tried_where_one_refuses(
    names: Callable[..., list[str]], listening: socket
) -> None:
    names(hook=["127.0.0.2", "127.0.0.1"])
    stream = backend(HOST).connect_tcp(HOST, listening.getsockname()[1])
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
    stream.close()


def test_a_name_without_an_address_can_not_be_connected_to(names: Callable[..., list[str]]) -> None:
    names()
    with pytest.raises(ConnectError):
        backend().connect_tcp(HOST, 443)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example"])
def test_what_is_no_name_can_not_be_connected_to(host: str) -> None:
    with pytest.raises(ConnectError):
        backend().connect_tcp(host, 443)


def test_an_exchange_has_one_end_for_all_its_steps(listening: socket) -> None:
    made = backend("127.0.0.1", seconds=0.3)
    stream = made.connect_tcp("127.0.0.1", listening.getsockname()[1], timeout=60)
    began = monotonic()
    sleep(0.2)
    with pytest.raises(ReadTimeout):
        stream.read(1, timeout=60)
    assert monotonic() - began < 1
    with pytest.raises(ReadTimeout):
        stream.write(b"x", timeout=60)
    made.begin(5)
    stream.write(b"x")
    stream.close()


def test_a_handshake_belongs_to_the_exchange(listening: socket) -> None:
    stream = backend("127.0.0.1", seconds=0.2).connect_tcp("127.0.0.1", listening.getsockname()[1])
    began = monotonic()
    with pytest.raises(ConnectTimeout):
        stream.start_tls(ssl.create_default_context(), HOST, timeout=60)
    assert monotonic() - began < 1
