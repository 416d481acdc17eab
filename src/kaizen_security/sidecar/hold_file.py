"""Held actions on disk, so that a sidecar that ends still holds them when it is back: JSON lines, the last one of each hold counts.

A line is written before anybody is told that an action is held, and holds nothing of a run's text: the action is in boundary form.
It is not flushed to the device: what a power failure takes of it is a question, never a block.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import MAX_NAME, obj, parse, text
from kaizen_security.contract.hold import Hold, decode_hold, encode_hold
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.hold_table import MOST, RUN_GRANT, SETTLED, Kept
from kaizen_security.runtime.holds import Holds

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
"""A disk that takes no more."""

MOST_LINES = 4 * (MOST + SETTLED)
"""Lines after which the file is written anew with what still counts."""


def boundary_form(hold: Hold, key: bytes) -> Hold:
    """``hold`` as it may leave the tenant, and as it lies on disk."""
    return replace(hold, action=outward(hold.action, key), verdict=outward_verdict(hold.verdict, key))


class HoldFile:
    """``holds.jsonl`` in the data directory. ``lost``: changes that the disk did not take, which a restart forgets."""

    def __init__(self, path: Path, holds: Holds, boundary: bytes) -> None:
        self.lost = 0
        self._path = path
        self._holds = holds
        self._boundary = boundary
        self._lock = threading.Lock()
        self._lines = 0
        self._torn = False
        """The file may end within a line, to which the next one must not be joined."""

    def load(self) -> None:
        """Put back what was held. A line that cannot be read is left out, and said. Raises Misconfigured when the file is none."""
        found: dict[str, tuple[str, Hold, str]] = {}
        for line in filter(None, self._read()):
            try:
                doc = obj(parse(line), "line")
                hold = decode_hold(doc.get("hold"))
                found[hold.id] = (
                    text(doc, "act", limit=64),
                    hold,
                    text(doc, "redeemed", limit=MAX_NAME),
                )
            except InvalidInput as err:
                log.warning("a held action cannot be read: %s", err)
        oldest = self._holds.clock() - RUN_GRANT
        for act, hold, redeemed in found.values():
            if max(hold.expires_at, hold.answered_at) > oldest:
                self._holds.restore(AgentKey("", hold.agent), act, hold, redeemed)
        try:
            with self._lock:
                self._anew()
        except OSError as err:
            if err.errno not in FULL:
                raise Misconfigured(f"{self._path} cannot be written: {err.strerror}") from err
            # Whoever can fill the disk must not be able to keep the sidecar from coming back: what is there stays as it is.
            self._torn = True
            log.warning("held actions are not written anew: %s", err.strerror)

    def _read(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as err:
            raise Misconfigured(f"{self._path} cannot be read: {err.strerror}") from err

    def keep(self, hold_id: str) -> None:
        """Write down how the hold stands now."""
        with self._lock:
            kept = self._holds.kept(hold_id)
            if kept is None:
                return
            try:
                if self._lines >= MOST_LINES:
                    self._anew()
                file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(file, "w", encoding="utf-8") as lines:
                    lines.write("\n" * self._torn + self._line(kept))
                self._lines += 1
                self._torn = False
            except OSError as err:
                self.lost += 1
                self._torn = True
                log.warning("a held action is not kept on disk: %s", err.strerror or err)

    def _line(self, kept: Kept) -> str:
        document: dict[str, Json] = {
            "act": kept.act,
            "redeemed": kept.redeemed,
            "hold": encode_hold(boundary_form(kept.hold, self._boundary)),
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _anew(self) -> None:
        listed = reversed(self._holds.listing(limit=MOST + SETTLED))
        # One may be forgotten between the list and the look at it: another thread settles holds too.
        lines = [self._line(kept) for hold in listed if (kept := self._holds.kept(hold.id)) is not None]
        write_whole(self._path, "".join(lines).encode())
        self._lines = len(lines)
