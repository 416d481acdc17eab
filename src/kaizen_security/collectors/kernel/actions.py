"""Events to actions of the contract: one row for one deed, with what is known of the process that did it.

A connection is one action, under the name that its address was last the answer for; its TLS hello only speaks up when it names
another host or was refused. A question for a name is an action once for each name and agent, and whenever it was refused.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Container
from contextlib import suppress
from dataclasses import replace

from kaizen_security.collectors.kernel.decode import Event
from kaizen_security.collectors.kernel.files import FileEvent
from kaizen_security.collectors.kernel.shapes import METHODS, Kind, Reason
from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.credentials import find

OBSERVED = "observed in the kernel"
"""The reason of what passed, as ``observed egress`` is the proxy's."""
MOST_NAMES = 8192
MOST_FILES = 4096
MOST_PROCESSES = 4096
MOST_HASHED = 64 << 20
"""Bytes of the largest program whose hash is taken."""
_CONTAINER = re.compile(rb"([0-9a-f]{64})")
_WORDS = {
    Reason.REFUSED_QUIC: (
        "unreadable protocol",
        "QUIC is refused, because its names cannot be read",
        "Use TCP, or the proxy.",
    ),
    Reason.REFUSED_UNATTENDED: (
        "unprotected",
        "nobody attends the collector, and it fails closed",
        "Start the agent again with kaizen run.",
    ),
    Reason.REFUSED_MALFORMED: (
        "unreadable protocol",
        "a name that must be declared could not be read",
        "Use an ordinary TLS or DNS client.",
    ),
    Reason.REFUSED_FILE: (
        "refused path",
        "this path is refused to the agent",
        "Take it out of what kaizen run refuses.",
    ),
    Reason.REFUSED_PROTOCOL: (
        "undeclared protocol",
        "only TCP and UDP leave, and by no route of their own",
        "Use TCP, or the proxy.",
    ),
}


