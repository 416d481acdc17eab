"""The files of a data directory: what they are called, and who may use them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured

FILE = "kaizen.db"


def lock(directory: Path) -> int:
    """Be the one process that has ``directory`` to itself, until the number that is given back is closed. Raises Misconfigured."""
    held = os.open(directory / "kaizen.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(held)
        raise Misconfigured(f"another Kaizen server is using {directory}; stop it, or give --data another one") from err
    return held
