"""What kinds of effect a tool's name and a request's words speak of. Plain English, no list of any product's tools."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from kaizen_security.observer.entities import stem


class Effect(StrEnum):
    """Classes of effect. OPEN is a request to do what some source says, whatever it is."""

    SEND = "sending"
    PAY = "paying"
    CHANGE = "changing"
    CREATE = "creating"
    REMOVE = "removing"
    ACCESS = "giving access"
    SECRET = "credentials"  # noqa: S105 - the name of a class
    OPEN = "doing what a source says"


def _stems(words: str) -> frozenset[str]:
    return frozenset(map(stem, words.split()))


READS = _stems(
    "get read list search find fetch view show check look lookup query browse download open retrieve "
    "describe count calculate compute "
    "think summarize load see select scan inspect verify"
)

_VERBS = {
    Effect.SEND: _stems(
        "send mail email message dm reply answer respond forward tell notify post publish announce submit "
        "write inform contact text ask "
        "share deliver upload"
    ),
    Effect.PAY: _stems(
        "pay transfer refund reimburse buy purchase order checkout rebuy spend wire deposit withdraw subscribe donate book reserve"
    ),
    Effect.CHANGE: _stems(
        "change update modify adjust set edit rename reset move reschedule correct replace alter rewrite "
        "revise fix append extend add"
    ),
    Effect.CREATE: _stems(
        "create add make new schedule book plan append insert write generate save copy set put register reserve"
    ),
    Effect.REMOVE: _stems(
        "delete remove cancel clear drop purge erase destroy revoke wipe terminate uninstall unsubscribe kick ban discard"
    ),
    Effect.ACCESS: _stems("invite share grant add allow join admit"),
    Effect.SECRET: _stems("password passwd passcode credential secret token key pin otp passphrase permission role"),
    Effect.OPEN: _stems("follow perform execute instruction task todo action accordingly request step fulfill"),
}

_MONEY = _stems(
    "money payment transaction transfer cart checkout order invoice refund balance wallet fund funds price purchase"
)

NEVER_DELEGATED = frozenset({Effect.REMOVE, Effect.SECRET})
"""Nobody but the user can ask for these; what a source says does not count, whoever named the source."""


GRAVE = frozenset({Effect.REMOVE, Effect.SECRET, Effect.PAY, Effect.ACCESS})
"""What cannot be taken back."""

GIVES = frozenset({Effect.SEND, Effect.PAY, Effect.ACCESS, Effect.SECRET})
"""What somebody gets something by."""

PARTY = _stems(
    "account iban bic bank card wallet recipient receiver payee beneficiary creditor payment transfer user customer contact "
    "party phone mobile fax number address"
)
"""Words of arguments that name somebody, or where something goes."""


def wanted(words: Iterable[str]) -> frozenset[Effect]:
    """The classes that the (stemmed) words of a request speak of."""
    found = set(words)
    return frozenset(effect for effect, known in _VERBS.items() if not known.isdisjoint(found))


def of_tool(name: tuple[str, ...], fields: Iterable[str] = ()) -> frozenset[Effect]:
    """The classes of a tool's first word that has one; to send or schedule money is to pay. ``fields`` are its arguments' words."""
    secret = _VERBS[Effect.SECRET]
    if not secret.isdisjoint(name) or not secret.isdisjoint(fields):
        return frozenset({Effect.SECRET})
    for word in name:
        kinds = frozenset(effect for effect, known in _VERBS.items() if word in known and effect is not Effect.OPEN)
        if kinds:
            break
    else:
        return frozenset()
    if kinds & {Effect.SEND, Effect.CREATE, Effect.PAY} and not _MONEY.isdisjoint(name):
        return frozenset({Effect.PAY})
    return kinds


def only_reads(name: tuple[str, ...]) -> bool:
    """Whether a tool's name speaks of reading. The verb stands first or last (``read_file``, ``files.read``); elsewhere it counts
    only where the name speaks of no other effect.
    """
    if not name:
        return False
    return name[0] in READS or name[-1] in READS or (not READS.isdisjoint(name) and not of_tool(name))


def covered(word: str, by: Iterable[str]) -> bool:
    """Whether one of the words is the same, or one is the beginning of the other (four letters at the least)."""
    for other in by:
        if word == other:
            return True
        short, long = (word, other) if len(word) < len(other) else (other, word)
        if len(short) >= 4 and long.startswith(short):
            return True
    return False
