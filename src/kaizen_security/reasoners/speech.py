"""A model behind HTTP: one exchange for a question, sent so that it cannot be pointed inwards and never follows a redirect.

What a provider's shapes are is its own file's to say, as a pure ``Speech``; this file does the waiting for all of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Unreachable
from kaizen_security.contract.fields import parse
from kaizen_security.net import outbound
from kaizen_security.net.outbound import Exchange
from kaizen_security.observer.question import Question
from kaizen_security.reasoners.base import Attempt, Outcome, Prompt, Reply, read_answer
from kaizen_security.reasoners.case import prompt

RETRY = 0.25
"""Seconds before the one further try after a busy answer, unless the provider asks for more; plus as much again by chance."""
LEAST = 0.5
"""Seconds that must be left of the deadline for a further try."""
BUSY = frozenset({408, 409, 429, 503, 529})
OF_THIS = frozenset({400, 413, 422})
"""Statuses that may be of this question alone: filters of content answer 400."""
MAX_TOKENS = 10_000_000
"""Tokens of one call; a provider that claims more is not believed."""


class Speech(Protocol):
    """A provider's shapes. Pure. ``name`` is the provider's."""

    @property
    def name(self) -> str: ...

    def exchange(self, said: Prompt) -> Exchange:
        """The request that asks."""
        ...

    def reply(self, document: Json) -> Reply:
        """What a 2xx answer says. Raises InvalidInput when it has not the provider's shape."""
        ...


class Spoken:
    """A ``Judge`` that asks over HTTP.

    ``key``        keys the hashes of the case (``contract.boundary.boundary_key``)
    ``permitted``  hosts that may be internal, as of ``net.outbound``
    ``pause``      waits so many seconds; ``chance`` gives a number from 0 to 1
    """

    local = False

    def __init__(
        self,
        speech: Speech,
        key: bytes,
        *,
        permitted: Collection[str] = (),
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.speech = speech
        self.name = speech.name
        self._key = key
        self._permitted = frozenset(permitted)
        self._pause = pause
        self._chance = chance

    def attempt(self, question: Question, deadline: float) -> Attempt:
        """Ask, and once more after a busy answer if there is time. Blocks at most ``deadline`` seconds."""
        ends = time.monotonic() + deadline
        exchange = self.speech.exchange(prompt(question, self._key))
        found, wait = self._once(exchange, deadline)
        if found.outcome is Outcome.BUSY:
            wait = max(wait, RETRY * (1 + self._chance()))
            left = ends - time.monotonic()
            if left - wait >= LEAST:
                self._pause(wait)
                found, _ = self._once(exchange, ends - time.monotonic())
        return found

    def _once(self, exchange: Exchange, deadline: float) -> tuple[Attempt, float]:
        ends = time.monotonic() + deadline
        try:
            answer = outbound.send(exchange, permitted=self._permitted, deadline=deadline)
        except Misconfigured as err:
            return Attempt(outcome=Outcome.REFUSED, problem=str(err)), 0.0
        except Unreachable as err:
            late = time.monotonic() >= ends
            return Attempt(outcome=Outcome.LATE if late else Outcome.FAILED, problem=str(err)), 0.0
        if not 200 <= answer.status < 300:
            return refusal(answer.status), answer.retry_after
        return heard(lambda: self.speech.reply(parse(answer.body, limit=outbound.MAX_ANSWER))), 0.0


def heard(reply: Callable[[], Reply]) -> Attempt:
    """What a provider's answer comes to. Tokens count also when the answer is none: they were paid for."""
    try:
        said = reply()
    except InvalidInput as err:
        return Attempt(outcome=Outcome.SHAPELESS, problem=f"the provider's answer cannot be used: {err}")
    spent = Attempt(outcome=Outcome.SHAPELESS, input_tokens=said.input_tokens, output_tokens=said.output_tokens)
    try:
        return replace(spent, outcome=Outcome.ANSWERED, answer=read_answer(said.text))
    except InvalidInput as err:
        return replace(spent, problem=f"the model's answer {err.problem}")


def refusal(status: int) -> Attempt:
    """What a status that is no success comes to."""
    # What the provider says beside its status is not repeated: some repeat the key that they were given.
    if status in BUSY:
        return Attempt(outcome=Outcome.BUSY, problem=f"the provider is busy (status {status})")
    if 300 <= status < 400:
        said = (
            f"the provider answered {status}, a redirect, which is never followed: state the address where it leads to"
        )
        return Attempt(outcome=Outcome.REFUSED, problem=said)
    if status in (401, 403):
        return Attempt(outcome=Outcome.REFUSED, problem=f"the provider does not take the key (status {status})")
    if not 400 <= status < 500:
        return Attempt(outcome=Outcome.FAILED, problem=f"the provider failed (status {status})")
    said = f"the provider refused the request (status {status}): look at the model's name and the base URL"
    return Attempt(outcome=Outcome.REFUSED, problem=said, only_this=status in OF_THIS)


def body(document: dict[str, Json]) -> bytes:
    """A request's body."""
    return json.dumps(document, separators=(",", ":")).encode()


def at(document: Json, *path: str | int) -> Json:
    """What stands under ``path``. Raises InvalidInput when there is nothing such."""
    found = document
    for step in path:
        match found, step:
            case dict(), str() if step in found:
                found = found[step]
            case list(), int() if len(found) > step:
                found = found[step]
            case _:
                raise InvalidInput(".".join(map(str, path)), "is missing")
    return found


def words(found: Json, field: str) -> str:
    """Text. Raises InvalidInput."""
    if not isinstance(found, str):
        raise InvalidInput(field, "is no text")
    return found


def count(document: Json, *path: str | int) -> int:
    """A number of tokens; 0 when it is not stated. A peer's word, so bounded."""
    try:
        found = at(document, *path)
    except InvalidInput:
        return 0
    return min(found, MAX_TOKENS) if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def texts_of(parts: Json, field: str, kind: str | None) -> str:
    """The texts of a list of content parts of one ``type`` (None: of any part that has a ``text``), joined. Raises InvalidInput."""
    if not isinstance(parts, list):
        raise InvalidInput(field, "is no list")
    found = [
        words(part.get("text"), field)
        for part in parts
        if isinstance(part, dict) and (part.get("type") == kind if kind else "text" in part)
    ]
    if not found:
        raise InvalidInput(field, "holds no text")
    return "".join(found)
