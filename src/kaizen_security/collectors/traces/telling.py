"""The steps of an account, whatever program kept it: what ``account`` and its neighbours put together. Pure, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kaizen_security.collectors.traces.messages import arguments
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_DOCUMENT, MAX_NAME, check_json, instant
from kaizen_security.contract.step import End, Message, Request, Result, Step

MAX_STEPS = 10_000
"""Steps of one document."""


class Telling:
    """Collects steps of one agent. ``source`` names the feed. Raises InvalidInput beyond the bounds."""

    def __init__(self, agent: str, source: str) -> None:
        self.agent = agent
        self.source = source
        self.steps: list[Step] = []

    def _add(self, step: Step) -> None:
        if len(self.steps) >= MAX_STEPS:
            raise InvalidInput("trace", f"holds more than {MAX_STEPS} steps")
        self.steps.append(step)

    def asked(self, run: str, text: str, at: float) -> None:
        """What the user asked."""
        self._add(Request(run_id=name(run), text=text[:MAX_DOCUMENT], agent=self.agent, at=at))

    def said(self, run: str, text: str, at: float) -> None:
        """Words of the agent, its rationale too."""
        self._add(Message(run_id=name(run), text=text[:MAX_DOCUMENT], agent=self.agent, at=at))

    def called(self, run: str, id_: str, tool: str, given: Json, at: float, *, publisher: str = "") -> None:
        """A tool call."""
        held = arguments(given)
        check_json(held, "arguments")
        self._add(
            Action(
                tool=name(tool),
                publisher=name(publisher),
                metadata={"source": self.source, "arguments": held},
                id=name(id_),
                run_id=name(run),
                agent=self.agent,
                at=at,
            )
        )

    def brought(self, run: str, id_: str, content: Json, at: float, *, failed: bool = False) -> None:
        """What it brought back."""
        check_json(content, "content")
        self._add(
            Result(run_id=name(run), action_id=name(id_), content=content, failed=failed, agent=self.agent, at=at)
        )

    def ended(self, run: str, at: float, *, completed: bool = True) -> None:
        """The run is over."""
        self._add(End(run_id=name(run), completed=completed, agent=self.agent, at=at))


def name(value: Json) -> str:
    """A name or an id, cut to what is taken; ``""`` for what is none."""
    return value[:MAX_NAME].replace("\0", "") if isinstance(value, str) else ""


def text(value: Json) -> str:
    """A text, ``""`` for what is none."""
    return value if isinstance(value, str) else ""


def held(document: Mapping[str, Json], key: str) -> dict[str, Json]:
    """The object under ``key``, empty when there is none."""
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def moment(value: Json) -> float:
    """A time as Unix seconds, 0.0 when it is none: RFC 3339, ISO 8601 without a zone (UTC), or seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 < value < 1e11 else 0.0
    if not isinstance(value, str) or not value:
        return 0.0
    try:
        return instant({"at": value}, "at")
    except InvalidInput:
        pass
    try:
        return datetime.fromisoformat(value[:32] + "+00:00").timestamp()
    except ValueError:
        return 0.0
