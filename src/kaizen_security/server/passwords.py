"""Passwords and tokens: made here, kept only as what cannot be turned back.

Passwords by scrypt (RFC 7914) with N=2^15, r=8, p=1 (32 MB, about 80 ms); the record holds its parameters, so they can be raised.
Tokens are 256 random bits, so a plain SHA-256 of them is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_N, _R, _P = 2**15, 8, 1
_MEMORY = 64 << 20
MAX_PASSWORD = 1024
KEY_PREFIX = "kz_live_"
SESSION_PREFIX = "kz_sess_"
LINK_PREFIX = "kz_link_"


def hash_password(password: str) -> str:
    """The record of a password: ``scrypt$N$r$p$salt$hash``."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)
    return "$".join(("scrypt", str(_N), str(_R), str(_P), _text(salt), _text(digest)))


def check_password(password: str, record: str) -> bool:
    """Whether ``record`` is that password's. A record of nothing (``""``) is nobody's, and takes as long to say so."""
    try:
        name, n, r, p, salt, digest = (record or _NOBODY).split("$")
        if name != "scrypt":
            return False
        found = hashlib.scrypt(
            password.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p), maxmem=_MEMORY
        )
    except ValueError:
        return False
    return hmac.compare_digest(found, base64.b64decode(digest)) and bool(record)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = "$".join(("scrypt", str(_N), str(_R), str(_P), _text(bytes(16)), _text(bytes(64))))


def new_token(prefix: str) -> str:
    """``prefix`` and 256 random bits as 43 url-safe characters."""
    return prefix + secrets.token_urlsafe(32)


def new_password() -> str:
    """120 random bits in four groups that can be typed."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(6)) for _ in range(4))


def token_hash(token: str) -> str:
    """What is kept of a token: SHA-256, hex."""
    return hashlib.sha256(token.encode()).hexdigest()
