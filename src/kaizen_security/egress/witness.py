"""Witness: makes the records of what passes and what is refused, and hands them to the reporter."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from kaizen_security.egress import clock
from kaizen_security.egress.budgets import Budget
from kaizen_security.egress.budgets import refusal as over_budget
from kaizen_security.egress.fronting import disagreement
from kaizen_security.egress.gate import Gate, is_address
from kaizen_security.egress.hello import Hello
from kaizen_security.egress.http1 import authority
from kaizen_security.egress.loop import Loop
from kaizen_security.egress.policies import Policies
from kaizen_security.egress.report import Record, Reporter
from kaizen_security.egress.rules import Refusal, Rules


class Witness:
    """Owned by the loop's thread. ``gate`` gives the gate in force, which a reload replaces."""

    def __init__(
        self, loop: Loop, policies: Policies, reporter: Reporter, *, gate: Callable[[], Gate], counts: Counter[str]
    ) -> None:
        self._loop = loop
        self._policies = policies
        self._reporter = reporter
        self._gate = gate
        self._counts = counts
        self._ids = clock.Ids()
        self._behind = clock.now() - time.monotonic()

    def record(self, agent: str, target: str, kind: str) -> Record:
        """A new record, not reported yet."""
        rules = self._policies.of(agent)
        version = rules.compiled.version if isinstance(rules, Rules) else ""
        return Record(self._ids.new(), agent, target, self._loop.now + self._behind, kind, version)

    def began(self, record: Record, address: str) -> None:
        """The address passed and is dialled: report."""
        record.extra["address"] = address
        self._counts[record.kind] += 1
        self._reporter.put(record)

    def ended(self, record: Record, how: str) -> None:
        """The connection is over (or never came about)."""
        record.duration = self._loop.now + self._behind - record.at
        record.ended = how
        self._reporter.end(record)

    def refused(self, record: Record, refusal: Refusal) -> None:
        """A refusal is its own action when the connection was reported as begun already."""
        self._counts["refused"] += 1
        if record.queued:
            self.ended(record, "refused")
            record = self.beside(record)
        record.refusal = refusal
        record.ended = "refused"
        self._reporter.put(record)

    def went_over(self, record: Record, budget: Budget) -> Refusal:
        """A connection was ended because it went beyond a budget: an action of its own."""
        what = over_budget(budget, record.target, "bytes")
        self.refused(self.beside(record), what)
        return what

    def beside(self, record: Record, target: str = "") -> Record:
        """A record of its own for what is found of a connection that was reported already; by default of the same target."""
        beside = self.record(record.agent, target or record.target, "connect")
        beside.act_id = record.id
        return beside

    def name_record(self, record: Record, name: str, speaks: str) -> Record:
        """A record for the name that was asked for inside a connection to another."""
        port = record.target.rpartition(":")[2]
        beside = self.beside(record, authority(name, int(port)))
        beside.extra = {"address": record.extra.get("address"), "host": record.target}
        if speaks == "tls":
            beside.extra["sni"] = name
        return beside

    def saw_hello(self, record: Record, hello: Hello) -> Refusal | None:
        """Note what a TLS hello says, and decide on its name."""
        extra = record.extra
        extra["tls"] = "ech" if hello.ech else "hello" if hello.sni else "nameless"
        if hello.alpn:
            extra["alpn"] = "+".join(hello.alpn)[:32]
        if not hello.sni:
            return None
        extra["sni"] = hello.sni
        host = record.target.rpartition(":")[0]
        sni = hello.sni.rstrip(".")
        if sni == host:
            return None
        extra["sni_differs"] = True
        return self._other_name(record, sni, "TLS name")

    def saw_host(self, record: Record, host: str) -> Refusal | None:
        """Note which host a plain request asks for inside a tunnel, and decide on it."""
        if host == record.target.rpartition(":")[0].strip("[]"):
            return None
        record.extra["host_differs"] = True
        return self._other_name(record, host, "Host field")

    def _other_name(self, record: Record, named: str, where: str) -> Refusal | None:
        host, _, port = record.target.rpartition(":")
        host = host.strip("[]")
        if not is_address(host):
            record.findings = (disagreement(host, named, where),)
        return self._gate().hidden_name(host, record.agent, named, int(port))

    def saw_unreadable(self, record: Record, speaks: str) -> Refusal | None:
        """Note that what began like TLS, or like a request, cannot be read, and decide on that."""
        if speaks == "tls":
            record.extra["tls"] = "unreadable"
        host, _, port = record.target.rpartition(":")
        return self._gate().unreadable_name(host.strip("[]"), record.agent, int(port), speaks)
