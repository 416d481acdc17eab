"""Runs: which run of its agent a call belongs to, so that what several servers are asked is judged together.

The call itself says it (``_meta``), else whoever started the shim (``KAIZEN_RUN``). Where nobody does, all shims that one client
process started are one run, until none of them was called for a while.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from kaizen_security.client.lock import locked_within
from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.mcp.answers import encoded
from kaizen_security.mcp.frames import Message

META_RUN, META_ACT = "kaizen-security/run", "kaizen-security/act"
"""In the ``_meta`` of a request: its run, and the deed that it is (``act_id``)."""
META_REQUEST = "kaizen-security/request"
"""In the ``_meta`` of a request: what the user asked. It is for Kaizen alone, and taken out before the server gets the message."""
MAX_REQUEST = 64 << 10
"""Characters of what the user asked that are noted."""
IDLE = 1800.0
"""Seconds without a call after which a client's next call begins another run."""
AGAIN = 5.0
"""Seconds for which a shim does not look whether others have begun another run."""
PATIENCE = 0.2
"""Seconds that another shim may hold the file."""
FORGOTTEN = 7 * 86400.0
MAX_ANCESTORS = 64


def said(message: Message, key: str) -> str:
    """What a request's ``_meta`` says under ``key``; empty when that is nothing that can be used."""
    params = message.params
    meta = params.get("_meta") if isinstance(params, dict) else None
    value = meta.get(key) if isinstance(meta, dict) else None
    return value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() else ""


def told(message: Message) -> tuple[Message, str]:
    """The message as its server gets it, and what it says that the user asked (empty: nothing).

    Raises ValueError for a message that says something and cannot be written again.
    """
    params = message.params
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(params, dict) or not isinstance(meta, dict) or META_REQUEST not in meta:
        return message, ""
    kept: dict[str, Json] = {key: value for key, value in meta.items() if key != META_REQUEST}
    others: dict[str, Json] = {key: value for key, value in params.items() if key != "_meta"}
    body: dict[str, Json] = {**message.body, "params": {**others, **({"_meta": kept} if kept else {})}}
    asked = meta[META_REQUEST]
    return replace(message, raw=encoded(body), body=body), asked[:MAX_REQUEST] if isinstance(asked, str) else ""


class Rolling:
    """The run of one client process: ``base``, then ``base-1`` and so on. Shared by its shims through a file in ``folder``.

    ``clock`` in Unix seconds. Without a folder, or when the disk does not take it, each shim goes by its own calls.
    """

    def __init__(self, folder: str, base: str, *, clock: Callable[[], float]) -> None:
        self._base = base
        self._path = os.path.join(folder, base) if folder else ""
        self._clock = clock
        self._looked = self._used = 0.0
        self._count = 0

    def __call__(self) -> str:
        """The run that a call belongs to which is made now."""
        now = self._clock()
        if not 0 <= now - self._looked < AGAIN:
            self._look(now)
            self._looked = now
        self._used = now
        return f"{self._base}-{self._count}" if self._count else self._base

    def _look(self, now: float) -> None:
        try:
            self._count = self._shared(now)
        except OSError:
            self._count += self._used > 0 and now - self._used > IDLE

    def _shared(self, now: float) -> int:
        """What the file counts, one more when nobody touched it for so long."""
        if not self._path:
            raise FileNotFoundError
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            if not locked_within(file.fileno(), PATIENCE):
                raise TimeoutError
            counted = file.read(20)
            count = int(counted) if counted.isdigit() else 0
            if counted and now - os.fstat(file.fileno()).st_mtime > IDLE:
                count += 1
            file.seek(0)
            file.write(b"%d" % count)
            os.utime(self._path, (now, now))
        return count

    def tidy(self) -> None:
        """Forget clients that have not called for a week."""
        folder = os.path.dirname(self._path)
        with suppress(OSError):
            for entry in os.scandir(folder) if folder else ():
                if self._clock() - entry.stat().st_mtime > FORGOTTEN:
                    os.unlink(entry.path)


def started_by(client: int) -> str:
    """The run of the shims that the process ``client`` started."""
    began = _process(client)[1] or str(os.getpid()).encode()
    return "mcp-" + hashlib.sha256(b"%d %s" % (client, began)).hexdigest()[:24]


def run_around(folder: str, process: int, clock: Callable[[], float]) -> str:
    """The run of the shims of whichever client started ``process``, directly or over others; empty when there is none."""
    for _ in range(MAX_ANCESTORS):
        if not folder or process <= 1:
            return ""
        base = started_by(process)
        if os.path.exists(os.path.join(folder, base)):
            return Rolling(folder, base, clock=clock)()
        process = _process(process)[0]
    return ""


def _process(pid: int) -> tuple[int, bytes]:
    """Who started a process, and when it began, in clock ticks since boot; 0 and nothing where that cannot be known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # From the third field on: names in parentheses may hold spaces. The fourth is the parent, the 22nd when it began.
            fields = file.read(4096).rpartition(b")")[2].split()
        return int(fields[1]), fields[19]
    except (OSError, IndexError, ValueError):
        return 0, b""
