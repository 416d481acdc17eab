"""``/v1/verdicts``: reports come in, rows go out, people say what they think of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import instant
from kaizen_security.contract.verdict import Decision
from kaizen_security.server import triage
from kaizen_security.server.acts import listed
from kaizen_security.server.api import answers, bodies, documents, reported
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import MAX_BATCH, answer, not_found, read_body
from kaizen_security.server.operation import AGENTS, PEOPLE, Answer, Nothing, Number, Operation, Segment, Text
from kaizen_security.server.reports import HEAVY, Reports, read_batch, read_report
from kaizen_security.store.base import Status, VerdictQuery, VerdictRow

AGENT = Text(name="agent", description="an agent's name; may arrive unencoded")
STATUS = Text(name="status", values=tuple(Status))
DECISION = Text(name="decision", values=tuple(Decision))
FLAGGED = Text(name="flagged", values=("true", "false"))
SINCE = Text(name="since", description="an RFC 3339 instant or Unix seconds")
Q = Text(name="q", description="text that reason, agent, tool or target contain")
AFTER = Text(name="after", description="only rows newer than that one")
BEFORE = Text(name="before", description="only rows older than that one")
SOURCE, RUN, ACT, ACTION = (Text(name=name) for name in ("source", "run_id", "act_id", "action_id"))
LIMIT = Number(name="limit", default=100, low=1, high=1000)
OFFSET = Number(name="offset", default=0, low=0, high=10_000_000)
VERDICT_ID = Segment(name="id", missing="there is no such verdict")

REPORT = Operation(
    "POST /v1/verdicts",
    "report",
    "report an action",
    reported.Report,
    (
        Answer(answers.Judged, description="our verdict on an action that was reported before"),
        Answer(answers.Judged, 201, "our verdict on the action, on disk"),
    ),
    tags=(AGENTS,),
    description=(
        "From a key of scope agent the verdict is a claim: it is kept as one, the action is evaluated, and what is found is kept "
        "as a further row. From a key of scope observer it is the verdict. With an action id the report is kept once."
    ),
)
BATCH = Operation(
    "POST /v1/verdicts:batch",
    "reportBatch",
    "report up to 5,000 actions; one that cannot be taken never loses the others",
    reported.Batch,
    (Answer(answers.Taken, description="on disk"),),
    tags=(AGENTS,),
    limit=MAX_BATCH,
)
LIST = Operation(
    "GET /v1/verdicts",
    "verdicts",
    "rows, newest first",
    Nothing,
    (Answer(answers.Rows),),
    tags=(AGENTS, PEOPLE),
    parameters=(
        AGENT, STATUS, DECISION, SOURCE, FLAGGED, Q, SINCE, AFTER, BEFORE, RUN, ACT, ACTION, LIMIT, OFFSET,
    ),
)  # fmt: skip
ACTS = Operation(
    "GET /v1/acts",
    "acts",
    "acts, newest first: what an agent reported of one deed and what proxy and kernel saw of it, as one",
    Nothing,
    (Answer(answers.Acts),),
    tags=(AGENTS, PEOPLE),
    description="The parameters are those of the list of verdicts; an act is there when one of its rows is let through.",
    parameters=(AGENT, STATUS, DECISION, SOURCE, FLAGGED, Q, SINCE, AFTER, BEFORE, RUN, ACT, ACTION, LIMIT, OFFSET),
)
ONE = Operation(
    "GET /v1/verdicts/{id}",
    "verdict",
    "one row",
    Nothing,
    (Answer(answers.Row),),
    tags=(AGENTS, PEOPLE),
    parameters=(VERDICT_ID,),
)
SET_STATUS = Operation(
    "POST /v1/verdicts/{id}/status",
    "setStatus",
    "say where one is with a verdict",
    bodies.Triage,
    (Answer(answers.Row),),
    description=(
        "`false_positive` suppresses that exact signature (vectors/suppression.json) for that agent, here and with its bundle at "
        "its sidecars, clients and proxies, until another status takes it back; what a policy denies, a secret or a canary "
        "cannot be suppressed. Of an MCP tool that is held back because its definition changed, it accepts the definition as it "
        "is now."
    ),
    parameters=(VERDICT_ID,),
)
LEARN = Operation(
    "POST /v1/verdicts/{id}/learn",
    "learn",
    "fold this action into the agent's baseline, here and with its bundle at its sidecars, and into its declaration where it "
    "declares anything",
    Nothing,
    (Answer(answers.Learned),),
    description="422 for what a policy denies (the policy has to be changed), a secret or a canary: nothing would let it through.",
    parameters=(VERDICT_ID,),
)


def routes(context: Context) -> list[Route]:
    """Reporting, listing, triage."""
    return [*_reported(context), *_listed(context), *_triaged(context)]


def _reported(context: Context) -> list[Route]:
    reports = Reports(context)

    async def report(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _only_keys(principal)
        data = await read_body(request)
        heavy = len(data) > HEAVY
        taken = await context.aside(read_report, data, principal) if heavy else read_report(data, principal)
        [kept] = await reports.take(principal, [taken], heavy=heavy)
        return answer({**encode_verdict(kept.verdict), "id": kept.id}, 200 if kept.duplicate else 201)

    async def batch(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _only_keys(principal)
        data = await read_body(request, limit=MAX_BATCH)
        heavy = len(data) > HEAVY
        taken, refused = await context.aside(read_batch, data, principal) if heavy else read_batch(data, principal)
        kept, unfitting = await reports.take_what_fits(principal, taken, heavy=heavy)
        duplicates = sum(entry.duplicate for entry in kept)
        return answer(
            {
                "accepted": len(kept) - duplicates,
                "duplicates": duplicates,
                "rejected": [
                    {"index": one.index, "field": one.field, "message": one.message} for one in [*refused, *unfitting]
                ],
                "ids": [entry.id for entry in kept],
            }
        )

    return [REPORT.route(report), BATCH.route(batch)]


def _listed(context: Context) -> list[Route]:
    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        rows = await context.call(context.store.verdicts, principal.organisation, _query(request, principal))
        return answer({"verdicts": [documents.verdict_row(row) for row in rows]})

    async def acts(request: Request) -> Response:
        principal = await context.auth.principal(request)
        query = _query(request, principal)
        rows, found = await context.call(listed, context.store, principal.organisation, query, context.clock())
        following = rows[-1].id if len(rows) == query.limit else None
        return answer({"acts": [documents.act(one) for one in found], "next": following})

    async def one(request: Request) -> Response:
        principal = await context.auth.principal(request)
        return answer(documents.verdict_row(await _row(context, principal, request)))

    return [LIST.route(listing), ACTS.route(acts), ONE.route(one)]


def _triaged(context: Context) -> list[Route]:
    async def status(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        said = Status((await SET_STATUS.read(request)).status)
        row = await triage.set_status(context, principal.organisation, VERDICT_ID.of(request), said)
        if row is None:
            raise not_found("there is no such verdict")
        return answer(documents.verdict_row(row))

    async def learn(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        row = await _row(context, principal, request)
        learned = await triage.learn(context, principal.organisation, row)
        return answer({"verdict": documents.verdict_row(row), "agent": documents.agent(learned)})

    return [SET_STATUS.route(status), LEARN.route(learn)]


def _only_keys(principal: Principal) -> None:
    # A person reports nothing: what is in the list was seen by a client or an observer.
    principal.require_key()


async def _row(context: Context, principal: Principal, request: Request) -> VerdictRow:
    row = await context.call(context.store.verdict, principal.organisation, VERDICT_ID.of(request))
    if row is None or principal.bound_agent not in ("", row.agent):
        raise not_found("there is no such verdict")
    return row


def _query(request: Request, principal: Principal) -> VerdictQuery:
    status, decision = STATUS.of(request), DECISION.of(request)
    return VerdictQuery(
        agent=principal.agent(AGENT.of(request)),
        status=Status(status) if status else None,
        decision=Decision(decision) if decision else None,
        source=SOURCE.of(request),
        flagged={"": None, "true": True, "false": False}[FLAGGED.of(request)],
        q=Q.of(request),
        since=_since(SINCE.of(request)),
        after=AFTER.of(request),
        before=BEFORE.of(request),
        run_id=RUN.of(request),
        act_id=ACT.of(request),
        action_id=ACTION.of(request),
        limit=LIMIT.of(request),
        offset=OFFSET.of(request),
    )


def _since(said: str) -> float:
    seconds = said.isascii() and said.replace(".", "", 1).isdigit()
    try:
        return float(said) if seconds else instant({"since": said}, "since")
    except InvalidInput as err:
        raise InvalidInput("since", "must be an RFC 3339 instant with its offset, or Unix seconds") from err
