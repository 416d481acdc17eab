"""The reasoning model's page: who is asked what no rule settles, a test of it, what it has cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.reasoners.choice import Choice, Provider
from kaizen_security.reasoners.trial import Trial
from kaizen_security.runtime import usage
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, as_api_error
from kaizen_security.server.reasoning import document
from kaizen_security.store.base import Role, User

PROVIDER_WORD: Final = {
    Provider.OFF: "Nobody",
    Provider.LOCAL: "Local judge: rules, no model",
    Provider.OPENAI: "OpenAI or a compatible server",
    Provider.AZURE: "Azure OpenAI",
    Provider.ANTHROPIC: "Anthropic",
    Provider.BEDROCK: "Amazon Bedrock",
    Provider.GOOGLE: "Google Gemini or Vertex AI",
}
_DONE: Final = {
    "chosen": "The model is chosen. What no rule settles is put to it from now on.",
    "off": "Nobody is asked. The key was forgotten.",
}
_NUMBERS: Final = (
    ("calls_per_day", "Calls a day", "Counted before each goes out."),
    ("tokens_per_day", "Tokens a day", "Question and answer together."),
    ("money_per_day", "Money a day", "In the currency of the prices; without prices it is not counted."),
    ("input_price", "Price of questions", "Of a million tokens."),
    ("output_price", "Price of answers", "Of a million tokens."),
)
_COUNTED: Final = (
    ("Questions", ("questions",)),
    ("Answered from memory", ("cached",)),
    ("Calls", ("calls",)),
    ("Suspicious or malicious", ("suspicious", "malicious")),
    ("Benign", ("benign",)),
    ("Not sure enough", ("unsure",)),
    ("No answer", usage.FAILURES),
    ("Not asked", usage.SKIPPED),
    ("Tokens", (usage.INPUT, usage.OUTPUT)),
    ("Money", ("money",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLine:
    """One row of the usage: what is counted, today and in seven days."""

    name: str
    today: str
    week: str


def count_lines(found: dict[str, Json]) -> tuple[CountLine, ...]:
    """``GET /v1/judge/usage`` as a table."""
    return tuple(
        CountLine(name=name, today=_sum(found["today"], parts), week=_sum(found["this_week"], parts))
        for name, parts in _COUNTED
    )


def _sum(counts: Json, parts: tuple[str, ...]) -> str:
    assert isinstance(counts, dict)
    total = sum(n for part in parts if isinstance(n := counts.get(part, 0), int | float))
    return f"{total:,.2f}" if isinstance(total, float) else f"{total:,}"


def stated(said: dict[str, str]) -> dict[str, Json]:
    """The document of ``POST /v1/llm-config`` that a form says; an empty key stays what it was. Raises InvalidInput."""
    budget: dict[str, Json] = {name: _number(said, name, f"budget.{name}") for name, _, _ in _NUMBERS}
    named: dict[str, Json] = {
        name: said.get(name, "").strip() for name in ("provider", "model", "base_url", "region", "api", "api_version")
    }
    return {
        **named,
        "api_key": said.get("api_key") or None,
        "entra": said.get("entra") == "yes",
        "budget": budget,
        "confidence_threshold": _number(said, "confidence_threshold"),
        "deadline_seconds": _number(said, "deadline_seconds"),
    }


def _number(said: dict[str, str], name: str, field: str = "") -> Json:
    text = said.get(name, "").strip().replace(",", "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError as err:
        raise InvalidInput(field or name, "must be a number") from err


def routes(desk: Desk) -> list[Route]:
    """``/model`` and what is done there."""
    pages = _ModelPage(desk.context)
    return [
        Route("/model", desk.signed_in(pages.show), methods=["GET"]),
        Route("/model", desk.signed_in(pages.choose), methods=["POST"]),
        Route("/model/test", desk.signed_in(pages.test), methods=["POST"]),
    ]


class _ModelPage:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def show(self, request: Request, user: User) -> Response:
        """The choice without its key, and the usage."""
        return await self._page(request, user)

    async def choose(self, request: Request, user: User) -> Response:
        """Choose a model, or nobody."""
        said = await form(request)
        try:
            chosen = await self._context.reasoning.change(user.organisation, stated(said))
        except KaizenError as err:
            return await self._page(request, user, typed=said, problem=err)
        done = "off" if chosen.provider is Provider.OFF else "chosen"
        return RedirectResponse(f"/model?done={done}", 303, HEADERS)

    async def test(self, request: Request, user: User) -> Response:
        """Ask a made-up question now, and say what came of it."""
        try:
            tried = await self._context.reasoning.test(user.organisation)
        except KaizenError as err:
            return await self._page(request, user, problem=err)
        return await self._page(request, user, tried=tried)

    async def _page(
        self,
        request: Request,
        user: User,
        *,
        typed: dict[str, str] | None = None,
        problem: KaizenError | None = None,
        tried: Trial | None = None,
    ) -> Response:
        reasoning, organisation = self._context.reasoning, user.organisation
        choice, state = reasoning.choice(organisation), reasoning.state(organisation)
        found = await reasoning.usage(organisation)
        if wants_json(request):
            if problem is not None:
                raise problem
            test: dict[str, Json] = {} if tried is None else {"test": tried.to_json()}
            return answer({"model": document(choice, state), "usage": found, **test}, headers=HEADERS)
        shown = page(
            "model.html",
            here="model",
            who=user.name,
            may_change=user.role is Role.ADMIN,
            asks=PROVIDER_WORD[choice.provider],
            choice=choice,
            asked=choice.provider is not Provider.OFF,
            has_key=bool(choice.key),
            state=_state(state),
            counts=count_lines(found),
            exhausted=found["exhausted"] or "",
            providers=[(provider.value, word) for provider, word in PROVIDER_WORD.items()],
            numbers=_NUMBERS,
            typed=_typed(choice, typed),
            editing=typed is not None,
            problem=str(problem or "") or _failed(tried),
            done=_answered(tried) or _DONE.get(request.query_params.get("done", ""), ""),
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown


def _state(state: dict[str, Json]) -> str:
    if state["problem"]:
        return f"{'Resting after failures' if state['resting'] else 'Last question failed'}: {state['problem']}"
    return "Resting after failures" if state["resting"] else ""


def _answered(tried: Trial | None) -> str:
    if tried is None or tried.attempt.answer is None:
        return ""
    said = tried.attempt.answer
    return f"It answered in {tried.seconds:.2f} s: {said.word.value}, confidence {said.confidence:g}: {said.why}"


def _failed(tried: Trial | None) -> str:
    if tried is None or tried.attempt.answer is not None:
        return ""
    return f"The test had no answer ({tried.attempt.outcome.value}): {tried.attempt.problem}"


def _typed(choice: Choice, typed: dict[str, str] | None) -> dict[str, str]:
    """What the form shows: what was typed when something was wrong with it, else what is chosen. Never a key."""
    budget = choice.budget
    known = {
        "provider": choice.provider.value,
        "model": choice.model,
        "base_url": choice.base_url,
        "region": choice.region,
        "api": "responses" if choice.responses else "chat",
        "api_version": choice.version,
        "entra": "yes" if choice.entra else "",
        "calls_per_day": str(budget.calls),
        "tokens_per_day": str(budget.tokens),
        "money_per_day": f"{budget.money:g}",
        "input_price": f"{budget.input_price:g}",
        "output_price": f"{budget.output_price:g}",
        "confidence_threshold": f"{choice.threshold:g}",
        "deadline_seconds": f"{choice.deadline:g}",
    }
    return known if typed is None else {name: typed.get(name, "") for name in known}
