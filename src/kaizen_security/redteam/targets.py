"""Targets: what the corpus is run against. Nothing here has an effect outside Kaizen: actions are told, never done.

``Embedded``      the Inspector in this process, through the codec and a sealed bundle, as an action goes through the line
``Sidecar``       a running sidecar: asked before each action, reported the steps of each run
``ControlPlane``  a running control plane, as deployed clients use it: actions are reported, verdicts read back
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key, unseal
from kaizen_security.contract.codec import (
    Report,
    decode_action,
    decode_step,
    decode_verdict,
    encode_action,
    encode_declaration,
    encode_report,
    encode_step,
    encode_verdict,
)
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, Refused, Unreachable
from kaizen_security.contract.fields import array, obj, parse, text
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import Result, Step
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.runtime.clock import Clock
from kaizen_security.runtime.inspector import Inspector

_KEY = bytes(32)
"""Signs the embedded run's bundles; it proves the path, and protects nothing."""


UNDONE = "red-team run: told by kaizen redteam, never done"
"""What stands beside an action on somebody's own agent, where a client's reason stands."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a reader of ``GET /v1/verdicts`` gets to see of one verdict, as far as the deployed catch rule looks at it."""

    reason: str
    confidence: float | None


class Target(Protocol):
    """Where a scenario is played.

    ``name``      for people
    ``policies``  whether the scenario's own policies can be put in force there
    ``steps``     whether requests, results and messages are heard there, so that detections that need them can work
    """

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def policies(self) -> bool:
        """Whether ``begin`` puts policies in force."""
        ...

    @property
    def steps(self) -> bool:
        """Whether ``note`` is heard."""
        ...

    def clock(self) -> float:
        """Unix seconds as the target has them."""
        ...

    def begin(self, agents: Sequence[str], declaration: Declaration, policies: Sequence[Policy]) -> None:
        """Make these agents known. They are new: what was learned of others does not count for them."""
        ...

    def judge(self, action: Action) -> Verdict:
        """The verdict on an action that is about to be done (or, where a target only takes reports, was)."""
        ...

    def note(self, step: Step) -> None:
        """A step that is no action."""
        ...

    def report(self, action: Action) -> None:
        """The action was done: what a deployed client says afterwards."""
        ...

    def rows(self, agent: str, least: int) -> tuple[Row, ...]:
        """What a reader sees of the agent's verdicts; waits until there are ``least`` of them, or long enough."""
        ...


class Embedded:
    """The Inspector in this process. Every value takes the way of the wire: encoded, parsed, decoded."""

    name = "embedded"
    policies = True
    steps = True

    NOW = 1_800_000_000.0
    """Unix seconds, fixed: the same corpus gives the same verdicts."""

    def __init__(self, *, mode: Mode = Mode.OBSERVE) -> None:
        self._mode = mode
        self._inspector = Inspector(clock=self.clock)
        self._rows: dict[str, list[Row]] = {}

    def clock(self) -> float:
        """Always the same."""
        return self.NOW

    def begin(self, agents: Sequence[str], declaration: Declaration, policies: Sequence[Policy]) -> None:
        """A fresh Inspector, and a sealed bundle for each agent."""
        self._inspector = Inspector(clock=self.clock)
        self._rows = {}
        for agent in agents:
            bundle = Bundle(
                agent=agent,
                version=1,
                policies=tuple(policies),
                declaration=declaration,
                mode=self._mode,
                issued_at=self.NOW,
                expires_at=self.NOW + 3600,
            )
            self._inspector.configure(agent, unseal(seal(bundle, _KEY), _KEY, agent=agent, now=self.NOW))

    def judge(self, action: Action) -> Verdict:
        """Asked before the action runs."""
        verdict = self._inspector.inspect(_sent(action))
        return decode_verdict(parse(json.dumps(encode_verdict(verdict)).encode()))

    def note(self, step: Step) -> None:
        """Told to the same Inspector."""
        self._inspector.note(decode_step(parse(json.dumps(encode_step(step)).encode())))

    def report(self, action: Action) -> None:
        """Observed after the fact."""
        verdict = self._inspector.observe(_sent(action))
        self._rows.setdefault(action.agent, []).append(Row(verdict.reason, verdict.confidence))

    def rows(self, agent: str, least: int) -> tuple[Row, ...]:
        """There at once."""
        return tuple(self._rows.get(agent, ()))


