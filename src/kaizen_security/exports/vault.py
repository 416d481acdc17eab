"""What an administrator gives us for somebody else's system (addresses, secrets, headers), sealed for the disk.

AES-256-GCM (NIST SP 800-38D) of the ``cryptography`` package, a fresh 96-bit nonce each time, bound by its associated data to the
row that it stands in, so that one destination's secret cannot be moved into another's place. The key is ``KAIZEN_ENC_KEY``, else a
file beside the database that only its owner may read: whoever has the whole data directory has the key too, whoever has only the
database has not.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_security.client.files import write_first
from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = "enc.key"
KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class Vault:
    """Seals and opens. ``said`` is KAIZEN_ENC_KEY: 32 bytes as URL-safe base64 or hex; of several, with commas, the first seals.

    Without one the key is in ``path``, made when it is first needed. Raises Misconfigured for a key that is none.
    """

    def __init__(self, path: Path, *, said: str = "") -> None:
        self._path = path
        self._given = tuple(_key(entry.strip()) for entry in said.split(",") if entry.strip())

    def seal(self, text: bytes, *, place: str) -> bytes:
        """``text`` for the disk; only ``open`` with the same ``place`` gives it back. Raises Misconfigured."""
        key = self._given[0] if self._given else self._of_file(make=True)
        assert key is not None
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + _cipher(key).encrypt(nonce, text, place.encode())

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """What ``seal`` was given. Raises Misconfigured when no key that is here opens it."""
        kept = self._of_file(make=False)
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for key in (*self._given, *(() if kept is None else (kept,))):
            cipher = _cipher(key)
            with suppress(_invalid(), ValueError):
                return cipher.decrypt(nonce, rest, place.encode())
        raise Misconfigured(
            f"what is kept for this destination cannot be opened: neither KAIZEN_ENC_KEY nor {self._path.name} is the key that "
            "sealed it; bring that key back, or make the destination anew"
        )

    def _of_file(self, *, make: bool) -> bytes | None:
        try:
            if make and not self._path.exists():
                write_first(self._path, base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise Misconfigured(
                        f"others than its owner may use {self._path}, which holds a key: chmod 600 {self._path}"
                    )
                return _key(file.read(256).decode("ascii", "replace").strip())
        except FileNotFoundError:
            return None
        except OSError as err:
            raise Misconfigured(f"the key file {self._path} cannot be used: {err.strerror}") from err


def _key(said: str) -> bytes:
    try:
        key = bytes.fromhex(said) if len(said) == 2 * KEY_BYTES else base64.urlsafe_b64decode(said)
    except (ValueError, binascii.Error) as err:
        raise Misconfigured("the encryption key must be 32 bytes as URL-safe base64 or hex") from err
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"the encryption key must be {KEY_BYTES} bytes as URL-safe base64 or hex, not {len(key)}")
    return key


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError as err:  # only the server's extra has it
        raise Misconfigured("to keep secrets, the server needs the package cryptography") from err
    return aead.AESGCM(key)


def _invalid() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag
