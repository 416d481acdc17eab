"""Runs put together from a trace: each message counts once, however often a model was given the whole conversation again.

What an exporter repeats (the history in front of every call of the model) is told from what is new by the ids of calls, and where
there are none by tool and arguments. Bounded; what could not be used is counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kaizen_security.collectors.traces.messages import Brought, Called, Said, key_of
from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import MAX_NAME

MAX_STEPS = 100_000
"""Steps of one run: what the line format takes."""
MAX_REQUEST = 1 << 20
"""Characters of what the user asked."""


@dataclass(slots=True)
class Assembling:
    """One run that is being put together."""

    id: str
    agent: str
    source: str
    model: str = ""
    asked: dict[str, None] = field(default_factory=dict)
    steps: list[dict[str, Json]] = field(default_factory=list)
    _calls: dict[str, int] = field(default_factory=dict)
    _answered: set[int] = field(default_factory=set)
    _open: dict[int, str] = field(default_factory=dict)

    def conversation(self, said: Iterable[Said], losses: Counter[str]) -> None:
        """What one call of the model was given, and what it said: all of the conversation so far, or a piece of it."""
        # How often each nameless call was seen here: the second of two alike is another one, the history's is not.
        seen: Counter[str] = Counter()
        for one in said:
            if one.role == "user" and one.text:
                self.asked[one.text] = None
            for call in one.calls:
                self.called(call, seen, losses)
            for result in one.results:
                self.brought(result, losses)

    def called(self, call: Called, seen: Counter[str], losses: Counter[str]) -> None:
        """A tool call; one that is known already adds nothing."""
        key = f"id {call.id}"
        if not call.id:
            base = f"{call.tool} {key_of(call.arguments)}"
            seen[base] += 1
            key = f"no {seen[base]} {base}"
        if key in self._calls or len(self.steps) >= MAX_STEPS:
            losses["steps beyond a run's bound"] += key not in self._calls
            return
        place = self._calls[key] = len(self.steps)
        name = call.id or f"c{place}"
        self._calls[f"id {name}"] = place
        self.steps.append({"role": "call", "tool": call.tool, "args": call.arguments, "id": name})
        self._open[place] = call.tool

    def brought(self, result: Brought, losses: Counter[str]) -> None:
        """A result; the first one of a call counts."""
        place = self._calls.get(f"id {result.id}") if result.id else self._oldest(result.tool)
        if place is None:
            losses["results of calls that are not there"] += not result.id or f"id {result.id}" not in self._calls
            return
        if place in self._answered or len(self.steps) >= MAX_STEPS:
            return
        self._answered.add(place)
        self._open.pop(place, None)
        call = self.steps[place]
        error = "failed" if result.failed else None
        self.steps.append(
            {"role": "result", "tool": call["tool"], "content": result.content, "id": call["id"], "error": error}
        )

    def waiting(self, tool: str) -> str:
        """The id of the oldest call of the tool that has no result yet, ``""`` when there is none."""
        place = self._oldest(tool)
        return "" if place is None else str(self.steps[place]["id"])

    def _oldest(self, tool: str) -> int | None:
        return next((place for place, name in self._open.items() if tool in ("", name)), None)

    def document(self) -> dict[str, Json]:
        """The run as a line of ``docs/reference/recorded-runs.md``."""
        meta: dict[str, Json] = {"model": self.model} if self.model else {}
        return {
            "id": self.id[:MAX_NAME],
            "source": self.source,
            "agent": self.agent[:MAX_NAME] or "default",
            "user_task": "\n\n".join(self.asked)[:MAX_REQUEST],
            "steps": [*self.steps],
            "label": "benign",
            "meta": meta,
        }


class Runs:
    """The runs of one conversion, in the order in which they began. ``losses``: what could not be used, by reason."""

    def __init__(self, source: str) -> None:
        self.losses: Counter[str] = Counter()
        self._source = source
        self._runs: dict[tuple[str, str], Assembling] = {}
        self._ids: set[str] = set()

    def run(self, id_: str, agent: str) -> Assembling:
        """The run of that conversation or trace, of that agent."""
        run = self._runs.get((id_, agent))
        if run is None:
            name = f"{id_[:200]}/{agent}" if id_ in self._ids else id_
            self._ids.add(id_)
            run = self._runs[id_, agent] = Assembling(name, agent, self._source)
        return run

    def documents(self) -> Iterator[dict[str, Json]]:
        """Every run that has a call or a request."""
        for run in self._runs.values():
            if not run.steps and not run.asked:
                self.losses["runs without a request and without a call"] += 1
                continue
            self.losses["runs without a request"] += not run.asked
            yield run.document()