def _sent(action: Action) -> Action:
    return decode_action(parse(json.dumps(encode_action(action)).encode()))


class _Deployment:
    """What sidecar and control plane have in common: a connection, a key, and agents that declare themselves."""

    policies = False

    def __init__(self, url: str, key: str, *, clock: Clock, deadline: float = 20.0) -> None:
        self._connection = Connection(url)
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._clock = clock
        self._deadline = deadline

    def clock(self) -> float:
        """Our own time; close enough to the target's."""
        return self._clock()

    def begin(self, agents: Sequence[str], declaration: Declaration, policies: Sequence[Policy]) -> None:
        """Post the manifest. Policies stay as they are: a red-team run does not change an organisation's rules."""
        for agent in agents:
            self._ask("POST", f"/v1/agents/{quote(agent, safe='')}/manifest", encode_declaration(declaration))

    def profile(self, agent: str) -> Json:
        """``GET /v1/agents/{agent}/profile``: what the agent declared and what was learned of it.

        Raises Refused (404: nobody has heard of it there), Unreachable.
        """
        return self._ask("GET", f"/v1/agents/{quote(agent, safe='')}/profile")

    def _ask(self, method: str, path: str, document: Json = None) -> Json:
        return self._connection.json(method, path, document, self._headers, self._deadline, idempotent=True)


class Sidecar(_Deployment):
    """A running sidecar, at ``unix:///path`` or on loopback."""

    steps = True
    POLL = 0.05
    """Seconds between two looks at whether a declaration is in force."""
    BATCH = 500
    """Steps in one request; the sidecar takes 1000."""

    def __init__(self, url: str, key: str, *, clock: Clock, deadline: float = 20.0) -> None:
        super().__init__(url, key, clock=clock, deadline=deadline)
        self._signing = signing_key(key_hash(key))
        self._rows: dict[str, list[Row]] = {}
        self._told: list[Step] = []

    @property
    def name(self) -> str:
        """Which sidecar."""
        return f"sidecar {self._url}"

    def begin(self, agents: Sequence[str], declaration: Declaration, policies: Sequence[Policy]) -> None:
        """Post the manifests, and wait until they are in force: they go through the control plane.

        Raises Unreachable when that takes longer than the deadline.
        """
        self._report()
        super().begin(agents, declaration, policies)
        for agent in agents:
            end = time.monotonic() + self._deadline
            while self._declared(agent) != declaration:
                if time.monotonic() > end:
                    raise Unreachable(
                        f"{self.name}: the declaration of {agent} is not in force after {self._deadline} s"
                    )
                time.sleep(self.POLL)

    def _declared(self, agent: str) -> Declaration | None:
        try:
            path = f"/v1/bundle?agent={quote(agent, safe='')}"
            status, _, body = self._connection.request("GET", path, None, self._headers, self._deadline)
        except Unreachable:
            return None
        if status != 200:
            return None
        return unseal(body, self._signing, agent=agent, now=self._clock()).declaration

    def judge(self, action: Action) -> Verdict:
        """``POST /v1/inspect``."""
        self._report()
        return decode_verdict(
            self._ask("POST", "/v1/inspect", {"agent": action.agent, "action": encode_action(action)})
        )

    def judge_undone(self, action: Action, content: Json) -> Verdict:
        """Asked before the action runs; then told that it failed, since nobody ever does it. So it is not learned.

        ``content`` is what it would have brought back: detections look at where a value came from.
        """
        verdict = self.judge(action)
        undone = Result(run_id=action.run_id, agent=action.agent, at=action.at, action_id=action.id, failed=True)
        self.note(replace(undone, content=content) if verdict.allowed else undone)
        return verdict

    def finish(self) -> None:
        """Tell what has not been told yet."""
        self._report()

    def note(self, step: Step) -> None:
        """``POST /v1/steps``, together with others and before the next action."""
        if len(self._told) >= self.BATCH or (self._told and self._told[-1].agent != step.agent):
            self._report()
        self._told.append(step)

    def _report(self) -> None:
        told, self._told = self._told, []
        if told:
            self._ask("POST", "/v1/steps", {"agent": told[0].agent, "steps": [encode_step(step) for step in told]})

    def report(self, action: Action) -> None:
        """``POST /v1/verdicts``."""
        self._report()
        verdict = decode_verdict(self._ask("POST", "/v1/verdicts", encode_report(Report(action=action))))
        self._rows.setdefault(action.agent, []).append(Row(verdict.reason, verdict.confidence))

    def rows(self, agent: str, least: int) -> tuple[Row, ...]:
        """What the reports were answered with."""
        return tuple(self._rows.get(agent, ()))


