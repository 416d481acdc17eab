"""What `kaizen run` was asked for, and which rung it reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kaizen_security.client.config import Settings, load
from kaizen_security.contract.verdict import Mode

COLLECTOR_KEY = "KAIZEN_COLLECTOR_KEY"
"""Variable with the key (of scope collector) for what is seen from outside the agent; it is not handed on."""


class Way(StrEnum):
    """How the agent is held, the strongest last."""

    PROXY = "proxy"
    """Proxy variables only: an agent that ignores them is not seen."""
    NAMESPACE = "namespace"
    """A network namespace whose only way out is the egress proxy."""
    KERNEL = "kernel"
    """eBPF programs at the root cgroup see and refuse what its processes do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. ``user``: uid, gid and further groups that the agent gets (None: ours); ``output``: a file for all that it prints.

    ``want`` is the way that was asked for, None: the strongest that is to be had.

    ``allow``      destinations declared on the command line, besides those of the agent's declaration
    ``watch``      paths whose opens are told; ``refuse`` paths that may not be opened or executed in enforce mode
    ``local``      ports of the host's loopback that stay reachable from the namespace
    ``namespace``  with the kernel rung too, a network namespace of its own
    ``unix``       may it make unix sockets; ``io_uring`` may it use that, where the kernel programs hold it;
                   ``proxy`` an egress proxy that is there already (``""``: one of our own)
    ``authority``  a certificate authority's file that clients trust besides their own; ``data`` where spools and files go
    """

    agent: str
    mode: Mode
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    data: Path
    want: Way | None = None
    fail_closed: bool = True
    allow: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    local: tuple[int, ...] = ()
    unix: bool = True
    io_uring: bool = False
    namespace: bool = False
    proxy: str = ""
    authority: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None
    output: str = ""

    def settings(self) -> Settings:
        """For what reports and asks on the agent's behalf. What is seen from outside is not its word: it may go under a key of its
        own, which the agent never gets to see.
        """
        own_key = self.environ.get(COLLECTOR_KEY, "")
        environ = {name: value for name, value in self.environ.items() if name != COLLECTOR_KEY}
        return load({"agent": self.agent, **({"api_key": own_key} if own_key else {})}, environ)

    @property
    def enforce(self) -> bool:
        """Whether what is undeclared is refused."""
        return self.mode is Mode.ENFORCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The way that holds the agent, ``why`` it is no stronger one, and what this way ``lacks`` here, each in words."""

    way: Way
    why: str = ""
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``status`` as a shell would show it (128 + the signal's number); ``seconds`` of wall time; what was counted."""

    status: int
    seconds: float
    reached: Reached
    counts: Mapping[str, int]
    lost: Mapping[str, int]
