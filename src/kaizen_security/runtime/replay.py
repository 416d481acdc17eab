"""Replay: recorded actions, reports, steps and runs once more through an Inspector, at the times that they state.

The same documents in the same order give the same verdicts as live, because the Inspector takes time and ids from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import decode_action, decode_report, decode_step
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, array, obj, rfc3339, text
from kaizen_security.contract.step import Result, Step
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.baseline import Baseline
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.inspector import Inspector

EPOCH = 1_000_000_000.0
"""When runs begin that state no time, in Unix seconds; their steps are a second apart."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An action and the verdict on it. ``key`` is the answer key's word (``True``: it serves the attacker), None without one."""

    action: Action
    verdict: Verdict
    key: bool | None = None


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """The frame of a recorded run: which agent, and what the answer key says of it."""

    id: str
    agent: str
    outcome: str
    judged: tuple[Judged, ...]


class Replayer:
    """Takes documents in order. ``bundle`` is put in force for every agent that appears (under that agent's name).

    ``only``   this agent's documents; one that names no agent counts as its
    ``learn``  false: baselines stay as they are: empty, so that novelty abstains, or ``baseline``
    ``baseline``  what every agent starts from
    """

    def __init__(self, bundle: Bundle, *, only: str = "", learn: bool = True, baseline: Baseline | None = None) -> None:
        self._bundle = bundle
        self._baseline = None if baseline is None else baseline.to_json()
        self._only = only
        self._at = 0.0
        self._agent = ""
        # Of each agent: the time of its latest step, and how many ids it was given. So what others do moves nothing of its own.
        self._times: dict[str, float] = {}
        self._ids: dict[str, int] = {}
        self.inspector = Inspector(
            Agents(most=4096, learning=learn), clock=lambda: self._at, ids=self._id, remembered=65_536
        )

    def _id(self) -> str:
        self._ids[self._agent] = self._ids.get(self._agent, 0) + 1
        return f"replay-{self._ids[self._agent]}"

    def take(self, document: Json) -> Iterator[Judged | RecordedRun]:
        """What one document gives: nothing for a step that is no action, a run for a recorded run. Raises InvalidInput.

        With ``verdict`` it is a report after the fact; with ``step`` a step (an action there is a report too); with ``user_task``
        and ``steps`` a recorded run; else an action that is about to run, alone or under ``action``.
        """
        doc = obj(document, "line")
        if "user_task" in doc and "steps" in doc:
            run = self._run(doc)
            if run is not None:
                yield run
            return
        judged = self._one(doc)
        if judged is not None:
            yield judged

    def _one(self, doc: dict[str, Json]) -> Judged | None:
        said = text(doc, "agent", limit=MAX_NAME) or self._only
        if "verdict" in doc:
            report = decode_report(doc, agent=said)
            refused = report.verdict is not None and report.verdict.blocked
            return self._judge(report.action, reported=not refused, refused=refused)
        if "step" in doc:
            step = decode_step(doc, agent=said, field="line")
            if isinstance(step, Action):
                return self._judge(step, reported=True)
            self._note(step)
            return None
        return self._judge(decode_action(doc.get("action", doc), agent=said, field="action"), reported=False)

    def _judge(self, action: Action, *, reported: bool, refused: bool = False) -> Judged | None:
        if self._only and action.agent != self._only:
            return None
        self._begin(action.agent, action.at)
        action = replace(action, organisation="")
        verdict = self.inspector.observe(action) if reported else self.inspector.inspect(action)
        if refused:
            self.inspector.note(
                Result(run_id=action.run_id, action_id=verdict.action_id, failed=True, agent=action.agent, at=action.at)
            )
        return Judged(action, verdict)

    def _note(self, step: Step) -> None:
        if self._only and step.agent != self._only:
            return
        self._begin(step.agent, step.at)
        self.inspector.note(step)

    def _begin(self, agent: str, at: float) -> None:
        new = agent not in self._times
        self._agent = agent
        self._at = self._times[agent] = max(self._times.get(agent, 0.0), at)
        if new:
            if self._baseline is not None:
                lane = self.inspector.agents.lane(AgentKey("", agent))
                lane.observer.baseline = Baseline.from_json(self._baseline)
            self.inspector.configure(agent, replace(self._bundle, agent=agent))

    # --- recorded runs ----------------------------------------------------------------------------------------------------

    def _run(self, doc: dict[str, Json]) -> RecordedRun | None:
        agent = text(doc, "agent", limit=MAX_NAME) or "default"
        if self._only and agent != self._only:
            return None
        run_id = text(doc, "id", limit=MAX_NAME)
        judged = []
        for step_doc, key in _steps(doc, run_id):
            # Through the codec, as it would come over the wire.
            at = rfc3339(max(self._times.get(agent, 0.0), EPOCH) + 1.0)
            step = decode_step({**step_doc, "at": at}, agent=agent, field="steps")
            self._begin(agent, step.at)
            if isinstance(step, Action):
                judged.append(Judged(step, self.inspector.inspect(step), key))
            else:
                self.inspector.note(step)
        return RecordedRun(run_id, agent, _outcome(doc), tuple(judged))

    def profile(self, agent: str) -> dict[str, Json]:
        """What the agent's baseline has become."""
        self.inspector.agents.lane(AgentKey("", agent))
        return self.inspector.profile(agent)


def _steps(doc: dict[str, Json], run_id: str) -> Iterator[tuple[dict[str, Json], bool | None]]:
    """The run as documents of the contract: its request, each call as an action, each result, its end."""
    yield {"step": "request", "run_id": run_id, "text": doc.get("user_task")}, None
    open_calls: list[tuple[str, Json, Json]] = []
    for i, item in enumerate(array(doc, "steps", limit=100_000)):
        step = obj(item, f"steps[{i}]")
        if step.get("role") == "call":
            action_id = f"{run_id[:200]}#{i}"
            open_calls.append((action_id, step.get("id"), step.get("tool")))
            metadata: dict[str, Json] = {"source": "trace", "arguments": step.get("args")}
            attack = step.get("attack")
            yield (
                {"step": "action", "tool": step.get("tool"), "id": action_id, "run_id": run_id, "metadata": metadata},
                attack if isinstance(attack, bool) else None,
            )
        elif step.get("role") == "result":
            answered = _answered(open_calls, step)
            failed = bool(step.get("error"))
            content = step.get("content")
            yield (
                {"step": "result", "run_id": run_id, "action_id": answered, "content": content, "failed": failed},
                None,
            )
        else:
            raise InvalidInput(f"steps[{i}].role", "must be call or result")
    yield {"step": "end", "run_id": run_id}, None


def _answered(open_calls: list[tuple[str, Json, Json]], result: dict[str, Json]) -> str:
    """The id of the call that a result answers: by its id, else the oldest open call of that tool."""
    for column, name in ((1, "id"), (2, "tool")):
        for call in open_calls:
            if call[column] is not None and call[column] == result.get(name):
                open_calls.remove(call)
                return call[0]
    return ""


def _outcome(doc: dict[str, Json]) -> str:
    """What the answer key calls the run. Read only to count; no detection sees it."""
    meta = doc.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    if meta.get("label_void"):
        return "void"
    if doc.get("label") == "attack":
        if meta.get("success_clean"):
            return "attack succeeded"
        return "attack failed" if meta.get("exposure_step") is not None else "attack never read"
    return "authorised goal" if meta.get("kind") == "authorised_injection_goal" else "benign"
