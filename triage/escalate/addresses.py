"""Which hosts may be reached: none in a private network, unless it is allowed by name.

A name is looked up here and the address that was looked at is the one that is connected to, so that
a name server can't answer otherwise the second time. Redirects are never followed. An exchange has
one deadline for all of it: a receiver that sends a byte a second doesn't hold a sender up.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM, gaierror, getaddrinfo
from time import monotonic
from typing import Any

from httpcore2 import ConnectError, NetworkBackend, NetworkStream, ReadTimeout, SyncBackend

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out; beside it is what Python misses


class PrivateAddress(Exception):
    """A host that may not be reached."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public network, with those that it may stand for."""
    found = ip_address(address.partition("%")[0])
    inner = None
    if isinstance(found, IPv6Address):
        if found not in _UNICAST and found not in _NAT64:
            return False
        inner = _inner(found)
    return all(one.is_global and not one.is_multicast for one in (found, inner) if one)


def looked_up(host: str, port: int, allow: Collection[str]) -> list[str]:
    """The addresses of a host, if it may be reached.

    Args:
        host: Its name, or an address.
        port: To be reached there.
        allow: Names that may be in a private network.

    Raises:
        PrivateAddress: One of them isn't public, and the host isn't allowed.
        OSError: It has none.
    """
    found = [str(one[4][0]) for one in getaddrinfo(host, port, type=SOCK_STREAM)]
    if host not in allow and not all(map(is_public, found)):
        raise PrivateAddress
    return list(dict.fromkeys(found))


class PublicBackend(NetworkBackend):
    """Connections of httpcore to hosts that may be reached.

    Args:
        allow: Names of hosts that may be in a private network.
    """

    def __init__(self, allow: Collection[str]) -> None:
        self._allow = frozenset(allow)
        self._inner = SyncBackend()
        self._until = threading.local()

    def begin(self, seconds: float) -> None:
        """Begins an exchange of this thread, which has so many seconds in all."""
        self._until.at = monotonic() + seconds

    def left(self) -> float:
        """Seconds that this thread's exchange still has.

        Raises:
            ReadTimeout: None.
        """
        left: float = self._until.at - monotonic()
        if left <= 0:
            raise ReadTimeout("the exchange has taken too long")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        try:
            addresses = looked_up(host, port, self._allow)
        except (gaierror, UnicodeError) as error:
            raise ConnectError("the host has no address") from error
        failed: Exception | None = None
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(
                    address, port, self.left(), local_address, socket_options
                )
            except ConnectError as error:
                failed = error
            else:
                return _Bounded(stream, self)
        raise failed or ConnectError("the host has no address")


class _Bounded(NetworkStream):
    """A stream whose exchange ends in time."""

    def __init__(self, stream: NetworkStream, backend: PublicBackend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        # By the name, not by the address that it was found at.
        inner = self._stream.start_tls(ssl_context, server_hostname, self._backend.left())
        return _Bounded(inner, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that one of IPv6 stands for."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
