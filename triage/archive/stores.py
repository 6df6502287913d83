"""Where archives are: on this machine, or behind one of a few schemes that fsspec reads.

A URL never gets into an error: it may hold a name, or the key to a bucket.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from triage.errors import BadField, BadSetting, DamagedArchive

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

# Each with the extra that brings its package; other schemes could run programs or log in somewhere.
SCHEMES: Mapping[str, str] = {
    "abfs": "az",
    "az": "az",
    "gs": "gs",
    "https": "",
    "memory": "",
    "s3": "s3",
}
ATTEMPTS = 3
LONGEST_PAUSE = 4.0  # s, between two attempts
BLOCK = 2**20  # bytes

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Another attempt would be told the same.
_FINAL = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError,
    TypeError, ValueError, NotImplementedError,
)  # fmt: skip


def is_url(place: str) -> bool:
    """Whether it is a URL and not a path on this machine.

    Raises:
        BadField: A URL that isn't read: of another scheme, or chained.
    """
    # Chained, fsspec would take parts of it for other schemes than the one in front.
    chained = "::" in place and "://" in place
    match = _URL.match(place)
    if match is None and not chained:
        return False
    if chained or match is None or match[1].lower() not in SCHEMES:
        raise BadField(
            f"The URL can't be read from. Its scheme is one of {', '.join(sorted(SCHEMES))}, and "
            "it holds no '::'.",
            limit=sorted(SCHEMES),
        )
    return True


def store(url: str) -> AbstractFileSystem:
    """The file system that a URL is of, which remembers no listing.

    Raises:
        BadSetting: Its package isn't installed.
    """
    import fsspec

    scheme = scheme_of(url)
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError:
        extra = SCHEMES[scheme]
        what = f"Install it: pip install 'triage[{extra}]'." if extra else "Install aiohttp."
        raise BadSetting(f"What reads {scheme}:// isn't installed. {what}") from None


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def beside(url: str, name: str) -> str:
    """The URL of what a relative name stands for beside a file."""
    if scheme_of(url) == "https":
        return urljoin(url, name)
    scheme, _, path = url.partition("://")
    return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(path), name))}"


def with_scheme(url: str, path: str) -> str:
    """A path as its store tells it, as a URL of the scheme that the caller used."""
    return path if "://" in path else f"{scheme_of(url)}://{path.lstrip('/')}"


def opened(place: str) -> io.BufferedReader:
    """A file here or in a store, to be read from its start; one in a store tries again.

    Raises:
        DamagedArchive: It is a pipe or a device, which may be waited for, or read, without end.
    """
    if not is_url(place):
        return _regular(place)
    fs = store(place)
    return io.BufferedReader(_Patient(patiently(lambda: fs.open(place, "rb"))), BLOCK)


def _regular(place: str) -> io.BufferedReader:
    file = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(file).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise DamagedArchive("It is a pipe or a device, so it isn't read. Put a file there.")
        return os.fdopen(file, "rb")  # or why not, if it is a folder
    except BaseException:
        os.close(file)
        raise


def read_bounded(place: str, most: int) -> bytes:
    """Up to `most` bytes of a file and one more, so that a longer one can be told from it."""
    if not is_url(place):
        with _regular(place) as file:
            return file.read(most + 1)
    fs = store(place)
    # Each kind of store in the way that asks for no more than this: HTTPS in one stream, since
    # a server may not know ranges; the others in one range.
    how: dict[str, Any] = {"block_size": 0} if scheme_of(place) == "https" else {}
    if scheme_of(place) not in ("https", "memory"):
        how = {"cache_type": "none"}

    def attempt() -> bytes:
        with fs.open(place, "rb", **how) as stream:
            return bytes(_filled(stream, most + 1))

    return patiently(attempt)


def _filled(stream: Any, size: int) -> bytearray:
    held = bytearray()
    while len(held) < size and (more := stream.read(size - len(held))):
        held += more
    return held


def patiently(attempt: Callable[[], T]) -> T:
    """What came of it; what fails for a reason that may pass is tried again."""
    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )(attempt)


def _may_pass(error: BaseException) -> bool:
    # Not only OSError: a connection that breaks is an error of its package's own, too.
    return isinstance(error, Exception) and not isinstance(error, _FINAL)


def reason(error: Exception) -> str:
    """Why something couldn't be opened, without the path or URL that most errors hold."""
    if isinstance(error, FileNotFoundError):
        return "it isn't there"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


class _Patient(io.RawIOBase):
    """A file in a store, which goes on from where it was if a read fails."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._seekable = bool(inner.seekable())
        self._at = 0
        if self._seekable:
            inner.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = int(self._inner.seek(offset, whence))
        return self._at

    def readinto(self, buffer: Any) -> int:
        def attempt() -> bytes:
            if self._seekable:
                self._inner.seek(self._at)
            return bytes(self._inner.read(len(buffer)))

        # What can't be turned back would go on after a gap.
        found = patiently(attempt) if self._seekable else attempt()
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()
