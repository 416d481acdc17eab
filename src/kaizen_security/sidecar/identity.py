"""Who presents a key on the loopback port. The control plane knows; its answers are remembered, also on disk.

So a key that was known stays known while the control plane is down, and a key that nobody ever vouched for opens nothing.
Remembered by a hash of the hash: under the key's hash itself bundles are signed, so a stolen file would make policies of its thief.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaizen_security.client.files import write_whole
from kaizen_security.contract.bundle import key_hash
from kaizen_security.contract.errors import InvalidInput, KaizenError, Refused, Unreachable
from kaizen_security.contract.fields import obj, parse, text
from kaizen_security.runtime.clock import Clock
from kaizen_security.sidecar.shelf import read

log = logging.getLogger(__name__)

FRESH = 30.0
"""Seconds for which an answer is not asked for again: how long a revoked key may still work."""
STALE = 7 * 86_400.0
"""Seconds for which a known key works while the control plane cannot be asked."""
REFUSED = 10.0
"""Seconds for which a refused key is refused without asking."""
MOST = 1024
_OURS = "2:"
"""How names in the file begin; those of an earlier version were the hashes of keys."""
SCOPES = ("agent", "sdk", "collector", "observer")
"""Scopes that may speak for agents."""


class Unknown(KaizenError):
    """The control plane does not know the key, or it is not one for agents."""


@dataclass(frozen=True, slots=True)
class Identity:
    """``scope`` is one of ``SCOPES``; ``agent`` the one name that the key is bound to, empty for any.

    ``organisation`` is a name, which another organisation may have too; ``organisation_id`` is not said by an older control plane.
    """

    organisation: str
    scope: str
    agent: str
    asked_at: float
    organisation_id: str = ""

    def colleague(self, other: Identity) -> bool | None:
        """Whether both are of one organisation; None when one was said by an older control plane and the other was not."""
        if bool(self.organisation_id) != bool(other.organisation_id):
            return None
        if self.organisation_id:
            return self.organisation_id == other.organisation_id
        return self.organisation == other.organisation


STRANGER = Identity(organisation="", scope="sdk", agent="", asked_at=0.0)
"""Another user's process on the Unix socket, without a key: it is an agent's own code until a key says that it is more."""


def tells(identity: Identity | None) -> bool:
    """Whether it is an agent's own code that speaks: it cannot say that something else saw what it did."""
    return identity is not None and identity.scope == "sdk"


class Identities:
    """Asks ``whoami(key)`` (the answer's document; raises Refused, Unreachable) and remembers. Safe for threads; blocks."""

    def __init__(self, whoami: Callable[[str], object], file: Path, clock: Clock, own_key: str) -> None:
        self._whoami = whoami
        self._file = file
        self._clock = clock
        self._own_key = own_key
        self._known: OrderedDict[str, Identity] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self._load()

    def remembered(self, key: str) -> Identity | None:
        """Who presents ``key``, as far as that is known and fresh, without asking."""
        now = self._clock()
        with self._lock:
            known, own = self._known.get(_name(key)), self._known.get(_name(self._own_key))
        if known is None or own is None or not 0 <= now - known.asked_at < FRESH:
            return None
        return known if known.scope in SCOPES and known.colleague(own) else None

    def verify(self, key: str) -> Identity:
        """Who presents ``key``: of our organisation, and of a scope that speaks for agents.

        Raises Unknown, or Unreachable when nobody can vouch for it now.
        """
        if not key.startswith("kz_") or not 16 <= len(key) <= 128 or not key.isascii():
            raise Unknown("this is not a Kaizen API key")
        identity = self._identity(key)
        if identity.scope not in SCOPES:
            raise Unknown("a person's key does not speak for agents")
        colleague = identity.colleague(self._identity(self._own_key))
        if colleague is None:
            raise Unreachable("the control plane was changed, and cannot be asked about this key now")
        if not colleague:
            raise Unknown("this key belongs to another organisation")
        return identity

    def _identity(self, key: str) -> Identity:
        hashed = _name(key)
        now = self._clock()
        with self._lock:
            known = self._known.get(hashed)
            refused = self._refused.get(hashed)
        # A clock that was set back must not make an answer fresh until the clock has caught up.
        if known is not None and 0 <= now - known.asked_at < FRESH:
            return known
        if refused is not None and 0 <= now - refused < REFUSED:
            raise Unknown("the control plane does not know this key")
        try:
            identity = _identity(self._whoami(key), now)
        except Refused as err:
            if err.status not in (401, 403):
                return self._stale(known, now)
            self._forget(hashed, now)
            raise Unknown("the control plane does not know this key") from err
        except Unreachable:
            return self._stale(known, now)
        self._keep(hashed, identity)
        return identity

    @staticmethod
    def _stale(known: Identity | None, now: float) -> Identity:
        if known is None or now - known.asked_at > STALE:
            raise Unreachable("the control plane cannot be asked about this key now")
        return known

    def _forget(self, hashed: str, now: float) -> None:
        with self._lock:
            self._refused[hashed] = now
            self._refused.move_to_end(hashed)
            if len(self._refused) > MOST:
                self._refused.popitem(last=False)
            if self._known.pop(hashed, None) is None:
                return
        self._save()

    def _keep(self, hashed: str, identity: Identity) -> None:
        with self._lock:
            self._refused.pop(hashed, None)
            self._known[hashed] = identity
            self._known.move_to_end(hashed)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        self._save()

    def _save(self) -> None:
        with self._lock:
            document = {
                hashed: [one.organisation, one.scope, one.agent, one.asked_at, one.organisation_id]
                for hashed, one in self._known.items()
            }
        try:
            write_whole(self._file, json.dumps(document).encode())
        except OSError as err:
            log.warning("known keys not kept: %s", err)

    def _load(self) -> None:
        data = read(self._file)
        if data is None:
            return
        old = False
        try:
            for said, row in obj(parse(data), "identities").items():
                known_as = said if said.startswith(_OURS) else _named(said)
                old = old or known_as != said
                match row:
                    case [str(name), str(scope), str(agent), int() | float() as asked_at, str(id_)]:
                        self._known[known_as] = Identity(name, scope, agent, float(asked_at), id_)
                    case [str(name), str(scope), str(agent), int() | float() as asked_at]:
                        # Of a sidecar that knew names only: it holds while nobody can be asked, and is asked about first.
                        self._known[known_as] = Identity(
                            name, scope, agent, min(float(asked_at), self._clock() - FRESH)
                        )
                    case _:
                        raise InvalidInput("identities", "has an entry that is none")
        except InvalidInput as err:
            self._known.clear()
            log.warning("known keys cannot be read, they are asked for again: %s", err)
        if old:
            self._save()


def _name(key: str) -> str:
    return _named(key_hash(key))


def _named(hashed: str) -> str:
    return _OURS + hashlib.sha256(f"kaizen identity v1 {hashed}".encode()).hexdigest()


def _identity(document: object, now: float) -> Identity:
    try:
        doc = obj(document, "whoami")  # type: ignore[arg-type]
        organisation = doc.get("organisation")
        return Identity(
            organisation=str(organisation) if isinstance(organisation, int) else text(doc, "organisation", "whoami."),
            scope=text(doc, "scope", "whoami."),
            agent=text(doc, "agent", "whoami."),
            asked_at=now,
            organisation_id=text(doc, "organisation_id", "whoami."),
        )
    except InvalidInput as err:
        raise Unreachable(f"the control plane's answer is not understood: {err}") from err