class ControlPlane(_Deployment):
    """A running control plane, used as deployed clients use it. It hears actions only, after the fact."""

    steps = False
    POLL = 0.2
    """Seconds between two looks at the rows; the deadline is the deployed runner's 18 s."""

    @property
    def name(self) -> str:
        """Which control plane."""
        return f"control plane {self._url}"

    def judge(self, action: Action) -> Verdict:
        """``POST /v1/verdicts``: the answer is the server's own verdict on what was reported."""
        return decode_verdict(self._ask("POST", "/v1/verdicts", _as_deployed(action)))

    def judge_undone(self, action: Action, content: Json) -> Verdict:
        """``POST /v1/verdicts`` with the claim that it was blocked, and why: what was never done is not learned."""
        document = encode_report(Report(action=action))
        document["verdict"] = {"decision": "block", "reason": UNDONE, "evidence": []}
        return decode_verdict(self._ask("POST", "/v1/verdicts", document))

    def finish(self) -> None:
        """Nothing waits here."""

    def note(self, step: Step) -> None:
        """Not heard: text of a run does not go to the control plane."""

    def report(self, action: Action) -> None:
        """``POST /v1/verdicts``."""
        self.judge(action)

    def rows(self, agent: str, least: int) -> tuple[Row, ...]:
        """``GET /v1/verdicts?agent=&limit=200``, until there are enough rows or 18 s are over."""
        end = time.monotonic() + 18.0
        while True:
            rows = tuple(self._read(agent))
            if len(rows) >= min(least, 200) or time.monotonic() > end:
                return rows
            time.sleep(self.POLL)

    def _read(self, agent: str) -> Iterator[Row]:
        answer = obj(self._ask("GET", f"/v1/verdicts?agent={quote(agent, safe='')}&limit=200"), "answer")
        for i, item in enumerate(array(answer, "verdicts")):
            row = obj(item, f"verdicts[{i}]")
            confidence = row.get("confidence")
            yield Row(text(row, "reason"), confidence if isinstance(confidence, float | int) else None)


def _as_deployed(action: Action) -> Json:
    # A deployed client claims that it allowed the action by its own policy.
    document = encode_report(Report(action=action))
    document["verdict"] = {"decision": "allow", "reason": "no policy matched", "evidence": []}
    return document


def find_target(url: str, key: str, *, clock: Clock) -> Sidecar | ControlPlane:
    """The target behind a URL: a Unix socket is a sidecar; else who answers ``GET /v1/whoami`` is a control plane.

    Raises Unreachable, Refused (a wrong key), InvalidInput (no URL).
    """
    if url.startswith("unix:"):
        return Sidecar(url, key, clock=clock)
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("target", "must be embedded, an http(s) URL, or unix:///path")
    probe = Connection(url)
    try:
        probe.json("GET", "/v1/whoami", headers={"Authorization": f"Bearer {key}"} if key else {})
    except Refused as err:
        if err.status not in (404, 405):
            raise
        return Sidecar(url, key, clock=clock)
    finally:
        probe.close()
    return ControlPlane(url, key, clock=clock)


__all__ = ["ControlPlane", "Embedded", "Row", "Sidecar", "Target", "Unreachable", "find_target"]