class Translator:
    """For one agent and one run.

    ``ids`` gives fresh ids, ``name_of`` the name that an address was the answer for; ``own`` are places of Kaizen's parts, which
    report themselves what goes through them, ``services`` their unix sockets; ``resolve`` False: ask nothing of /proc.
    """

    def __init__(
        self,
        *,
        agent: str,
        run_id: str,
        ids: Callable[[], str],
        name_of: Callable[[str], str] = lambda address: "",
        own: Collection[tuple[str, int]] = (),
        services: Container[str] = (),
        resolve: bool = True,
    ) -> None:
        self._agent = agent
        self._run_id = run_id
        self._ids = ids
        self._resolve = resolve
        self._name_of = name_of
        self._own = own
        self._services = services
        self._connections: OrderedDict[int, tuple[str, str]] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()
        self._names_at = 0.0
        self._hashes: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self._containers: OrderedDict[tuple[int, int], str] = OrderedDict()
        self.counts: Counter[str] = Counter()

    @property
    def own_ports(self) -> frozenset[int]:
        """Ports of Kaizen's parts."""
        return frozenset(port for _, port in self._own)

    def actions(self, event: Event) -> tuple[Action, Verdict] | None:
        """What to report of one event, if anything."""
        match event.kind:
            case Kind.CONNECT | Kind.SEND:
                return None if self.is_for_others(event) else self.connection(event)
            case Kind.QUESTION:
                return self._question(event)
            case Kind.ANSWER:
                self._names.clear()  # whatever connects from here on may have a name by now
                return None
            case Kind.HELLO:
                return self._hello(event)
            case Kind.EXEC:
                return self._exec(event)
            case Kind.UNIX:
                return self._unix(event)
            case Kind.FILE_SHUT:
                method = METHODS.get(event.more, "open")
                return self.file(FileEvent(pid=event.pid, method=method, path=event.name, refused=True), event.at)
            case Kind.SOCKET:
                return self._report(event, "connect", event.protocol, {"transport": event.protocol})

    # --- network ------------------------------------------------------------------------------------------------------------

    def is_for_others(self, event: Event) -> bool:
        """Whether a connection is reported by others, or is nobody's business; then it is counted here."""
        if event.protocol == "udp" and event.port == 53 and not event.reason.refused:
            return True  # the question itself says more
        if not event.reason.refused and (event.address, event.port) in self._own:
            self.counts["connections to the proxy"] += 1
            return True
        if event.reason is Reason.PASSED_OWN:
            self.counts["connections among its own processes"] += 1
            return True
        return False

    def connection(self, event: Event) -> tuple[Action, Verdict]:
        """What to report of a connection, or of a datagram."""
        name = self.name_at(event)
        target = _place(name or event.address, event.port)
        facts: dict[str, Json] = {"transport": _transport(event), "address": event.address}
        found = self._report(event, "connect", target, facts)
        self.belongs(event.cookie, found[0].id, name)
        return found

    def belongs(self, cookie: int, id_: str, name: str) -> None:
        """A hello of the socket ``cookie`` belongs to that action, which is under ``name``."""
        if cookie:
            _keep(self._connections, cookie, (id_, name), MOST_NAMES)

    def name_at(self, event: Event) -> str:
        """As ``name_of``, which is a system call, asked once of each address until an answer comes, and at least every second."""
        if not self._names_at <= event.at < self._names_at + 1.0:
            self._names.clear()
            self._names_at = event.at
        name = self._names.get(event.address)
        if name is None:
            name = self._name_of(event.address)
            _keep(self._names, event.address, name, MOST_NAMES)
        return name

    def _question(self, event: Event) -> tuple[Action, Verdict] | None:
        if not event.reason.refused and event.name in self._asked:
            return None
        _keep(self._asked, event.name, None, MOST_NAMES)
        return self._report(event, "dns", event.name, {"transport": "udp", "server": _place(event.address, event.port)})

    def _hello(self, event: Event) -> tuple[Action, Verdict] | None:
        id_, known = self._connections.get(event.cookie, ("", ""))
        if not event.reason.refused and (not event.name or event.name == known):
            return None
        target = _place(event.name or known or event.address, event.port)
        action, verdict = self._report(
            event, "connect", target, {"sni": event.name, "address": event.address, "tls": "hello"}
        )
        return (replace(action, act_id=id_) if id_ else action), verdict

    def _unix(self, event: Event) -> tuple[Action, Verdict] | None:
        if not event.name or event.name in self._asked or event.name in self._services:
            return None
        _keep(self._asked, event.name, None, MOST_NAMES)
        return self._report(event, "connect", f"unix:{event.name}", {"transport": "unix"})

    # --- programs -----------------------------------------------------------------------------------------------------------

    def _exec(self, event: Event) -> tuple[Action, Verdict]:
        digest = self._digest(event.pid, event.file) if self._resolve else ""
        argv: list[Json] = list(redacted(event.args))
        action, verdict = self._report(event, "exec", event.file, {"argv": argv})
        return replace(action, hash=digest), verdict

    def _digest(self, pid: int, file: str) -> str:
        """SHA-256 of the program, as its process runs it: a path may mean another file by now."""
        for path in (f"/proc/{pid}/exe", file):
            with suppress(OSError):
                return self._hashes.get(_identity(os.stat(path))) or self._hashed(path)
        self.counts["programs gone before they were hashed"] += 1
        return ""

    def _hashed(self, path: str) -> str:
        with open(path, "rb") as program:
            about = os.fstat(program.fileno())
            if about.st_size > MOST_HASHED:
                self.counts["programs too large to hash"] += 1
                return ""
            digest = hashlib.file_digest(program, "sha256").hexdigest()
        _keep(self._hashes, _identity(about), digest, MOST_FILES)
        return digest

    def file(self, event: FileEvent, at: float) -> tuple[Action, Verdict]:
        """What was done to a watched file. ``at`` in Unix seconds."""
        id_ = self._ids()
        kind = "exec" if event.method == "execute" else "file"
        metadata: dict[str, Json] = {"source": "ebpf", "method": event.method, "pid": event.pid, "sensitive": True}
        action = Action(
            kind=kind,
            target=event.path,
            hash=event.hash,
            metadata=metadata,
            id=id_,
            act_id=id_,
            run_id=self._run_id,
            agent=self._agent,
            at=at,
        )
        refused = Reason.REFUSED_PROGRAM if event.hash else Reason.REFUSED_FILE
        return action, verdict_on(refused if event.refused else Reason.PASSED, action)

    # --- both ---------------------------------------------------------------------------------------------------------------

    def _report(self, event: Event, kind: str, target: str, facts: dict[str, Json]) -> tuple[Action, Verdict]:
        id_ = self._ids()
        metadata: dict[str, Json] = {
            "source": "ebpf",
            **facts,
            "pid": event.pid,
            "comm": event.comm,
            "uid": event.uid,
            "cgroup": event.cgroup,
        }
        if event.parent:
            metadata["ppid"] = event.parent
        if self._resolve and (container := self._container(event)):
            metadata["container"] = container
        action = Action(
            kind=kind,
            target=target,
            metadata=metadata,
            id=id_,
            act_id=id_,
            run_id=self._run_id,
            agent=self._agent,
            at=event.at,
        )
        return action, verdict_on(event.reason, action)

    def _container(self, event: Event) -> str:
        """As ``container_of``, asked once of each process: a file of /proc for each event would cost more than all the rest."""
        key = event.pid, event.cgroup
        known = self._containers.get(key)
        if known is None:
            known = container_of(event.pid)
            if known is None:
                return ""
            _keep(self._containers, key, known, MOST_PROCESSES)
        return known


