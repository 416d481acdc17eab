"""Payload inspection, as far as the proxy itself knows of it: its settings, and what opens a tunnel when it is asked for.

The proxy needs Python alone. To make certificates takes the ``cryptography`` library, and to look for credentials the Observer's
scanners, so both live in another room (``interception``), which ``kaizen egress`` hands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    from kaizen_security.egress.hello import Hello
    from kaizen_security.egress.report import Record
    from kaizen_security.egress.rules import Refusal
    from kaizen_security.egress.session import Session
    from kaizen_security.egress.wire import Wire

NOT_HERE = "inspect: opening TLS needs more than this program: pip install '.[inspect]' in the checkout, then start `kaizen egress`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspect:
    """The table ``inspect`` of the settings. Paths are PEM files unless said otherwise.

    ``ca_cert``, ``ca_key``  the authority that clients of this proxy trust
    ``hosts``        destinations whose tunnels are opened, written as in a declaration; ``*``: all
    ``bypass``       destinations whose tunnels are not, whatever ``hosts`` says
    ``extra_ca``     authorities that origins may have besides those of the system
    ``pinned``       what becomes of a client that does not take our certificates: ``refuse`` or ``bypass``
    ``unreadable``   what becomes of what cannot be looked into: ``pass`` or ``refuse``
    ``bytes``        of one request that are looked at; what is beyond counts as unreadable
    ``canaries``     file of ``kaizen canary``; ``documents``: file of ``kaizen egress documents``
    ``readings``     ask the sidecar what each agent has read that is sensitive
    """

    ca_cert: Path = Path("ca.pem")
    ca_key: Path = Path("ca.key")
    hosts: tuple[str, ...] = ("*",)
    bypass: tuple[str, ...] = ()
    extra_ca: tuple[Path, ...] = ()
    pinned: str = "refuse"
    unreadable: str = "pass"
    bytes: int = 256 << 20
    canaries: str = ""
    documents: str = ""
    readings: bool = False


class Opening(Protocol):
    """What opens tunnels. Owned by the loop's thread."""

    def closed(self, record: Record, hello: Hello | None) -> str:
        """Why the tunnel of ``record``, whose client began with ``hello`` (None: with something else), stays closed.

        One word; ``""`` when it is to be opened.
        """

    def refuses(self, record: Record, why: str) -> Refusal | None:
        """Whether a tunnel that stays closed for that reason is not wanted at all."""

    def opened(self, session: Session, client: Wire, origin: Wire, hello: Hello, first: bytes) -> Session:
        """What goes on in place of ``session``: it speaks TLS with both ends. ``first``: what the client has said already."""


def read(value: Json) -> Inspect | None:
    """The settings in a document. Raises Misconfigured."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Misconfigured("inspect: must be a table")
    known = {entry.name: getattr(_DEFAULT, entry.name) for entry in fields(Inspect)}
    for name in value:
        if name not in known:
            raise Misconfigured(f"inspect.{name}: there is no such setting (known: {', '.join(sorted(known))})")
    inspect = Inspect(**{name: _value(name, said, known[name]) for name, said in value.items()})  # type: ignore[arg-type]
    _check(inspect)
    return inspect


_DEFAULT = Inspect()
_CHOICES: Mapping[str, tuple[str, ...]] = {"pinned": ("refuse", "bypass"), "unreadable": ("pass", "refuse")}


def _value(name: str, said: Json, default: object) -> object:
    if isinstance(default, tuple):
        if not isinstance(said, list) or not all(isinstance(one, str) and one for one in said):
            raise Misconfigured(f"inspect.{name}: must be a list of texts")
        return tuple(Path(str(one)) if name == "extra_ca" else str(one) for one in said)
    if isinstance(default, bool):
        if not isinstance(said, bool):
            raise Misconfigured(f"inspect.{name}: must be true or false")
        return said
    if isinstance(default, int):
        if isinstance(said, bool) or not isinstance(said, int) or said < 0:
            raise Misconfigured(f"inspect.{name}: must be a whole number from 0")
        return said
    if not isinstance(said, str):
        raise Misconfigured(f"inspect.{name}: must be text")
    if name in _CHOICES and said not in _CHOICES[name]:
        raise Misconfigured(f"inspect.{name}: must be {' or '.join(_CHOICES[name])}")
    return Path(said) if isinstance(default, Path) else said


def _check(inspect: Inspect) -> None:
    for name in ("hosts", "bypass"):
        try:
            compile_declaration(Declaration(destinations=tuple(one for one in getattr(inspect, name) if one != "*")))
        except Misconfigured as err:
            raise Misconfigured(f"inspect.{name}: {err}") from err
