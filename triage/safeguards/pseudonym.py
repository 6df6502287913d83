"""Pseudonyms for the ids that callers give: the same id, the same pseudonym, no way back.

A keyed hash (HMAC-SHA256, RFC 2104) and not a plain one, because ids are short enough to be
tried one by one. Without the key nobody can try; whoever holds it can, so it is guarded like one.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from triage.errors import BadSetting
from triage.files import put
from triage.settings import Settings

KEY_BYTES = 32
KEY_FILE = "pseudonym.key"

_DOMAIN = b"triage pseudonym 1"
_DIGEST_BYTES = 16  # 128 bits: 2^64 ids before two are likely to share a pseudonym
_KIND = re.compile(r"[a-z]{3,32}")


@dataclass(frozen=True, slots=True)
class Pseudonymiser:
    """Makes pseudonyms with one key.

    Attributes:
        key: The secret, 32 bytes or more.

    Raises:
        BadSetting: The key is shorter.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < KEY_BYTES:
            raise BadSetting(
                f"The key for pseudonyms has {len(self.key)} bytes, which is fewer than "
                f"{KEY_BYTES}. Give it a longer one.",
                limit=KEY_BYTES,
            )

    def pseudonym(self, value: str, kind: str = "recording") -> str:
        """The pseudonym of an id: three letters of its kind and 26 of base32, safe in URLs.

        Args:
            value: The caller's id, taken as it is: no trimming, no change of case.
            kind: What it is the id of, 3 to 32 letters a-z. One value under two kinds gives
                two pseudonyms that can't be told to belong together.

        Raises:
            ValueError: The kind isn't of that form.
        """
        if not _KIND.fullmatch(kind):
            raise ValueError("the kind of an id must be 3 to 32 letters a-z")
        # No part before the value can hold a zero byte, so no two inputs read the same. Lone
        # surrogates come out of JSON and must not stop a recording.
        message = b"\0".join((_DOMAIN, kind.encode(), value.encode("utf-8", "surrogatepass")))
        digest = hmac.digest(self.key, message, "sha256")[:_DIGEST_BYTES]
        return f"{kind[:3]}_{base64.b32encode(digest).decode().rstrip('=').lower()}"


def load_key(settings: Settings) -> bytes:
    """The key that this installation makes pseudonyms with.

    From the setting if there is one; else from a file in the state folder, which is made at
    first use. Lose the file and the same recording gets another pseudonym.

    Raises:
        BadSetting: The setting is too short; the file can't be read or made, is too short, or
            can be read by others than its owner.
    """
    given = settings.key.get_secret_value()
    if not given:
        return _kept_key(settings.state)
    if len(given) < KEY_BYTES:
        raise BadSetting(
            f"TRIAGE_KEY has {len(given)} characters, which is fewer than {KEY_BYTES}. Give it a "
            f"longer one that can't be guessed, or none: one is then made and kept.",
            limit=KEY_BYTES,
        )
    return given.encode("utf-8", "surrogateescape")


def _kept_key(state: Path) -> bytes:
    path = state / KEY_FILE
    try:
        if not path.exists():
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(state / f"{KEY_FILE}.lock", mode=0o600):
                if not path.exists():  # another process may have made it while this one waited
                    # Lasting, or a power cut could take a key that pseudonyms were given out with.
                    put(path, secrets.token_bytes(KEY_BYTES), lasting=True)
        return _read_key(path)
    except OSError as error:
        raise BadSetting(
            f"The key for pseudonyms can't be kept in the state folder: {error.strerror}. Set "
            f"TRIAGE_STATE to a folder that can be written, or TRIAGE_KEY."
        ) from None


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        open_to = os.fstat(file.fileno()).st_mode & 0o077
        key = file.read(4096)
    if open_to:
        raise BadSetting(
            f"The key file in the state folder can be used by others than its owner (its mode "
            f"grants {open_to:03o}). Make it 0600; if others may have read it, replace it."
        )
    if len(key) < KEY_BYTES:
        raise BadSetting(
            f"The key file in the state folder has {len(key)} bytes, which is fewer than "
            f"{KEY_BYTES}. Restore it from a backup; a new one would change every pseudonym.",
            limit=KEY_BYTES,
        )
    return key
