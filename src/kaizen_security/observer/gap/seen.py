"""What a source of ground truth saw: a connection, a name that was asked for, a file that was touched."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.observer.gap.expectation import canonical_path
from kaizen_security.observer.gap.place import Place, shown


class What(StrEnum):
    """What kind of thing it is."""

    CONNECTION = "connection"
    NAME = "name"
    FILE = "file"
    PROGRAM = "program"


_KINDS = {
    "connect": What.CONNECTION,
    "http": What.CONNECTION,
    "dns": What.NAME,
    "file": What.FILE,
    "exec": What.PROGRAM,
}


@dataclass(slots=True, eq=False)
class Seen:
    """One effect. Times in Unix seconds, ``ended`` 0.0 while it lasts; ``up`` bytes that the agent sent.

    ``counted``  bytes of ``up`` that are added up already
    ``hollow``   it was refused, or it ended and had sent nothing
    ``pid``      of a program that was started; ``above``: what started it, or ran before it in the same process
    ``leads``    it is explained, and what it starts with it
    ``sent_on``  no call names it: one that names another place was sent on to it
    ``waited``   a redirect that would explain it was waited for
    ``inner``    the name in a TLS hello where that is another than what was connected to
    """

    id: str
    what: What
    rung: Rung
    at: float
    place: Place
    path: str = ""
    inner: str = ""
    run_id: str = ""
    refused: bool = False
    hollow: bool = False
    ended: float = 0.0
    up: int = 0
    counted: int = 0
    settled: bool = False
    pid: int = 0
    parent: int = 0
    above: Seen | None = None
    leads: bool = False
    sent_on: bool = False
    waited: bool = False

    @property
    def target(self) -> str:
        """As it is compared with a declaration, and shown."""
        return self.path or shown(self.place)

    @property
    def subject(self) -> str:
        """What it is about, whatever the port: the host or the file."""
        return self.path or self.place.host


def seen(action: Action, at: float) -> Seen | None:
    """The effect that an action of ground truth is; None for what the gap says nothing of."""
    what = _KINDS.get(action.kind)
    if what is None or not action.target:
        return None
    made = Seen(id=action.id, what=what, rung=action.rung, at=at, place=Place("", 0), run_id=action.run_id)
    if what in (What.FILE, What.PROGRAM):
        made.path = canonical_path(action.target)
        made.pid, made.parent = _number(action, "pid"), _number(action, "ppid")
        return made
    found = canonical.destination("connect", action.target)
    host = found.host if found is not None and found.host else action.target.strip()[:253].casefold()
    name = action.metadata.get("host") if found is not None and found.is_address else None
    if isinstance(name, str) and name:
        # The kernel sees addresses; where it knows the name that was asked for, that is what a call would tell.
        host = name.rstrip(".").casefold()[:253]
    made.place = Place(host, 0 if found is None or what is What.NAME else found.port)
    sni = action.metadata.get("sni")
    if isinstance(sni, str) and sni and action.metadata.get("sni_differs") is True:
        made.inner = sni.rstrip(".").casefold()[:253]
    progress(made, action, at)
    return made


def _number(action: Action, name: str) -> int:
    found = action.metadata.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def progress(known: Seen, action: Action, at: float) -> None:
    """Take in a later report of the same effect."""
    up, duration = action.metadata.get("bytes_up"), action.metadata.get("duration_ms")
    if isinstance(up, int) and not isinstance(up, bool) and 0 <= up < 1 << 60:
        known.up = max(known.up, up)
    if action.metadata.get("phase") == "end" or known.what is not What.CONNECTION:
        lasted = float(duration) / 1000 if isinstance(duration, int | float) and 0 <= duration < 1e12 else 0.0
        known.ended = max(known.at, at) + lasted
        known.hollow |= up == 0
    known.refused |= action.metadata.get("ended") == "refused"
    known.hollow |= known.refused
