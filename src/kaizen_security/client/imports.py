"""What our threads use is imported before they start.

A thread that is inside an ``import`` while another one forks leaves the module's lock held for ever in the child, whose
first use of that module then hangs (the interpreter does not reset these locks). So nothing is imported for the first time
by a thread of ours: whoever makes a connection, in the host's own thread, imports what it will need. Kept lazy until then,
so that importing the client stays cheap.
"""

from __future__ import annotations

import importlib

NEEDED = (
    "socket",
    "json",
    "logging",
    "urllib.parse",
    "encodings.idna",
    "encodings.utf_8_sig",
    "kaizen_security.contract.fields",
)
"""``encodings.idna``: what ``getaddrinfo`` uses for every name."""


def settle(scheme: str) -> None:
    """Import what an exchange over ``scheme`` (``http``, ``https``, ``unix``) needs. Cheap when it was done before."""
    for name in NEEDED:
        importlib.import_module(name)
    if scheme == "https":
        importlib.import_module("ssl")
