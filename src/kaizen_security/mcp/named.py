"""Named: who gets something by a call, as far as only another server's definitions name him.

What a server says of its tools is read by the model, and is no result of any call: whoever judges the call cannot know that an
address came from there. So the rung that knows the definitions says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from kaizen_security.contract.action import Json
from kaizen_security.mcp.definitions import texts
from kaizen_security.mcp.pins import Pins

LONGEST = 80
"""Characters of a value that is one party and nothing else."""
LEAST = 8
"""Characters of one, without what joins its parts."""
MOST = 16
"""Values of one call that are looked up."""

_MAIL = re.compile(
    r"[^@\s]{1,64}@(?!example\.(?:com|net|org)\Z)[^@\s/:]+\.(?:xn--[a-z0-9-]+|[^\W\d_]{2,})", re.IGNORECASE
)
"""Not where mail reaches nobody (RFC 2606), as half of all examples say, and no version of a package."""
_TELEPHONE = re.compile(r"\+?[0-9(][0-9 ()./-]*")
_ACCOUNT = re.compile(r"[A-Za-z0-9]+(?: [A-Za-z0-9]+)*")
_NOBODY = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}\Z|.{0,80}\b[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}\b")
"""The address of a machine, and days: definitions give them as examples, and agents use them without anybody's word."""
_JOINTS = str.maketrans("", "", " \t\n\v\f\r\x1c\x1d\x1e\x1f()/-\x85\xa0\u2002\u2003\u2007\u2009\u200a\u202f\u3000")
"""White space of all kinds that stand in a number, and what else joins its parts."""
_DIGITS = 6
_ENOUGH = re.compile(r"(?:[^0-9]*+[0-9]){6}")
"""As many digits, which no telephone and no account is without: most texts have fewer, and are no party."""
_LONG = 9
"""Digits alone are a number of many things, up to here."""


def named_by(arguments: Json, others: Callable[[], Iterable[Pins]]) -> dict[str, Json]:
    """Each mail address, account or telephone that is a value of the arguments, and the server whose definitions name it.

    ``others``  the pins of the other servers; asked for only when there is such a value, since they lie on disk
    """
    parties = _parties(arguments)
    if not parties:
        return {}
    wanted = {value: _plain(value) for value in parties}
    wanted = {value: plain for value, plain in wanted.items() if len(plain) >= LEAST}
    if not wanted:
        return {}
    found: dict[str, Json] = {}
    for pins in others():
        said = "\n".join(map(_plain, _said(pins)))
        found |= {value: pins.server for value, plain in wanted.items() if plain in said and value not in found}
    return found


def _said(pins: Pins) -> Iterator[str]:
    for pinned in pins.tools.values():
        yield from texts(pinned.definition)


def _plain(text: str) -> str:
    return text.translate(_JOINTS).casefold()


def _parties(arguments: Json) -> list[str]:
    found: list[str] = []
    level = [arguments]
    while level and len(found) < MOST:
        below: list[Json] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif (
                isinstance(one, str)
                and len(one) <= LONGEST
                and ("@" in one or _ENOUGH.match(one))
                and _is_party(one.strip())
            ):
                found.append(one)
        level = below
    return found[:MOST]


def _is_party(text: str) -> bool:
    if "@" in text:
        return _MAIL.fullmatch(text) is not None
    digits = [char for char in text if char.isdigit()]
    if _TELEPHONE.fullmatch(text):
        return len(digits) >= _LONG and len(set(digits)) > 1 and not _NOBODY.match(text)
    return len(digits) >= _DIGITS and _ACCOUNT.fullmatch(text) is not None
