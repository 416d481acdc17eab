"""Landlock (landlock(7)), which needs no privilege: TCP only to the proxy's port; no tracing and no signals but among the agent's.

For where namespaces are refused, as in most containers. Landlock knows ports, not addresses: a server elsewhere that listens on the
proxy's very port can be reached, and UDP is none of its business (the seccomp filter refuses that).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from kaizen_security.collectors.kernel.linux import PR_SET_NO_NEW_PRIVS, prctl, syscall

_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_CONNECT_TCP = 1 << 1
_MAKE_BLOCK, _REFER = 1 << 11, 1 << 13
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2
REFER, NETWORK, SCOPES = 2, 4, 6
"""The versions that brought renaming and linking between directories, rules on ports, and scopes."""


def abi() -> int:
    """The version of Landlock that the kernel offers, 0 when it offers none."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def ruleset(version: int, *, network: bool) -> bytes:
    """The attributes of a ruleset (struct landlock_ruleset_attr) as that version takes them.

    Every ruleset keeps a process from tracing others outside of it, but an empty one is refused: making block devices, which no
    agent does, is what it names. Every ruleset also refuses to rename and link from one directory to another, unless it names that
    as well and permits it (``restrict``).
    """
    named = _MAKE_BLOCK | (_REFER if version >= REFER else 0)
    scoped = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if version >= SCOPES else 0
    size = 24 if version >= SCOPES else 16 if version >= NETWORK else 8
    return struct.pack("=QQQ", named, _CONNECT_TCP if network else 0, scoped)[:size]


def restrict(ports: Iterable[int] | None, *, moves: bool = True) -> None:
    """Permit TCP connections to ``ports`` only (None: to all). Processes outside can neither be traced nor, from version 6 on, be
    signalled or reached by abstract sockets. ``moves`` False: nothing is renamed or linked from one directory to another.

    Raises OSError where this kernel cannot do what was asked for.
    """
    version = abi()
    if version < (1 if ports is None else NETWORK):
        raise OSError(errno.EOPNOTSUPP, f"this kernel's Landlock is of version {version}")
    about = ruleset(version, network=ports is not None)
    rules = syscall("landlock_create_ruleset", ctypes.create_string_buffer(about, len(about)), len(about), 0)
    try:
        if moves and version >= REFER:
            _permit_everywhere(rules, _REFER)
        for port in ports or ():
            rule = ctypes.create_string_buffer(struct.pack("=QQ", _CONNECT_TCP, port), 16)
            syscall("landlock_add_rule", rules, _NET_PORT, rule, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        syscall("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def _permit_everywhere(rules: int, access: int) -> None:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", access, root), 12)
        syscall("landlock_add_rule", rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(root)
