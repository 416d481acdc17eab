"""Files that are written beside the one that they replace."""

import os
from contextlib import suppress


def fresh(path: str | os.PathLike[str]) -> int:
    """A descriptor of a new file, mode 0600. What is there already, a link to somebody's file say, is taken away and not written.

    Raises OSError.
    """
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