def verdict_on(reason: Reason, action: Action) -> Verdict:
    """What the kernel did, as a verdict of the contract."""
    if not reason.refused:
        return Verdict(Decision.ALLOW, OBSERVED, action_id=action.id)
    if reason is Reason.REFUSED_PROGRAM:
        kind = "known-bad hash"
        finding = Finding(
            kind,
            action.hash,
            "policy",
            detection="policy",
            field="hash",
            observed=action.hash,
            expected="none that a policy lists",
        )
        return Verdict(Decision.BLOCK, reasons.blocked_by_policy([kind]), (finding,), action_id=action.id)
    host = action.target.rpartition(":")[0].strip("[]") or action.target
    if reason is Reason.REFUSED_DENIED:
        kind = "known-bad address" if _is_number(host) else "malicious domain"
        finding = Finding(
            kind, host, "policy", detection="policy", field="target", observed=host, expected="none that a policy lists"
        )
        return Verdict(Decision.BLOCK, reasons.blocked_by_policy([kind]), (finding,), action_id=action.id)
    if reason in (Reason.REFUSED_UNDECLARED, Reason.REFUSED_NAME):
        finding = Finding(
            "undeclared destination",
            host,
            "declaration",
            detection="declaration",
            field="target",
            expected="a declared destination",
            observed=action.target,
            advice="If the agent needs this destination, declare it.",
            attack="undeclared",
        )
        return Verdict(Decision.BLOCK, reasons.undeclared(destination=host), (finding,), action_id=action.id)
    kind, why, advice = _WORDS.get(reason, ("unprotected", "refused by the kernel", ""))
    finding = Finding(
        kind, action.target, "kernel", detection="policy", field="target", observed=action.target, advice=advice
    )
    return Verdict(Decision.BLOCK, f"policy: {why}", (finding,), action_id=action.id)


def redacted(words: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments of a program without what is a credential, and without the value behind an option that is called one."""
    clean, hide = [], False
    for word in words:
        if hide:
            clean.append("[redacted]")
            hide = False
            continue
        for hit in find(word):
            word = word.replace(hit.value, "[redacted]")
        if ":" in word:
            word = _HEADER.sub(r"\1 [redacted]", word)
        name, sign, value = word.partition("=")
        if _SECRET.search(name) and name.startswith("-"):
            hide = not sign
            word = f"{name}=[redacted]" if sign and value else name
        elif sign and _SECRET.search(name) and value:
            word = f"{name}=[redacted]"
        clean.append(word)
    return tuple(clean)


_HEADER = re.compile(
    r"(?i)((?:authorization|cookie|(?<![a-z-])(?:(?!x-)[a-z-])*+x-[a-z-]*+(?:(?<=key)|(?<=token)|(?<=secret))):).+"
)
"""What stands before the colon is kept in any case, so that each run of letters is read once: from its beginning."""
_SECRET = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|bearer)s?$"
)


def _identity(about: os.stat_result) -> tuple[int, ...]:
    """Of one content of one file: anybody may set the time of the last change of the content, nobody that of the inode's."""
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def container_of(pid: int) -> str | None:
    """The id of the container that a process is in, by the path of its control group; ``""`` for none, None when it is gone."""
    try:
        fd = os.open(
            f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC
        )  # half of what a file object costs, for each process
        try:
            found = _CONTAINER.search(os.read(fd, 4096))
        finally:
            os.close(fd)
    except OSError:
        return None
    return found[1][:12].decode() if found else ""


def _transport(event: Event) -> str:
    return "quic" if event.protocol == "udp" and event.port == 443 else event.protocol


def _place(host: str, port: int) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host


def _is_number(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _keep(table: OrderedDict, key: object, value: object, most: int) -> None:  # type: ignore[type-arg]
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)
