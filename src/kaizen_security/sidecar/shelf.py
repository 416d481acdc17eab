"""The sidecar's data directory: baselines, the last good bundles, and two secrets. Every write is atomic.

::

    replica                  names this sidecar in merged baselines
    boundary.secret          keys the hashes that leave the tenant in place of text
    operator.secret          who presents it may answer held actions; nobody but this user can read it
    organisation             the id of the organisation whose agents' work lies here
    holds.jsonl              held actions (``hold_file``)
    agents/HASH/name         whose directory it is
    agents/HASH/baseline.json
    agents/HASH/bundle.json  as it came: sealed under the sidecar's API key
    agents/HASH/manifest.json  a declaration that waits to be handed on
    spool/                   reports that wait for the control plane
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from pathlib import Path

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle, key_hash, signing_key, unseal
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import parse
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.baseline import Baseline
from kaizen_security.runtime.agents import AgentKey

log = logging.getLogger(__name__)

MAX_BASELINE = 16 << 20


class DiskShelf:
    """``runtime.agents.Shelf`` over a directory. ``api_key``: the sidecar's own, under which bundles are sealed; without one nobody
    has a policy for it, and ``alone`` is the mode of every agent.

    ``broken``    baselines and bundles that could not be read; each is set aside, and the agent starts without it
    ``problem``   why the last write failed, empty when it did not
    """

    def __init__(self, data: Path, api_key: str, alone: Mode = Mode.OBSERVE) -> None:
        self.data = data
        self._alone = None if api_key else alone
        self.broken = 0
        self.problem = ""
        self._key = signing_key(key_hash(api_key))
        (data / "agents").mkdir(parents=True, exist_ok=True, mode=0o700)
        data.chmod(0o700)
        self.replica = self._secret("replica", 8).hex()
        self.boundary_secret = self._secret("boundary.secret", 32)
        self.operator_secret = self._secret("operator.secret", 32).hex()

    def _secret(self, name: str, size: int) -> bytes:
        path = self.data / name
        try:
            kept = bytes.fromhex(path.read_text().strip())
            if len(kept) == size:
                return kept
        except (FileNotFoundError, ValueError):
            pass
        made = secrets.token_bytes(size)
        write_whole(path, made.hex().encode())
        return made

    def belongs(self, organisation_id: str) -> bool:
        """Whether what lies here is that organisation's; from the first one that asks on, it is. Raises OSError."""
        kept = read(self.data / "organisation")
        if kept is None:
            write_whole(self.data / "organisation", organisation_id.encode())
            return True
        return kept.decode("ascii", "replace").strip() == organisation_id

    def place(self, agent: str) -> Path:
        """The agent's directory. Its name is a hash, since an agent's name may be anything."""
        return self.data / "agents" / hashlib.sha256(agent.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def load(self, key: AgentKey) -> Json:
        """The baseline's document, None when there is none or when it cannot be read."""
        path = self.place(key.agent) / "baseline.json"
        data = read(path)
        if data is None:
            return None
        try:
            document = parse(data, limit=MAX_BASELINE)
            Baseline.from_json(document)
        except InvalidInput as err:
            self._set_aside(path, err)
            return None
        return document

    def save(self, key: AgentKey, baseline: Json) -> bool:
        """Keep the baseline's document. False: the disk takes nothing, which is said in ``problem``; the next save tries again."""
        try:
            self._directory(key.agent)
            write_whole(self.place(key.agent) / "baseline.json", json.dumps(baseline, ensure_ascii=False).encode())
            self.problem = ""
        except OSError as err:
            self.problem = err.strerror or str(err)
            log.warning("baseline of an agent not saved: %s", self.problem)
            return False
        return True

    def bundle(self, key: AgentKey) -> Bundle | None:
        """The last good bundle. Its expiry is not looked at: a policy that could not be renewed still holds."""
        if self._alone is not None:
            return self._own(key.agent, self._alone)
        path = self.place(key.agent) / "bundle.json"
        data = read(path)
        if data is None:
            return None
        try:
            return unseal(data, self._key, agent=key.agent, now=-1.0)
        except InvalidInput as err:
            self._set_aside(path, err)
            return None

    def _own(self, agent: str, mode: Mode) -> Bundle:
        """What is in force where there is no control plane: the agent's own declaration, and no policy."""
        document = self.manifest(agent)
        try:
            declared = NOTHING_DECLARED if document is None else decode_declaration(document)
        except InvalidInput as err:
            self._set_aside(self.place(agent) / "manifest.json", err)
            declared = NOTHING_DECLARED
        return Bundle(agent=agent, version=0, declaration=declared, mode=mode)

    def keep_bundle(self, agent: str, sealed: bytes) -> None:
        """Keep a bundle as it came. A disk that takes nothing is said in ``problem``."""
        try:
            self._directory(agent)
            write_whole(self.place(agent) / "bundle.json", sealed)
            self.problem = ""
        except OSError as err:
            self.problem = err.strerror or str(err)
            log.warning("bundle of an agent not kept: %s", self.problem)

    def keep_manifest(self, agent: str, document: Json) -> None:
        """Keep a declaration until it is handed on. Raises OSError, since it was not acknowledged yet."""
        self._directory(agent)
        write_whole(self.place(agent) / "manifest.json", json.dumps(document, ensure_ascii=False).encode())

    def manifest(self, agent: str) -> Json:
        """The declaration that waits to be handed on, None when there is none."""
        path = self.place(agent) / "manifest.json"
        data = read(path)
        if data is None:
            return None
        try:
            return parse(data)
        except InvalidInput as err:
            self._set_aside(path, err)
            return None

    def drop_manifest(self, agent: str, document: Json) -> None:
        """It was handed on, unless another one came meanwhile."""
        if self.manifest(agent) == document:
            (self.place(agent) / "manifest.json").unlink(missing_ok=True)

    def _directory(self, agent: str) -> None:
        place = self.place(agent)
        if not place.is_dir():
            # Bundle and baseline may come from two threads at once.
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(place / "name", agent.encode("utf-8", "replace"))

    def _set_aside(self, path: Path, err: InvalidInput) -> None:
        self.broken += 1
        log.warning("%s cannot be read and is set aside: %s", path.name, err)
        try:
            path.replace(path.with_suffix(".broken"))
        except OSError as other:
            log.warning("it cannot be moved either: %s", other)


def read(path: Path) -> bytes | None:
    """The file's bytes, None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
