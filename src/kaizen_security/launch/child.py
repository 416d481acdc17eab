"""The child's side: from the fork to the agent's program. Whatever fails here is told to the supervisor, and nothing is started.

Order matters: namespaces need what capabilities then take away, and the filter forbids what all before it needed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from kaizen_security.collectors.kernel import linux
from kaizen_security.launch.hidden import hide, seal
from kaizen_security.launch.landlock import restrict
from kaizen_security.launch.seccomp import refuse_odd_ways
from kaizen_security.launch.space import enter

_CAN_NOT = 125
"""Status of a child that could not be set up; 126 and 127 are the shell's: not executable, not found."""
KEPT_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 6, 7, 10))
"""What an agent that runs as root keeps: chown, dac_override, fowner, fsetid, setgid, setuid, net_bind_service.

Gone are all that load or unload programs, trace, mount, change networks, kill what is not its own, or read raw packets; and
dac_read_search, for by a file's handle (open_by_handle_at(2)) what is hidden under its path is opened all the same.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the child is to do before it becomes the agent.

    ``space``     enter a network namespace (``users``: with a user namespace); ``local`` as in ``space.enter``
    ``hidden``    paths that it must not reach; ``resolver`` a resolv.conf of ours, empty: the system's
    ``confined``  drop capabilities and put the seccomp filter in force, with ``unix`` and ``io_uring`` permitted or not
    ``ports``     TCP only to these, by Landlock, and no UDP; None: the namespace or the kernel programs decide
    ``moves``     files may be carried from one directory to another: what was made in a refused one since is known by being there
    ``output``    a file for what it prints; empty: where we print
    ``user``      uid, gid and further groups to become; None: stay
    """

    command: Sequence[str]
    env: Mapping[str, str]
    space: bool = False
    users: bool = False
    local: Sequence[int] = ()
    hidden: Sequence[str] = ()
    resolver: str = ""
    confined: bool = False
    unix: bool = True
    io_uring: bool = False
    ports: tuple[int, ...] | None = None
    moves: bool = True
    user: tuple[int, int, tuple[int, ...]] | None = None
    output: str = ""


def become(order: Order, talk: socket.socket) -> NoReturn:
    """Set up as ordered, wait for the supervisor's word, then run the agent's program. Never returns."""
    try:
        lacks: list[str] = []
        roles: tuple[str, ...] = ()
        sockets: list[socket.socket] = []
        if order.space:
            made, sockets = enter(order.local, users=order.users)
            roles, lacks = made.roles, list(made.lacks)
        _send(talk, {"roles": list(roles), "lacks": lacks}, [one.fileno() for one in sockets])
        for one in sockets:
            one.close()
        if talk.recv(16) != b"go":
            os._exit(_CAN_NOT)
        lacks, listener = _confine(order)
        _send(talk, {"lacks": lacks}, listener)
        for fd in listener:
            os.close(fd)
        if talk.recv(16) != b"go":
            os._exit(_CAN_NOT)
    except OSError as err:
        _give_up(talk, str(err))
    _run(order, talk)


def _confine(order: Order) -> tuple[list[str], list[int]]:
    """Everything between the namespace and the program: what could not be had, in words, and the filter's listener.

    Raises OSError.
    """
    lacks, listener = [], []
    if order.hidden or order.resolver:
        if not order.space:
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        left = hide(order.hidden, order.resolver)
        if left:
            lacks.append(f"{len(left)} unix sockets of other services could not be hidden")
        if order.confined and os.geteuid() == 0 and order.user is None and (left := seal()):
            lacks.append(f"settings of the kernel can be written: {' '.join(left)}")
    if order.confined:
        if linux.capabilities():
            linux.keep_capabilities(KEPT_CAPABILITIES)
        lacks += _optional("Landlock", lambda: restrict(order.ports, moves=order.moves))
        udp = order.ports is None
        lacks += _optional(
            "seccomp",
            lambda: listener.append(refuse_odd_ways(unix=order.unix, io_uring=order.io_uring, udp=udp)),
        )
    if order.user is not None:
        uid, gid, groups = order.user
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    return lacks, listener


def _optional(name: str, put: Callable[[], None]) -> list[str]:
    try:
        put()
    except OSError as err:
        return [f"{name} is not in force: {err.strerror or err}"]
    return []


def _run(order: Order, talk: socket.socket) -> NoReturn:
    for number in (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGPIPE,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        signal.signal(number, signal.SIG_DFL)
    os.set_inheritable(talk.fileno(), False)
    if order.output:
        file = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
    try:
        os.execvpe(order.command[0], list(order.command), dict(order.env))  # noqa: S606 - a command's words need no shell
    except OSError as err:
        _give_up(talk, f"{order.command[0]}: {err.strerror}", 127 if isinstance(err, FileNotFoundError) else 126)


def _give_up(talk: socket.socket, why: str, status: int = _CAN_NOT) -> NoReturn:
    _send(talk, {"error": why, "status": status}, [])
    os._exit(status)


def _send(talk: socket.socket, document: Mapping[str, object], descriptors: Sequence[int]) -> None:
    data = json.dumps(document).encode()
    socket.send_fds(talk, [data], list(descriptors))
