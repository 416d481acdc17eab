"""Ports on loopback: which one is free, and who has the one that is not."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured

SPAN = 200
"""How many ports above the wanted one are tried before giving up."""

_LISTEN = "0A"
"""The state of a listening socket in ``/proc/net/tcp`` (include/net/tcp_states.h)."""


STARTING = "a kaizen up that is starting"
_CLAIMED: dict[int, int] = {}
"""Ports that this process has claimed, and the descriptor of each claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that can be bound now. ``holder`` says who has the wanted one, when ``number`` had to be another."""

    number: int
    wanted: int
    holder: str = ""

    @property
    def moved(self) -> bool:
        """The wanted port was taken."""
        return bool(self.wanted) and self.number != self.wanted


def choose(wanted: int, *, avoid: Collection[int] = (), host: str = "127.0.0.1") -> Port:
    """The wanted port if it is free, else the next one above it that is and that nobody else wants (``avoid``).

    0 asks for any free port. Raises Misconfigured when ``wanted`` is no port, or none of the next ``SPAN`` is free.
    """
    if not 0 <= wanted <= 65535:
        raise Misconfigured(f"{wanted} is not a port: it must be from 0 (any free one) to 65535")
    if wanted == 0:
        return _any(host, avoid)
    for number in range(wanted, min(wanted + SPAN, 65536)):
        if number in avoid:
            continue
        if _claim(number) and is_free(number, host):
            return Port(number=number, wanted=wanted, holder="" if number == wanted else _who(wanted, host))
    raise Misconfigured(f"port {wanted} is taken by {holder(wanted)}, and so are the {SPAN} above it")


def is_free(number: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    try:
        with socket.socket() as probe:
            # As servers do: a port in TIME_WAIT is free. Linux still refuses one that somebody listens on.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
            probe.listen(1)
    except OSError:
        return False
    return True


def _any(host: str, avoid: Collection[int]) -> Port:
    for _ in range(SPAN):
        with socket.socket() as probe:
            probe.bind((host, 0))
            number: int = probe.getsockname()[1]
        if number not in avoid and _claim(number):
            return Port(number=number, wanted=0)
    raise Misconfigured(f"no free port on {host}")


def _claim(number: int) -> bool:
    """Whether no other process that chooses has this port in mind: from a look to a child that binds it a second goes by.

    The claim is a name in Linux' abstract namespace (unix(7)), and ends with this process. Other systems have none.
    """
    if number in _CLAIMED or sys.platform != "linux":
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        try:
            claim.bind(f"\0kaizen-port-{number}")
        except OSError:
            return False
        _CLAIMED[number] = claim.detach()
    return True


def _who(number: int, host: str) -> str:
    return STARTING if is_free(number, host) else holder(number)


def holder(number: int, proc: Path = Path("/proc")) -> str:
    """Who listens on a port of this machine: ``pid 4711 (python3 -m http.server)``, or ``another process`` if unknown.

    Reads ``/proc``; other users' processes cannot be named without privileges, and other systems have no such table.
    """
    inodes = _listeners(number, proc)
    if not inodes:
        return "another process"
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in proc.glob("[0-9]*"):
        if _holds(process, wanted):
            return f"pid {process.name} ({_command(process)})"
    return "another user's process"


def _listeners(number: int, proc: Path) -> set[str]:
    """Inodes of the sockets that listen on a port, by the kernel's table."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == number:
                found.add(fields[9])
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        with os.scandir(process / "fd") as entries:
            return any(os.readlink(entry) in sockets for entry in entries)
    except OSError:
        # Another user's, or gone since the folder was listed.
        return False


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    line = " ".join(word for word in words if word)
    line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= 60 else line[:59] + "…"
