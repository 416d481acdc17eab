"""What is said of effects and calls that do not match: the choice of words' values, bytes added up, calls without an effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kaizen_security.contract.depth import Rung
from kaizen_security.observer.gap.align import (
    GRACE,
    LEAD,
    covers_call,
    covers_run,
    expected_at,
    explains,
    needs_no_call,
)
from kaizen_security.observer.gap.expectation import Compiled
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.seen import Seen, What
from kaizen_security.observer.gap.told import Account, Told, allowance
from kaizen_security.observer.gap.words import NAMED, UNFORCED, Gap, GapKind, Reported


class Books:
    """``rules`` and ``learned`` as the ledger has them."""

    def __init__(self, agent: str, rules: Compiled, learned: Learned) -> None:
        self.agent = agent
        self.rules = rules
        self.learned = learned
        self._fetched: dict[str, None] = {}

    # --- seen, not told -----------------------------------------------------------------------------------------------------

    def unexplained(self, effect: Seen, accounts: list[Account], before: Account | None) -> Gap | None:
        """The gap that an effect is which nothing explains; None when it was said before, or is still being learned."""
        account = accounts[-1] if accounts else None
        late = 0.0
        if account is None and before is not None:
            account, late = before, max(0.0, effect.at - before.ended)
        kind = GapKind.LATE if late else _KINDS[effect.what]
        near = _near(account, effect) if account is not None and not late else []
        tool = near[-1].tool if near else ""
        if account is not None:
            if not late and self._may_learn(effect):
                account.strange.add((tool, effect.subject))
                return None
            if (kind.value, effect.subject) in account.unseen:
                return None
            account.unseen.add((kind.value, effect.subject))
        absent = self._absent(account, near)
        if absent and kind is GapKind.UNREPORTED:
            kind = GapKind.ELSEWHERE
        gap = Gap(
            kind=kind,
            agent=self.agent,
            at=effect.at,
            id=f"gap-{effect.id}",
            rung=effect.rung,
            confidence=effect.rung.confidence,
            what=effect.what,
            target=effect.inner or effect.target,
            tool=tool,
            size=effect.up,
            late=late,
            refused=effect.refused,
            absent=absent,
        )
        return self._told(gap, account)

    def _may_learn(self, effect: Seen) -> bool:
        return self.learned.learning and effect.what is not What.FILE and not self.rules.forbids(effect.target)

    def _absent(self, account: Account | None, near: list[Told]) -> tuple[str, ...]:
        """Where the calls that were under way say that they went, and were not seen. That is said of them once, here."""
        found: dict[str, None] = {}
        for call in near:
            over = account is not None and (call.ended or account.ended)
            if over and not call.failed and not call.hosts and not call.settled:
                call.settled = True
                for host in expected_at(call, self.rules):
                    found[host.partition(":")[0] if host.count(":") == 1 else host] = None
        return tuple(found)[:NAMED]

    # --- told, not seen -----------------------------------------------------------------------------------------------------

    def missing(self, account: Account, effects: Iterable[Seen]) -> Iterator[Gap]:
        """The gaps that calls are which succeeded without leaving a trace where they must."""
        seen = None
        for call in account.calls:
            if call.settled or call.failed or not (call.ended or account.ended):
                continue
            call.settled = True
            if call.hosts:
                self._remember(call)
                continue
            where = self._must(call)
            if not where:
                continue
            seen = list(effects) if seen is None else seen
            if any(_reached(account, call, effect, self.rules, self.learned) for effect in seen):
                continue
            if (GapKind.MISSING.value, call.tool) in account.unseen:
                continue
            account.unseen.add((GapKind.MISSING.value, call.tool))
            forced = self.rules.expectation.forced
            gap = Gap(
                kind=GapKind.MISSING,
                agent=self.agent,
                at=call.ended or account.ended,
                id=f"gap-{account.run_id}-{call.id or account.calls.index(call)}"[:256],
                rung=Rung.EGRESS,
                confidence=Rung.EGRESS.confidence if forced else UNFORCED,
                tool=call.tool,
                absent=where,
            )
            yield self._told(gap, account)

    def _must(self, call: Told) -> tuple[str, ...]:
        """Where the call must have been seen; nowhere, when it may have been answered from memory."""
        reach = self.rules.reach(call.tool)
        if reach is not None:
            return expected_at(call, self.rules) if reach.always else ()
        # A page that says it was read, at a host that this agent was never seen at: no cache can have held it.
        if call.visits and call.places and all(place.host not in self._fetched for place in call.places):
            return expected_at(call, self.rules)
        return ()

    def _remember(self, call: Told) -> None:
        for place in call.places:
            self._fetched.pop(place.host, None)
            self._fetched[place.host] = None
            if len(self._fetched) > 1024:
                del self._fetched[next(iter(self._fetched))]

    # --- more than told -----------------------------------------------------------------------------------------------------

    def sent(self, effect: Seen, accounts: list[Account]) -> Iterator[Gap]:
        """The gap that more bytes are than the calls which explain them can have sent."""
        if effect.what is not What.CONNECTION or not effect.up or needs_no_call(effect, self.rules, self.learned):
            return
        for account in accounts:
            key = (GapKind.BYTES.value, effect.place.host)
            if key in account.unseen:
                return
            account.sent[effect.place.host] = account.sent.get(effect.place.host, 0) + effect.up - effect.counted
        effect.counted = effect.up
        calls = [
            call
            for account in accounts
            for call in account.calls
            if explains(account, call, effect, self.rules, self.learned)
            and call.begun - LEAD <= (effect.ended or effect.at) + GRACE
        ]
        most = self._most(calls, effect.place.host)
        up = max((account.sent[effect.place.host] for account in accounts), default=0)
        if not calls or most is None or up <= most:
            return
        for account in accounts:
            account.unseen.add((GapKind.BYTES.value, effect.place.host))
        gap = Gap(
            kind=GapKind.BYTES,
            agent=self.agent,
            at=effect.ended or effect.at,
            id=f"gap-bytes-{effect.id}",
            rung=effect.rung,
            confidence=effect.rung.confidence,
            target=effect.target,
            tool=calls[-1].tool,
            size=up,
            most=most,
        )
        yield self._told(gap, accounts[-1])

    def _most(self, calls: list[Told], host: str) -> int | None:
        learned = self.learned.most(host)
        total = 0
        for call in calls:
            reach = self.rules.reach(call.tool)
            one = allowance(call, reach.most_bytes_up if reach is not None else 0)
            if one is None:
                return learned or None
            total += one
        return max(total, learned) if not self.learned.learning else None

    @staticmethod
    def totals(account: Account, effects: Iterable[Seen]) -> list[tuple[str, int]]:
        """Bytes that were sent in a run, by host."""
        totals: dict[str, int] = {}
        for effect in effects:
            if effect.what is What.CONNECTION and covers_run(account, effect.at):
                totals[effect.place.host] = totals.get(effect.place.host, 0) + effect.up
        return list(totals.items())

    # --- both sides -----------------------------------------------------------------------------------------------------------

    def _told(self, gap: Gap, account: Account | None) -> Gap:
        """The gap with what was reported beside it."""
        if account is None:
            return gap
        named = dict.fromkeys(Reported(tool=call.tool, hosts=expected_at(call, self.rules)) for call in account.calls)
        return replace(
            gap,
            run_id=account.run_id,
            reported=tuple(named)[:NAMED],
            more=len(named) - min(len(named), NAMED) + account.omitted,
        )


_KINDS = {What.CONNECTION: GapKind.UNREPORTED, What.NAME: GapKind.NAME, What.FILE: GapKind.FILE}


def _near(account: Account, effect: Seen) -> list[Told]:
    """The calls that were under way then."""
    return [call for call in account.calls if covers_call(account, call, effect.at)]


def _reached(account: Account, call: Told, effect: Seen, rules: Compiled, learned: Learned) -> bool:
    """Whether a connection that was open during the call can have carried it."""
    if effect.rung < Rung.EGRESS or effect.what is not What.CONNECTION:
        return False
    if not explains(account, call, effect, rules, learned):
        return False
    if account.timeless:
        return covers_run(account, effect.at)
    ended = call.ended or account.ended
    return effect.at <= ended + GRACE and (not effect.ended or effect.ended >= call.begun - LEAD)
