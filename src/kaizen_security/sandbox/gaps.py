"""The gap's shell: one ledger, its clock, what it learned on disk, and its verdicts on their way."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import encode_action, encode_verdict
from kaizen_security.contract.step import Step
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.gap import words
from kaizen_security.observer.gap.expectation import Expectation
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.ledger import Ledger
from kaizen_security.observer.rules import Rules
from kaizen_security.runtime.clock import Clock
from kaizen_security.sidecar.shelf import read

log = logging.getLogger(__name__)

KEPT = 1000
"""Gaps, and what a model raised, that are kept to be shown here, the newest."""
SKEW = 60.0
"""Seconds that a stated time may be ahead of the clock; one further ahead is not believed."""


class Gaps:
    """``report(action, verdict)`` puts a verdict on its way; ``rules()`` are what is in force. Not for several threads."""

    def __init__(
        self,
        agent: str,
        expectation: Expectation,
        file: Path,
        clock: Clock,
        *,
        report: Callable[[Action, Verdict], object],
        rules: Callable[[], Rules],
    ) -> None:
        self._file = file
        self._clock = clock
        self._report = report
        self._rules = rules
        self._kept = b""
        self.recent: deque[dict[str, Json]] = deque(maxlen=KEPT)
        self.found = 0
        self.ledger = Ledger(agent, expectation, learned=self._learned(expectation.learn_runs))

    def _learned(self, runs: int) -> Learned:
        data = read(self._file)
        if data is None:
            return Learned(runs)
        try:
            return Learned.from_json(json.loads(data), runs)
        except (ValueError, TypeError) as err:
            log.warning("what was learned of the agent's traffic cannot be read, it is learned anew: %s", err)
            return Learned(runs)

    def note(self, step: Step) -> None:
        """Take in a step of the account, or an effect."""
        now = self._clock()
        if step.at > now + SKEW:
            self.ledger.losses["steps with a time in the future"] += 1
            return
        self.ledger.note(step, now)

    def wake(self) -> None:
        """Settle what needed time, and report it."""
        now = self._clock()
        if self.ledger.due > now:
            return
        rules = self._rules()
        for gap in self.ledger.wake(now):
            action, verdict = words.action(gap), words.verdict(gap, rules.mode, rules.version)
            if rules.paused or rules.suppressed.cover(action, verdict):
                # A person said so: of this agent for now, or of this very gap.
                self.ledger.counts["not said, as a person wants it"] += 1
                continue
            self.found += 1
            self.show(action, verdict)
            log.warning("%s", verdict.reason)
            self._report(action, verdict)

    def show(self, action: Action, verdict: Verdict) -> None:
        """Keep it for whoever looks here: a gap, or what a model raised."""
        at = round(self._clock(), 3)
        self.recent.append({"at": at, "action": encode_action(action), "verdict": encode_verdict(verdict)})

    def save(self) -> None:
        """Keep what was learned, where that has changed."""
        data = json.dumps(self.ledger.learned.to_json(), sort_keys=True).encode()
        if data == self._kept:
            return
        try:
            write_whole(self._file, data)
            self._kept = data
        except OSError as err:
            log.warning("what was learned is not kept: %s", err.strerror)

    def health(self) -> dict[str, Json]:
        """Counts only."""
        learned = self.ledger.learned
        return {
            "found": self.found,
            "counts": dict(self.ledger.counts.items()),
            "losses": dict(self.ledger.losses.items()),
            "learning": learned.learning,
            "learned_runs": learned.seen,
        }
