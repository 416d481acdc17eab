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
from kaizen_security.observer.gap.redirect import TRIES, may_lead, most
from kaizen_security.observer.gap.seen import Seen, What
from kaizen_security.observer.gap.told import Account, Told, allowance
from kaizen_security.observer.gap.words import NAMED, UNFORCED, Gap, GapKind, Reported

APART = 0.1
"""Seconds that a connection must have been over before a call began to be none of its: clocks are read in passing."""


class Books:
    """``rules`` and ``learned`` as the ledger has them."""

    def __init__(self, agent: str, rules: Compiled, learned: Learned) -> None:
        self.agent = agent
        self.rules = rules
        self.learned = learned

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
        return (
            self.learned.learning
            and effect.what not in (What.FILE, What.PROGRAM)
            and not self.rules.forbids(effect.target)
        )

    def _absent(self, account: Account | None, near: list[Told]) -> tuple[str, ...]:
        """Where the calls that were under way say that they went, and were not seen. That is said of them once, here."""
        found: dict[str, None] = {}
        for call in near:
            over = account is not None and (call.ended or account.ended)
            if over and not call.failed and not call.carried and not call.settled:
                call.settled = True
                for host in expected_at(call, self.rules):
                    found[host.partition(":")[0] if host.count(":") == 1 else host] = None
        return tuple(found)[:NAMED]

    # --- told, not seen -----------------------------------------------------------------------------------------------------

    def missing(self, account: Account, effects: Iterable[Seen], now: float) -> Iterator[Gap]:
        """The gaps that calls are which succeeded without leaving a trace where they must, and can be looked through by now."""
        seen = None
        for call in account.calls:
            if call.settled or call.failed or not (account.ended or call.due <= now):
                continue
            call.settled = True
            where = self._must(call)
            if call.carried and not (where and _borrowed(account, call)):
                self._remember(call)
                continue
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
        if reach is not None and reach.always:
            return expected_at(call, self.rules)
        # A host that this agent was never seen at: no cache can have held what the call says it has from there.
        if reach is not None:
            named = tuple(reach.hosts) if self.rules.expectation.forced else ()
        else:
            named = tuple(place.host for place in call.places) if call.visits else ()
        if named and not any(self.learned.visited(host) for host in named):
            return expected_at(call, self.rules)
        return ()

    def _remember(self, call: Told) -> None:
        reach = self.rules.reach(call.tool)
        for host in (*(place.host for place in call.places), *(reach.hosts if reach is not None else ())):
            self.learned.visit(host)

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
        found = [
            (account, call)
            for account in accounts
            for call in account.calls
            if self._carries(account, call, effect) and call.begun - LEAD <= (effect.ended or effect.at) + GRACE
        ]
        calls = [call for _, call in found]
        expected = self._most(calls, effect)
        up = max((account.sent[effect.place.host] for account in accounts), default=0)
        if not calls or expected is None or up <= expected:
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
            most=expected,
        )
        yield self._told(gap, found[-1][0])

    def _carries(self, account: Account, call: Told, effect: Seen) -> bool:
        if effect.sent_on:
            return may_lead(call, effect, self.rules)
        return explains(account, call, effect, self.rules, self.learned)

    def _most(self, calls: list[Told], effect: Seen) -> int | None:
        host = effect.place.host
        if effect.sent_on:
            return max(sum(TRIES * most(call) for call in calls), self.learned.most(host))
        learned = self.learned.most(host)
        total, first = 0, True
        for call in calls:
            reach = self.rules.reach(call.tool)
            stated = reach.most_bytes_up if reach is not None else 0
            one = allowance(call, stated, first=first)
            if one is None:
                return learned or None
            total += one
            first = first and bool(stated)
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


_KINDS = {
    What.CONNECTION: GapKind.UNREPORTED,
    What.NAME: GapKind.NAME,
    What.FILE: GapKind.FILE,
    What.PROGRAM: GapKind.PROGRAM,
}


def _near(account: Account, effect: Seen) -> list[Told]:
    """The calls that were under way then."""
    return [call for call in account.calls if covers_call(account, call, effect.at)]


def _reached(account: Account, call: Told, effect: Seen, rules: Compiled, learned: Learned) -> bool:
    """Whether a connection that was open during the call can have carried it."""
    if effect.rung < Rung.EGRESS or effect.what is not What.CONNECTION or effect.hollow:
        return False
    if not explains(account, call, effect, rules, learned):
        return False
    if account.timeless:
        return covers_run(account, effect.at)
    ended = call.ended or account.ended
    open_then = effect.at <= ended + GRACE and (not effect.ended or effect.ended >= call.begun - LEAD)
    return open_then and not _anothers(account, call, effect)


def _borrowed(account: Account, call: Told) -> bool:
    """Whether all that may have carried a call was over before it began, and began in calls of the same tool before it.

    Clocks that differ show none: then some connection would not have begun within the call that it is of.
    """
    return not account.timeless and all(effect.hollow or _anothers(account, call, effect) for effect in call.carriers)


def _anothers(account: Account, call: Told, effect: Seen) -> bool:
    return 0.0 < effect.ended < call.begun - APART and any(
        one is not call and one.tool == call.tool and one.begun <= effect.at <= one.ended for one in account.calls
    )
