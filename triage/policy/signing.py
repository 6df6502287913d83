"""Who stands by a policy file: an Ed25519 signature (RFC 8032) over its bytes, beside it.

    default.yaml        the policy
    default.yaml.sig    64 bytes in base64, one line

Where TRIAGE_POLICY_KEYS names a file of public keys (PEM, one after another), a policy that none
of them vouches for is refused. Whoever can write the policy file can't change the rules then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from triage.errors import BadSetting, PolicyRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SUFFIX = ".sig"
LONGEST = 1_000  # bytes of a signature file
_END = b"-----END PUBLIC KEY-----"


def signer(policy: Path, data: bytes, keys: Path | None) -> str:
    """The fingerprint of the key that vouches for a policy; empty if none has to.

    Args:
        policy: Its file; the signature is beside it.
        data: What was read from it: what is vouched for is what will decide.
        keys: File of public keys; None asks for no signature.

    Raises:
        PolicyRefused: It has no signature, or none by one of the keys.
        BadSetting: The keys can't be read.
    """
    if keys is None:
        return ""
    from cryptography.exceptions import InvalidSignature

    signature = _signature(signature_file(policy))
    for key in _public_keys(keys):
        try:
            key.verify(signature, data)
        except InvalidSignature:
            continue
        return fingerprint(key)
    raise PolicyRefused(
        "The policy's signature is by none of the keys in TRIAGE_POLICY_KEYS, or the policy was "
        "changed after it was signed. Look at what changed, and sign it again."
    )


def sign(policy: Path, data: bytes, private: Path) -> str:
    """Writes the signature of a policy beside it.

    Args:
        policy: Its file.
        data: What was read from it and looked at.
        private: The Ed25519 private key, PEM, without a passphrase.

    Returns:
        The fingerprint of the key.

    Raises:
        BadSetting: The key can't be read, or isn't one.
        OSError: The signature can't be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private.read_bytes(), None)
    except OSError as error:
        raise BadSetting(f"The private key can't be read: {error.strerror}.") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSetting("The private key isn't an Ed25519 key in PEM without a passphrase.")
    signature_file(policy).write_bytes(base64.b64encode(key.sign(data)) + b"\n")
    return fingerprint(key.public_key())


def signature_file(policy: Path) -> Path:
    """Where a policy's signature is."""
    return policy.with_name(policy.name + SUFFIX)


def fingerprint(key: Ed25519PublicKey) -> str:
    """What a key is told by: the first 16 digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _signature(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return base64.b64decode(opened.read(LONGEST).strip(), validate=True)
    except OSError as error:
        raise PolicyRefused(
            f"The policy must be signed, and {file.name} can't be read: {error.strerror}. Sign it "
            "with `triage policy sign`."
        ) from None
    except binascii.Error:
        raise PolicyRefused(f"{file.name} isn't base64. Sign the policy again.") from None


def _public_keys(file: Path) -> list[Ed25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        blocks = [part + _END for part in file.read_bytes().split(_END)[:-1]]
        keys = [load_pem_public_key(block) for block in blocks]
    except OSError as error:
        raise BadSetting(f"TRIAGE_POLICY_KEYS can't be read: {error.strerror}.") from None
    except ValueError:
        keys = []
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if not found or len(found) != len(keys):
        raise BadSetting("TRIAGE_POLICY_KEYS must hold Ed25519 public keys in PEM, and only those.")
    return found
