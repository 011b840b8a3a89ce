"""The key that signs the head of the journal: Ed25519 (RFC 8032), a PEM file.

Whoever can write to the database could seal their own journal; without the key
they cannot sign it.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

MISSING_LIBRARY = (
    "cryptography is not installed: pip install 'persist-service[signing]'"
)
PUBLIC_KEY_BYTES = 32
"""Bytes of a public key of Ed25519."""


class UnusableKey(Exception):
    """A file cannot be used as a key; the message says why."""


class JournalKey:
    """A private key that signs hashes. Raises ``UnusableKey``."""

    def __init__(self, file: Path) -> None:
        serialization, ed25519 = _library()
        try:
            content = file.read_bytes()
            self._key: Any = serialization.load_pem_private_key(content, None)
        except OSError as error:
            raise UnusableKey(f"{file} cannot be read: {error.strerror}") from None
        except (TypeError, ValueError):
            raise UnusableKey(
                f"{file} is not a private key in PEM (PKCS#8) without a password"
            ) from None
        if not isinstance(self._key, ed25519.Ed25519PrivateKey):
            raise UnusableKey(f"{file} is not an Ed25519 key")

    def sign(self, seal_hash: str) -> dict[str, str]:
        """Return the members of a signed head."""
        signature = self._key.sign(seal_hash.encode())
        public_key = self._key.public_key().public_bytes_raw()
        return {
            "signature": base64.b64encode(signature).decode(),
            "public_key": base64.b64encode(public_key).decode(),
        }


def is_signed(seal_hash: str, signature: str, file: Path) -> bool:
    """Return whether a hash was signed with the private half of a key.

    ``file`` has the public key in PEM, or its 32 bytes in base64. Raises
    ``UnusableKey``.
    """
    key = _public_key(file)
    try:
        key.verify(base64.b64decode(signature, validate=True), seal_hash.encode())
    except (binascii.Error, _invalid_signature()):
        return False
    return True


def _public_key(file: Path) -> Any:
    serialization, ed25519 = _library()
    try:
        content = file.read_bytes()
        if b"-----BEGIN" in content:
            key = serialization.load_pem_public_key(content)
        else:
            raw = base64.b64decode(content.strip(), validate=True)
            key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except OSError as error:
        raise UnusableKey(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UnusableKey(
            f"{file} is neither a public key in PEM nor {PUBLIC_KEY_BYTES} bytes in"
            " base64"
        ) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise UnusableKey(f"{file} is not an Ed25519 key")
    return key


def _library() -> tuple[Any, Any]:
    """Return the modules that are needed, which are an extra of the package."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise UnusableKey(MISSING_LIBRARY) from None
    return serialization, ed25519


def _invalid_signature() -> type[Exception]:
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature
