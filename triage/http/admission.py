"""How much the service takes on at once, so that a crowd gets a quick no and not a slow nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triage.http.problems import Busy

WAITING = 64  # requests that may wait behind those at work; more would wait longer than clients do


@dataclass(slots=True)
class Place:
    """One admitted request, and what it holds in memory.

    Attributes:
        held: Bytes of its body so far.
    """

    admission: Admission
    held: int = 0

    def hold(self, more: int) -> None:
        """Notes bytes that the request brought.

        Raises:
            Busy: The bodies of all requests together would be more than fits.
        """
        self.held += more
        self.admission.held += more
        if self.admission.held > self.admission.most_bytes:
            raise Busy("The service holds as much audio as it may. Try again in a moment.")


class Admission:
    """Counts the requests that are being read, wait or are at work. For one event loop.

    Args:
        most_requests: At once.
        most_bytes: Of all their bodies together.
    """

    def __init__(self, most_requests: int, most_bytes: int) -> None:
        self.most_requests = most_requests
        self.most_bytes = most_bytes
        self.requests = 0
        self.held = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one request, until the block is left.

        Raises:
            Busy: All are taken.
        """
        if self.requests >= self.most_requests:
            raise Busy(
                f"The service has {self.requests} requests in hand. Try again in a moment.",
                limit=self.most_requests,
            )
        self.requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self.requests -= 1
            self.held -= place.held
