"""The gap's core: takes the account and the effects of one agent in, in any order, and says what does not match.

``note`` and ``see`` take in, ``wake`` settles what needed time. No clock, no input or output: ``now`` is given, in Unix seconds.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.step import Claim, Effect, End, Message, Request, Result, Step
from kaizen_security.observer.gap import told as account_of
from kaizen_security.observer.gap.align import (
    LEAD,
    LONGEST,
    away,
    commanded,
    covers_run,
    explaining,
    is_anothers,
    leads,
    names_a_place,
    needs_no_call,
)
from kaizen_security.observer.gap.books import Books
from kaizen_security.observer.gap.expectation import NOTHING_EXPECTED, Compiled, Expectation
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.redirect import sent_on
from kaizen_security.observer.gap.seen import Seen, What, progress
from kaizen_security.observer.gap.seen import seen as effect_of
from kaizen_security.observer.gap.told import NEVER, Account, Told
from kaizen_security.observer.gap.words import Gap

SETTLE = 0.5
"""Seconds after a run's end in which an effect still waits for its call to be told."""
CLOSE = 1.2
"""Seconds after a run's end in which what was seen still arrives; then a call without an effect had none."""
TIDY = 1024
"""Waits beyond which those are forgotten that nothing depends on."""
REDIRECT = 0.25
"""Seconds for which the connection before a redirect may be reported after the one behind it."""
AGAIN = 60.0
"""Seconds for which the same effect outside of any run is not said again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """``runs`` accounts and ``effects`` of one agent that are remembered, ``calls`` of one run."""

    runs: int = 256
    effects: int = 8192
    calls: int = 4096


class Ledger:
    """Of one agent. ``losses``: what bounds have cost, by reason. ``counts``: what was explained, and how."""

    def __init__(
        self,
        agent: str,
        expectation: Expectation = NOTHING_EXPECTED,
        *,
        learned: Learned | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.agent = agent
        self.rules = Compiled(expectation)
        self.learned = learned if learned is not None else Learned(expectation.learn_runs)
        self.bounds = bounds or Bounds()
        self.losses: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._calls: dict[tuple[str, str], Told] = {}
        self._effects: OrderedDict[str, Seen] = OrderedDict()
        self._open: dict[str, Seen] = {}
        """Effects that nothing explains yet."""
        self._loose: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._programs: OrderedDict[int, Seen] = OrderedDict()
        """The last program of each process."""
        self._due: list[tuple[float, int, Seen | Account]] = []
        self._order = count()
        self._tidy_at = self._least = min(TIDY, 4 * self.bounds.effects)
        self._fresh: deque[Gap] = deque()
        self._books = Books(agent, self.rules, self.learned)
        self._last_end = 0.0

    def expect(self, expectation: Expectation) -> None:
        """Another expectation is in force from here on. Raises Misconfigured; then the one before stays."""
        self.rules = self._books.rules = Compiled(expectation)
        self.learned.runs = expectation.learn_runs

    # --- the account --------------------------------------------------------------------------------------------------------

    def note(self, step: Step, now: float) -> None:
        """Take in a step. An action of ground truth, and an Effect, are what was seen; everything else is what was told."""
        match step:
            case Effect():
                action = step.action if step.action.run_id else replace(step.action, run_id=step.run_id)
                self._see(action, step.at or now, now)
            case Action() if step.rung >= Rung.EGRESS:
                self._see(step, step.at or now, now)
            case Action():
                self._tell(step, step.run_id, step.at, now)
            case Claim():
                self._tell(step.action, step.run_id, step.at or step.action.at, now)
            case Result():
                self._result(step, now)
            case Message():
                account = self._turn(step.run_id, step.at, now)
                if len(account.said) < account_of.MAX_NAMED:
                    account.said.update(account_of.places_of(step.text))
            case Request():
                self._turn(step.run_id, step.at, now)
            case End():
                self._over(step, now)

    def _account(self, run_id: str, stated: float, now: float) -> Account:
        at = stated or now
        account = self._accounts.get(run_id)
        if account is None:
            account = Account(run_id, at, at)
            if not stated:
                # Nobody says when it was: at any time since the run before it.
                account.timeless = True
                account.begun = max(self._last_end, now - self.rules.expectation.patience)
            self._accounts[run_id] = account
            self._wait(account, now + LONGEST)
            if len(self._accounts) > self.bounds.runs:
                self._forget(self._accounts.popitem(last=False)[1])
        account.begun = min(account.begun, at)
        account.last = max(account.last, at)
        return account

    def _turn(self, run_id: str, stated: float, now: float) -> Account:
        """The run, which goes on if it had ended: a conversation has further turns under the same name."""
        account = self._account(run_id, stated, now)
        if account.ended and account.last > account.ended:
            account.ended = 0.0
            account.closed = False
            self._wait(account, now + LONGEST)
        return account

    def _forget(self, account: Account) -> None:
        for call in account.calls:
            self._calls.pop((account.run_id, call.id), None)
        self.losses["runs forgotten before they ended"] += not account.ended
        account.closed = True

    def _tell(self, action: Action, run_id: str, stated: float, now: float) -> None:
        account = self._turn(run_id, stated, now)
        if action.id and (run_id, action.id) in self._calls:
            return
        if len(account.calls) >= self.bounds.calls:
            account.omitted += 1
            self.losses["calls beyond a run's bound"] += 1
            return
        call = account_of.told(action, stated or now)
        account.calls.append(call)
        if action.id:
            self._calls[run_id, action.id] = call

    def _result(self, result: Result, now: float) -> None:
        account = self._account(result.run_id, result.at, now)
        call = self._calls.get((result.run_id, result.action_id))
        if call is None:
            # Some programs give a result an id of its own: it is the oldest call's that has none.
            call = next((one for one in account.calls if not one.ended), None)
        if call is None or call.ended:
            return
        call.ended = max(call.begun, result.at or now)
        call.failed = result.failed
        call.size = max(call.size, account_of.amount(result.content))
        if account.ended:
            self._wait(account, now + CLOSE)
        elif not account.timeless:
            # Not every format says when a run is over: what this call did has been seen by then.
            call.due = now + self.rules.expectation.patience + SETTLE
            self._wait(account, call.due)

    def _over(self, end: End, now: float) -> None:
        account = self._account(end.run_id, end.at, now)
        if not end.completed:
            # It broke off: what had no result by then did not succeed.
            for call in account.calls:
                call.failed |= not call.ended
        self._end(account, end.at or now, now)

    def _end(self, account: Account, at: float, now: float) -> None:
        if not account.ended:
            account.ended = max(account.last, at)
            self._last_end = max(self._last_end, account.ended)
            for effect in self._open.values():
                # Its run is over: nothing more will be told of it.
                if covers_run(account, effect.at):
                    self._wait(effect, now + SETTLE)
        self._wait(account, now + CLOSE)

    # --- the effects --------------------------------------------------------------------------------------------------------

    def _see(self, action: Action, at: float, now: float) -> None:
        known = self._effects.get(action.id) if action.id else None
        if known is not None:
            before = known.up
            progress(known, action, at)
            if known.settled and known.up > before:
                # What nothing explains yet is added up when something does: its run may not have been told of.
                self._fresh.extend(self._books.sent(known, self._during(known)))
            return
        effect = effect_of(action, at)
        if effect is not None and effect.what is What.PROGRAM:
            self._started(effect)
        if effect is None:
            self.counts["of another kind"] += 1
            return
        if not effect.id:
            effect.id = f"effect-{self.agent}-{next(self._order)}"
        self._effects[effect.id] = effect
        if len(self._effects) > self.bounds.effects:
            _, oldest = self._effects.popitem(last=False)
            if not oldest.settled:
                # Whoever floods us to have an effect forgotten has it said at once.
                self.losses["effects judged before their time"] += 1
                oldest.waited = True
                self._fresh.extend(self._judge(oldest, now))
        if not self._explained(effect):
            self._open[effect.id] = effect
            around = self._around(effect)
            over = around and all(account.ended for account in around)
            self._wait(effect, now + (SETTLE if over else self.rules.expectation.patience))

    def _started(self, effect: Seen) -> None:
        """Tie a program to what started it. What a program that was told of starts is its own affair."""
        effect.above = self._programs.get(effect.pid) or self._programs.get(effect.parent)
        self._programs.pop(effect.pid, None)
        self._programs[effect.pid] = effect
        if len(self._programs) > self.bounds.runs:
            self._programs.popitem(last=False)

    def _around(self, effect: Seen) -> list[Account]:
        """The runs that it may be of, the likeliest last: of those that were under way just then one with calls, the newest."""
        if effect.rung < Rung.EGRESS and effect.run_id in self._accounts:
            # Who saw it from within says of which run it was; the kernel's is the run of the whole program.
            return [self._accounts[effect.run_id]]
        found = [account for account in self._accounts.values() if covers_run(account, effect.at)]
        return sorted(found, key=lambda one: (-away(one, effect.at), bool(one.calls), one.begun))

    def _during(self, effect: Seen) -> list[Account]:
        """The runs that a connection may have carried something of: a pool keeps one open for the runs to come."""
        return [
            account
            for account in self._accounts.values()
            if account.begun - LEAD <= (effect.ended or effect.at)
            and covers_run(account, max(effect.at, account.begun))
        ]

    def _explained(self, effect: Seen, *, last: bool = False) -> bool:
        """``last``: nothing more is waited for, so what was redirected is explained too, by what is known of it by now."""
        if needs_no_call(effect, self.rules, self.learned):
            effect.settled = True
            self.counts["infrastructure"] += 1
            return True
        around = self._around(effect)
        found = explaining(around, effect, self.rules, self.learned)
        if not found and (last or effect.ended):
            found = sent_on(around, effect, self.rules)
            effect.sent_on = bool(found)
        if not found and not is_anothers(effect):
            return False
        effect.leads, effect.above = leads(effect), None
        effect.settled = True
        if effect.rung >= Rung.EGRESS and effect.what is What.CONNECTION:
            # Neither a name that was asked for shows that a call was no lie, nor what somebody merely says of an effect.
            for _, call in found:
                call.carried_by(effect)
        self.counts["explained"] += 1
        if effect.up:
            self._fresh.extend(self._books.sent(effect, self._during(effect)))
        return True

    def _judge(self, effect: Seen, due: float) -> Iterator[Gap]:
        """The last word on an effect, of which it was time to say it at ``due``."""
        self._open.pop(effect.id, None)
        if effect.settled or self._explained(effect, last=True):
            return
        if not effect.waited and any(names_a_place(call) for account in self._around(effect) for call in account.calls):
            # It may have been sent on from a place whose connection was reported a moment later, since it lasted longer.
            effect.waited = True
            self._open[effect.id] = effect
            self._wait(effect, due + REDIRECT)
            return
        effect.settled, effect.above = True, None
        accounts = self._around(effect)
        if effect.what is What.PROGRAM and not any(commanded(account, effect.at) for account in accounts):
            # Nobody told of a command, so there is nothing to compare it with.
            self.counts["programs beside no command"] += 1
            return
        if not accounts and self._said_lately(effect):
            return
        gap = self._books.unexplained(effect, accounts, self._before(effect))
        if gap is not None:
            yield gap

    def _said_lately(self, effect: Seen) -> bool:
        """Whether the same was said of the same outside of any run a minute ago."""
        key = (effect.what.value, effect.subject)
        said = self._loose.get(key)
        if said is not None and abs(effect.at - said) < AGAIN:
            return True
        self._loose[key] = effect.at
        self._loose.move_to_end(key)
        if len(self._loose) > self.bounds.runs:
            self._loose.popitem(last=False)
        return False

    # --- settling -----------------------------------------------------------------------------------------------------------

    def _wait(self, what: Seen | Account, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._order), what))
        if len(self._due) > self._tidy_at:
            self._tidy()

    def _tidy(self) -> None:
        """Forget waits for what is over, and all but the first for one thing. Runs wait for an hour, and are over in seconds."""
        first: dict[int, tuple[float, int, Seen | Account]] = {}
        for one in sorted(self._due, key=lambda one: one[:2]):
            if not (one[2].closed if isinstance(one[2], Account) else one[2].settled):
                first.setdefault(id(one[2]), one)
        self._due = list(first.values())  # sorted, so a heap
        self._tidy_at = max(self._least, 2 * len(self._due))

    @property
    def due(self) -> float:
        """When ``wake`` has something to do next, in Unix seconds; infinity when nothing waits."""
        return 0.0 if self._fresh else self._due[0][0] if self._due else float("inf")

    def wake(self, now: float) -> tuple[Gap, ...]:
        """What has been waited for long enough."""
        found = list(self._settled(now))
        for gap in found:
            self.counts[gap.kind.value] += 1
        return tuple(found)

    def _settled(self, now: float) -> Iterator[Gap]:
        while self._fresh:
            yield self._fresh.popleft()
        while self._due and self._due[0][0] <= now:
            due, _, what = heapq.heappop(self._due)
            if isinstance(what, Account):
                over = self._is_over(what, now)
                yield from self._books.missing(what, self._effects.values(), now)
                if over:
                    self._close(what)
            else:
                yield from self._judge(what, due)
        while self._fresh:
            yield self._fresh.popleft()

    def _is_over(self, account: Account, now: float) -> bool:
        """Whether a run can be looked through; one in which nothing was told for long ends with its last step."""
        if account.ended:
            return True
        if now - account.last < LONGEST:
            due = (call.due for call in account.calls if now < call.due < NEVER and not call.settled)
            self._wait(account, min(due, default=account.last + LONGEST))
            return False
        account.ended = account.last
        self.counts["runs that nobody ended"] += 1
        return True

    def _before(self, effect: Seen) -> Account | None:
        """The run that ended last before the effect."""
        over = [one for one in self._accounts.values() if one.ended and one.ended <= effect.at]
        return max(over, key=lambda one: one.ended, default=None)

    def _close(self, account: Account) -> None:
        """A run is over and looked through: it teaches if nothing was wrong in it."""
        account.closed = True
        if self.learned.learning and not account.unseen:
            sent = self._books.totals(account, self._effects.values())
            self.learned.run(account.strange, sent)
            account.strange = set()
