"""The page of held actions: what waits for somebody, live, answered with one click; and who answered what lately."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from kaizen_security.contract.codec import encode_action
from kaizen_security.contract.fields import plain
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState, decode_answer, encode_hold
from kaizen_security.server import holding
from kaizen_security.server.console.desk import Desk, form, is_part
from kaizen_security.server.console.evidence import Fact, FindingView, action_facts, finding_view
from kaizen_security.server.console.lines import agent_href
from kaizen_security.server.console.live import BEAT, CHECK, LONGEST, Streams, TooManyStreams, event
from kaizen_security.server.console.render import HEADERS, fragment, page, wants_json
from kaizen_security.server.console.words import Moment, moment
from kaizen_security.server.context import Context
from kaizen_security.server.http import ApiError, answer, too_many
from kaizen_security.store.base import Role, User

SHOWN: Final = 50
"""Held actions on the page; the others come up as these are answered."""
LATELY: Final = 30
"""Settled ones below them."""

ANSWERS: Final = (
    (HoldAnswer.ALLOW_ONCE, "Allow once", "This one call runs; the same call is asked about again"),
    (HoldAnswer.ALLOW_RUN, "Allow for this run", "Each such call of this run goes through until the run ends"),
    (HoldAnswer.LEARN, "Learn", "This is normal for the agent: it goes through, and is not asked about again"),
    (HoldAnswer.BLOCK, "Block", "It does not run; the same call is blocked at once for the next ten minutes"),
)
ANSWER_WORD: Final = {
    HoldAnswer.ALLOW_ONCE: "Allowed once",
    HoldAnswer.ALLOW_RUN: "Allowed for its run",
    HoldAnswer.LEARN: "Learned",
    HoldAnswer.BLOCK: "Blocked",
    None: "Nobody answered: blocked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """One held action. ``left`` is how long it still waits, in words; ``answers`` what may be said to it: value, word, meaning."""

    id: str
    agent: str
    agent_href: str
    deed: str
    target: str
    reason: str
    calls: int
    since: Moment
    until: Moment
    left: str
    findings: tuple[FindingView, ...]
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]
    answers: tuple[tuple[str, str, str], ...]
    said: str
    by: str
    at: Moment | None


def hold_view(hold: Hold, now: float) -> HoldView:
    """``hold`` as seen at ``now`` (Unix seconds)."""
    action = hold.action
    run = bool(action.run_id)
    return HoldView(
        id=hold.id,
        agent=hold.agent,
        agent_href=agent_href(hold.agent),
        deed=action.tool or action.kind,
        target=action.target,
        reason=hold.verdict.reason,
        calls=hold.calls,
        since=moment(hold.created_at, now),
        until=moment(hold.expires_at, now),
        left=left_word(hold.expires_at - now),
        findings=tuple(finding_view(finding) for finding in hold.verdict.evidence),
        facts=action_facts(encode_action(action)),
        notes=hold.notes,
        answers=tuple(
            (one.value, word, means) for one, word, means in ANSWERS if run or one is not HoldAnswer.ALLOW_RUN
        ),
        said=ANSWER_WORD[hold.answer],
        by=hold.answered_by,
        at=moment(hold.answered_at, now) if hold.answered_at else None,
    )


def left_word(seconds: float) -> str:
    """How long something still takes, in words; whole minutes from two on."""
    if seconds <= 0:
        return "now"
    if seconds >= 120:
        return f"in {int(seconds // 60)} minutes"
    return f"in {int(seconds)} second{'' if int(seconds) == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    waiting: Sequence[Hold]
    lately: Sequence[Hold]
    more: int


def routes(desk: Desk) -> list[Route]:
    """``/holds``, ``/holds/live`` and the answer to one."""
    pages = _Holds(desk.context)
    return [
        Route("/holds", desk.signed_in(pages.show), methods=["GET"]),
        Route("/holds/live", desk.signed_in(pages.live), methods=["GET"]),
        Route("/holds/{id}", desk.signed_in(pages.say), methods=["POST"]),
    ]


class _Holds:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._streams = Streams()

    async def _found(self, organisation: int) -> _Found:
        context = self._context
        now = context.clock()

        def look() -> _Found:
            held = context.store.holds
            waiting = held.of(organisation, now=now, state=HoldState.WAITING, limit=SHOWN + 1)
            settled = [hold for hold in held.of(organisation, now=now, limit=SHOWN + LATELY) if not hold.waiting]
            settled.sort(key=lambda hold: -(hold.answered_at or hold.expires_at))
            return _Found(waiting=waiting[:SHOWN], lately=settled[:LATELY], more=max(0, len(waiting) - SHOWN))

        return await context.call(look)

    def _values(self, found: _Found, user: User, problem: str = "") -> dict[str, object]:
        now = self._context.clock()
        return {
            "waiting": [hold_view(hold, now) for hold in found.waiting],
            "lately": [hold_view(hold, now) for hold in found.lately],
            "more": found.more,
            "may_change": user.role is Role.ADMIN,
            "problem": problem,
        }

    async def show(self, request: Request, user: User) -> Response:
        """What waits, the newest first, and below it what was answered."""
        found = await self._found(user.organisation)
        if wants_json(request):
            waiting = [encode_hold(hold) for hold in found.waiting]
            settled = [encode_hold(hold) for hold in found.lately]
            return answer({"waiting": waiting, "settled": settled}, headers=HEADERS)
        return page("holds.html", here="holds", who=user.name, **self._values(found, user))

    async def say(self, request: Request, user: User) -> Response:
        """A person answers; what comes back is the list as it is then."""
        said = decode_answer((await form(request)).get("answer", ""))
        problem, status = "", 200
        try:
            await holding.answered(self._context, user, plain(request.path_params["id"], "id", limit=64), said)
        except ApiError as err:
            if not is_part(request):
                raise
            # Somebody was quicker, or its time was over: said above the list as it is now.
            problem, status = err.message, err.status
        if not is_part(request):
            return RedirectResponse("/holds", 303, HEADERS)
        shown = page("holds-list.html", **self._values(await self._found(user.organisation), user, problem))
        shown.status_code = status
        return shown

    async def live(self, request: Request, user: User) -> Response:
        """Server-sent events: the list, whenever something of it changed."""
        try:
            self._streams.permit(user)
        except TooManyStreams as err:
            raise too_many(str(err), 30.0) from err

        async def events() -> AsyncIterator[str]:
            with self._streams.entered(user):
                async for text in self._follow(request, user):
                    yield text

        return StreamingResponse(
            events(), media_type="text/event-stream", headers=HEADERS | {"X-Accel-Buffering": "no"}
        )

    async def _follow(self, request: Request, user: User) -> AsyncIterator[str]:
        context = self._context
        yield "retry: 2000\n\n"
        started = beaten = context.clock()
        shown = ""
        while (now := context.clock()) - started < LONGEST and not context.holds.closed:
            turn = context.holds.turn(user.organisation)
            if await context.auth.user(request) is None:
                yield event("signed-out", "")
                return
            listed = fragment("holds-list.html", **self._values(await self._found(user.organisation), user))
            if listed != shown:
                shown = listed
                yield event("holds", listed)
            elif now - beaten >= BEAT:
                beaten = now
                yield ": still here\n\n"
            # Every few seconds in any case: the time that is left is part of what is shown, and sessions end.
            await context.holds.wait(user.organisation, turn, CHECK)
