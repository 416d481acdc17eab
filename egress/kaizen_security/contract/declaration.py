"""Declaration: what an agent is for (on the wire also called its manifest)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DataClass(StrEnum):
    """A class of data that is known by its own shape, or by what its reporter says of it.

    ``credentials``    tokens of known issuers, private keys, passwords; files that are made for them
    ``cards``          numbers of payment cards
    ``bank_accounts``  international numbers of bank accounts
    ``contacts``       telephones or mail addresses of three people or more
    ``marked``         whatever a reading is said to be sensitive for (``metadata.sensitive``)
    """

    CREDENTIALS = "credentials"
    CARDS = "cards"
    BANK_ACCOUNTS = "bank_accounts"
    CONTACTS = "contacts"
    MARKED = "marked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """An empty tuple means "not declared in this dimension", so nothing is undeclared there.

    ``tools``         tool names; compared after ``canonical.permitted`` (ADR 0002)
    ``destinations``  hosts, ``host:port``, addresses, CIDR ranges or ``*.suffix``; compared after ``canonical.host``
    ``purpose``       one sentence for people and for the alignment detection
    ``data``          classes of data (``DataClass``) that it may read and send; compared after ``canonical.permitted``
    """

    tools: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    purpose: str = ""
    data: tuple[str, ...] = ()


NOTHING_DECLARED = Declaration()
"""Nothing is undeclared."""
