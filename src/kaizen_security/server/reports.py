"""A report on its way into the store: decoded, told whose word it is, evaluated, cut to what may be kept, committed, shown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import NamedTuple

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import Report, decode_report, encode_action
from kaizen_security.contract.errors import InvalidInput, TooLarge
from kaizen_security.contract.fields import MAX_NAME, obj, text
from kaizen_security.contract.verdict import Verdict, restated
from kaizen_security.observer.question import Question
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import ApiError, parse_json
from kaizen_security.server.kept import Outward
from kaizen_security.server.quick import decode_batch
from kaizen_security.store.base import Appended, LimitReached, NewVerdict, Origin, Status, VerdictRow

MAX_REPORTS = 5000
"""Reports of one batch."""
HEAVY = 128 << 10
"""Bytes of a body from which on it is worked on aside: half a megabyte of numbers would stop everybody for a second."""
EVALUATED_AT_ONCE = 50
"""Reports evaluated before other requests get their turn."""


class Kept(NamedTuple):
    """What became of one report: our verdict on it, its row's id, and whether it was there before."""

    verdict: Verdict
    id: str
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A report that could not be taken, by its place in the batch; the others were."""

    index: int
    field: str
    message: str


def decode(document: Json, principal: Principal, *, field: str = "") -> Report:
    """A report whose agent is the one that the key may speak for, and whose organisation is the key's.

    Raises InvalidInput, ApiError (403).
    """
    doc = obj(document, field or "body")
    path = field + "." if field else ""
    said = text(doc, "agent", path, limit=MAX_NAME)
    report = decode_report(doc, agent=principal.agent(said, field=path + "agent"), field=field)
    if principal.bound_agent == "" and not report.action.agent.strip():
        raise InvalidInput(path + "agent", "must say something")
    if principal.is_observer and report.verdict is None:
        raise InvalidInput(path + "verdict", "is missing: an observer reports verdicts")
    return replace(report, action=principal.heard(replace(report.action, organisation=_judged_for(principal))))


def _judged_for(principal: Principal) -> str:
    """Whose agent acts: the key says, what a document says of that is not even looked at. What an observer reports was judged
    already, and nobody asks.
    """
    return "" if principal.is_observer else str(principal.organisation)


def read_report(data: bytes, principal: Principal) -> Report:
    """The report in a body. Raises InvalidInput, TooLarge, ApiError (403)."""
    return decode(parse_json(data), principal)


def read_batch(data: bytes, principal: Principal) -> tuple[list[tuple[int, Report]], list[Refusal]]:
    """The reports of a batch that can be taken with their places, and why the others cannot. Raises InvalidInput, TooLarge."""
    quick = decode_batch(data, _judged_for(principal))
    if quick is not None and len(quick) <= MAX_REPORTS and all(_is_fine(report, principal) for report in quick):
        heard = [
            replace(one, action=action) if (action := principal.heard(one.action)) is not one.action else one
            for one in quick
        ]
        return list(enumerate(heard)), []
    found = obj(parse_json(data), "body").get("reports")
    if not isinstance(found, list):
        raise InvalidInput("reports", "must be a list")
    if len(found) > MAX_REPORTS:
        raise TooLarge("reports", f"has {len(found)} entries, at most {MAX_REPORTS} are taken")
    return _one_by_one(found, principal)


def _is_fine(report: Report, principal: Principal) -> bool:
    """Whether ``decode`` would take it as it is."""
    if principal.bound_agent or not report.action.agent.strip():
        return False
    return report.verdict is not None or not principal.is_observer


def _one_by_one(documents: Sequence[Json], principal: Principal) -> tuple[list[tuple[int, Report]], list[Refusal]]:
    taken: list[tuple[int, Report]] = []
    refused: list[Refusal] = []
    for index, document in enumerate(documents):
        try:
            taken.append((index, decode(document, principal, field=f"reports[{index}]")))
        except (InvalidInput, ApiError) as err:
            message = err.problem if isinstance(err, InvalidInput) else err.message
            refused.append(Refusal(index=index, field=err.field, message=message))
    return taken, refused


class _Work:
    """What comes of reports: their rows, our verdict on each, and where the rows of each begin."""

    def __init__(self) -> None:
        self.rows: list[NewVerdict] = []
        self.verdicts: list[Verdict] = []
        self.firsts: list[int] = []


class Reports:
    """Takes decoded reports of one caller into the store."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._outwards: dict[int, Outward] = {}

    async def _outward(self, organisation: int) -> Outward:
        found = self._outwards.get(organisation)
        if found is None:
            found = self._outwards[organisation] = Outward(await self._context.boundary_key(organisation))
        return found

    async def take(self, principal: Principal, reports: Sequence[Report], *, heavy: bool = False) -> list[Kept]:
        """Evaluate, keep and show reports; nothing is returned before it is on disk. ``heavy``: work on them aside.

        Raises LimitReached, StoreFull, StoreUnavailable; then nothing of the call was kept.
        """
        organisation = principal.organisation
        outward = await self._outward(organisation)
        for agent in {report.action.agent for report in reports}:
            await self._context.evaluator.prepare(organisation, agent)
        work = _Work()
        if heavy:
            writing = await self._context.aside(self._judge_and_append, principal, reports, outward, work)
        else:
            for start in range(0, len(reports), EVALUATED_AT_ONCE):
                if start and not principal.is_observer:
                    await asyncio.sleep(0)
                self._judge(principal, reports[start : start + EVALUATED_AT_ONCE], outward, work)
            writing = self._context.store.append(organisation, work.rows)
        appended = await self._kept(organisation, work.rows, writing)
        return [
            Kept(verdict=verdict, id=appended.ids[first], duplicate=first in appended.duplicates)
            for verdict, first in zip(work.verdicts, work.firsts, strict=True)
        ]

    async def take_what_fits(
        self, principal: Principal, reports: Sequence[tuple[int, Report]], *, heavy: bool = False
    ) -> tuple[list[Kept], list[Refusal]]:
        """``take`` of a batch's reports with their places.

        Where the organisation has as many agents as it may have, reports of further ones are refused and the others kept: whoever
        makes up names must not keep back what everybody else reports.

        Raises StoreFull, StoreUnavailable.
        """
        try:
            return await self.take(principal, [report for _, report in reports], heavy=heavy), []
        except LimitReached as err:
            names = {report.action.agent for _, report in reports}
            known = await self._context.call(self._known, principal.organisation, names)
            if known == names:
                raise
            refused = [
                Refusal(index=index, field=f"reports[{index}].agent", message=str(err))
                for index, report in reports
                if report.action.agent not in known
            ]
        fitting = [report for _, report in reports if report.action.agent in known]
        return await self.take(principal, fitting, heavy=heavy), refused

    def _known(self, organisation: int, names: Iterable[str]) -> set[str]:
        return {name for name in names if self._context.store.agent(organisation, name) is not None}

    async def _kept(self, organisation: int, rows: Sequence[NewVerdict], writing: Future[Appended]) -> Appended:
        """Rows are being written: when they are, count them, and tell and show them."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        appended = await asyncio.wrap_future(writing)
        self._context.metrics.store["append"].observe(loop.time() - began)
        self._context.exports.wake(organisation)
        self._count(rows, appended)
        self._show(organisation, rows, appended)
        return appended

    async def further(self, organisation: int, question: Question, verdict: Verdict) -> None:
        """Keep what a model raised of an action that has its row already, unless a person called exactly this a false positive.

        Raises StoreFull, StoreUnavailable.
        """
        if await self.dismissed(organisation, replace(question, floor=verdict)):
            return
        outward = await self._outward(organisation)
        action, said = outward.action(question.action), outward.verdict(verdict)
        row = NewVerdict(
            action=replace(action, id=reasons.row_id(action.id, reasons.JUDGED)),
            verdict=said,
            origin=Origin.SERVER,
            created_at=self._context.clock(),
            further=True,
            flagged_before=question.floor.flagged,
        )
        await self._kept(organisation, [row], self._context.store.append(organisation, [row]))

    async def dismissed(self, organisation: int, question: Question) -> bool:
        """Whether a person called exactly what the question's floor says a false positive."""
        outward = await self._outward(organisation)
        action, floor = outward.action(question.action), outward.verdict(question.floor)
        return self._context.evaluator.is_suppressed(organisation, action, floor)

    def _judge_and_append(
        self, principal: Principal, reports: Sequence[Report], outward: Outward, work: _Work
    ) -> Future[Appended]:
        self._judge(principal, reports, outward, work)
        return self._context.store.append(principal.organisation, work.rows)

    def _judge(self, principal: Principal, reports: Sequence[Report], outward: Outward, work: _Work) -> None:
        for report in reports:
            work.firsts.append(len(work.rows))
            verdict, rows = self._rows(principal, report, outward)
            work.verdicts.append(verdict)
            work.rows += rows

    def _rows(self, principal: Principal, report: Report, outward: Outward) -> tuple[Verdict, list[NewVerdict]]:
        now = self._context.clock()
        action = outward.action(report.action)
        said = None if report.verdict is None else outward.verdict(report.verdict)
        if principal.is_observer and said is not None:
            status = self._status(principal.organisation, action, said)
            # What came of a held action, or what a model raised afterwards: of an action that has its row.
            further = action.id.endswith((reasons.ANSWERED, reasons.JUDGED))
            return said, [
                NewVerdict(
                    action=action,
                    verdict=said,
                    origin=Origin.OBSERVER,
                    created_at=now,
                    status=status,
                    further=further,
                    flagged_before=further and reasons.DOUBTED not in said.notes,
                )
            ]
        evaluator = self._context.evaluator
        action = replace(action, id=reasons.row_id(action.id))
        # Judged as it was reported, kept as it may be kept.
        refused = report.verdict is not None and report.verdict.blocked
        judged = outward.verdict(evaluator.observe(principal.organisation, report.action, refused=refused))
        if not principal.vouched(action):
            judged = restated(judged, notes=(*judged.notes, reasons.AN_AGENTS_KEY))
            said = None if said is None else restated(said, notes=(*said.notes, reasons.AN_AGENTS_KEY))
        ours = evaluator.settle(principal.organisation, action, judged)
        found = NewVerdict(action=action, verdict=ours, origin=Origin.SERVER, created_at=now, further=said is not None)
        if said is None:
            return ours, [found]
        status = self._status(principal.organisation, action, said)
        # The row stands under the policy that we know was in force, whatever the client says.
        same = said.policy_version == ours.policy_version
        verdict = said if same else restated(said, policy_version=ours.policy_version)
        claim = NewVerdict(action=action, verdict=verdict, origin=Origin.CLAIM, created_at=now, status=status)
        adds = (ours.flagged or ours.blocked) and (ours.decision, ours.reason) != (said.decision, said.reason)
        return ours, [claim, found] if adds else [claim]

    def _status(self, organisation: int, action: Action, verdict: Verdict) -> Status:
        suppressed = self._context.evaluator.is_suppressed(organisation, action, verdict)
        return Status.FALSE_POSITIVE if suppressed else Status.OPEN

    def _count(self, rows: Sequence[NewVerdict], appended: Appended) -> None:
        metrics = self._context.metrics
        metrics.duplicates += len(appended.duplicates)
        new = [row for i, row in enumerate(rows) if i not in appended.duplicates] if appended.duplicates else rows
        for (decision, origin), count in Counter([(row.verdict.decision, row.origin) for row in new]).items():
            metrics.verdicts[decision.value, origin.value] += count
        metrics.flagged += sum([row.verdict.flagged for row in new])
        metrics.held += sum([reasons.HELD in row.verdict.notes for row in new])

    def _show(self, organisation: int, rows: Sequence[NewVerdict], appended: Appended) -> None:
        if not self._context.live.watched(organisation):
            return
        self._context.live.publish(
            [_row(row, organisation, appended.ids[i]) for i, row in enumerate(rows) if i not in appended.duplicates]
        )


def _row(new: NewVerdict, organisation: int, public: str) -> VerdictRow:
    action, verdict = new.action, new.verdict
    return VerdictRow(
        id=public,
        created_at=new.created_at,
        organisation=organisation,
        agent=action.agent,
        source=action.source,
        rung=action.rung,
        action=encode_action(action),
        decision=verdict.decision,
        reason=verdict.reason,
        evidence=verdict.evidence,
        confidence=verdict.confidence,
        notes=verdict.notes,
        status=new.status,
        severity=verdict.severity,
        origin=new.origin,
        action_id=action.id,
        run_id=action.run_id,
        act_id=action.act_id,
        policy_version=verdict.policy_version,
        score=verdict.score,
    )
