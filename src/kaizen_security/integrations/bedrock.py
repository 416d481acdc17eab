"""Amazon Bedrock agents, through boto3: what they tell of themselves is reported, and what they hand back is judged before it runs.

    attach(kaizen, client)                    a ``bedrock-agent-runtime`` client; ``invoke_agent`` stays what it is
    KaizenBedrockAgent(kaizen, client, …)     the same, with a loop that runs the functions that control is returned for

The service runs action groups, knowledge bases and the code interpreter itself: they are seen in the trace, after they began, and
reported (source ``bedrock-trace``). Only what it returns control for is run here, and so can be refused (``bedrock-roc``). A
refused function is taken out of the event before the host sees it, and answered in its place with the next call, or, where nothing
is left for the host to do, at once: then the host's stream simply goes on.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kaizen_security.client.arguments import plain
from kaizen_security.client.clock import now
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import HookUnavailable, Misconfigured
from kaizen_security.contract.step import Claim
from kaizen_security.integrations import bedrock_trace as trace
from kaizen_security.integrations.base import Allowed, AttachPoint, Refused, attach_point, call_of
from kaizen_security.integrations.bedrock_stream import Stream as _Stream
from kaizen_security.integrations.runs import Running

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

SOURCE = "bedrock-roc"
TRACE = "bedrock-trace"
OPERATIONS = {"InvokeAgent": "sessionState", "InvokeInlineAgent": "inlineSessionState"}
"""Operations that stream an agent's work, and where each takes the results of returned control."""
MAX_SESSIONS = 512
MAX_MEMORY = 64
"""Results of earlier runs of a session that the next one is told of."""
MAX_OPEN = 256
"""Calls of one session that wait for their result."""


@dataclass(slots=True)
class _Session:
    """One session. What the user asks begins a run, and the answer to it ends it; what was read stays in the agent's memory."""

    run: Running
    memory: deque[tuple[str, object]] = field(default_factory=lambda: deque(maxlen=MAX_MEMORY))
    """What earlier runs of it brought, by the ids of their actions."""
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Collaborators, by name, to the agents down to each of them."""
    called: OrderedDict[str, tuple[Kaizen, Action]] = field(default_factory=OrderedDict)
    """Calls of the service that have not come back, by their trace id."""
    wanted: dict[str, list[tuple[trace.Wanted, Allowed | Refused]]] = field(default_factory=dict)
    """What control was returned for, by invocation."""


def attach(
    kaizen: Kaizen | AsyncKaizen | None, client: Any, *, identity: bool = True, always_ask: bool = False
) -> AttachPoint:
    """Attach a ``bedrock-agent-runtime`` client of boto3 in place. The second time it takes the place of the first.

    Traces are switched on; where the host did not ask for them, it sees none. Raises Misconfigured for another client or a setting
    that cannot be used, HookUnavailable for a boto3 whose clients have no events.
    """
    return _attached(attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask), client).point


def _attached(point: AttachPoint, client: Any) -> _Attached:
    try:
        operations = set(client.meta.service_model.operation_names) & set(OPERATIONS)
        events = client.meta.events
    except AttributeError as err:
        raise HookUnavailable("bedrock: needs a client of boto3 1.39 or newer") from err
    if not operations:
        raise Misconfigured("attach: a client for bedrock-agent-runtime, please: boto3.client('bedrock-agent-runtime')")
    attached = _Attached(point, client)
    for operation in operations:
        where = f"bedrock-agent-runtime.{operation}"
        hooks = (f"provide-client-params.{where}", attached.asks), (f"after-call.{where}", attached.answers)
        for name, hook in hooks:
            unique = f"kaizen-{name}"
            events.unregister(name, unique_id=unique)
            events.register(name, functools.partial(hook, operation), unique_id=unique)
    return attached


class _Attached:
    """One client."""

    def __init__(self, point: AttachPoint, client: Any) -> None:
        self.point = point
        self._client = client
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._lock = threading.Lock()
        """For the order of the sessions: a client of boto3 is used by many threads."""

    # --- hooks of botocore

    def asks(self, operation: str, params: dict[str, Any], context: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The host invokes the agent. Its own dictionaries are left alone."""
        asked = {**params, "enableTrace": True}
        context["kaizen"] = (asked, bool(params.get("enableTrace")))
        id_ = str(params.get("sessionId") or "")
        text = params.get("inputText")
        session = self._session(id_)
        if isinstance(text, str) and text:
            self._begin(session, text)
        given = params.get(OPERATIONS[operation])
        if isinstance(given, Mapping) and given.get("returnControlInvocationResults"):
            asked[OPERATIONS[operation]] = self._answer(session, given)
        if params.get("endSession") is True:
            self._forget(id_)
        return asked

    def answers(self, operation: str, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        """Its stream begins."""
        asked, traced = context.get("kaizen", ({}, True))
        if "completion" in parsed:
            parsed["completion"] = _Stream(self, operation, asked, parsed["completion"], traced=traced)

    def again(self, operation: str, asked: Mapping[str, Any], invocation: str, refusals: list[dict[str, Any]]) -> Any:
        """Invoke the agent in the host's place, which has nothing to add."""
        state = {**asked.get(OPERATIONS[operation], {})}
        state |= {"invocationId": invocation, "returnControlInvocationResults": refusals}
        params = {name: value for name, value in asked.items() if name not in ("inputText", OPERATIONS[operation])}
        method = self._client.invoke_agent if operation == "InvokeAgent" else self._client.invoke_inline_agent
        return method(**params, **{OPERATIONS[operation]: state})["completion"]

    # --- a session

    def _session(self, id_: str) -> _Session:
        oldest = None
        with self._lock:
            session = self._sessions.get(id_)
            if session is None:
                session = self._sessions[id_] = _Session(self.point.run())
                if len(self._sessions) > MAX_SESSIONS:
                    _, oldest = self._sessions.popitem(last=False)
            else:
                self._sessions.move_to_end(id_)
        if oldest is not None:
            oldest.run.end(completed=False)
        return session

    def _begin(self, session: _Session, text: str) -> None:
        session.run.end(completed=False)  # nothing, where it was answered
        session.run = self.point.run(text).begin()
        for action_id, content in session.memory:
            session.run.read(content, action_id=action_id)

    def _forget(self, id_: str) -> None:
        with self._lock:
            session = self._sessions.pop(id_, None)
        if session is not None:
            session.run.end(completed=False)

    def over(self, asked: Mapping[str, Any], *, completed: bool) -> None:
        """A stream came to its end without anything for the host to do: so did the run."""
        session = self._sessions.get(str(asked.get("sessionId") or ""))
        if session is not None:
            session.run.end(completed=completed)

    def _answer(self, session: _Session, given: Mapping[str, Any]) -> dict[str, Any]:
        """The host's results, noted, and ours in place of what it never saw; in the order in which the agent asked."""
        results = list(given["returnControlInvocationResults"])
        ordered: list[Any] = []
        for wanted, said in session.wanted.pop(str(given.get("invocationId") or ""), []):
            if isinstance(said, Refused):
                ordered.append(trace.refusal(wanted, said.text))
                continue
            answer = next((one for one in results if trace.answers(wanted, one)), None)
            if answer is None:
                self.point.after(said, failed=True)  # the host never answered it
                continue
            results = [one for one in results if one is not answer]
            content, failed = trace.answered(answer)
            self.point.after(said, content, failed=failed)
            session.memory.append((said.action.id, content))
            ordered.append(answer)
        return {**given, "returnControlInvocationResults": [*ordered, *results]}

    # --- events

    def turns(self, asked: Mapping[str, Any]) -> None:
        """The agent is asked, and has heard of what it was refused."""
        self._session(str(asked.get("sessionId") or "")).run.asked()

    def heard(self, asked: Mapping[str, Any], part: Mapping[str, Any]) -> None:
        """What the agent tells of itself."""
        session = self._session(str(asked.get("sessionId") or ""))
        agents = _chain(session, part.get("collaboratorName"))
        kaizen = self.point.agent(agents)
        for one in trace.told(part):
            match one:
                case trace.Said(text=text, final=final):
                    self._said(session.run, kaizen, text, final=final, inner=bool(agents))
                case trace.Handed(to=to, text=text):
                    session.chains[to] = (*agents, to)
                    session.run.message(text, kaizen=kaizen, to=to)
                case trace.Called():
                    self._called(session, kaizen, agents, one)
                case trace.Brought(id=id_, content=content, failed=failed):
                    self._brought(session, id_, content, failed=failed)
                case trace.Broke():
                    for id_ in list(session.called):
                        self._brought(session, id_, None, failed=True)

    def _said(self, run: Running, kaizen: Kaizen, text: str, *, final: bool, inner: bool) -> None:
        if final:
            run.message(text, kaizen=kaizen, to="agent" if inner else "user")
            return
        agent = kaizen.settings.agent
        said = Action(
            kind="message", metadata={"source": TRACE, "arguments": {"text": text}}, agent=agent, run_id=run.id
        )
        kaizen.note(Claim(run_id=run.id, action=said, agent=agent, at=now()))

    def _called(self, session: _Session, kaizen: Kaizen, agents: tuple[str, ...], one: trace.Called) -> None:
        action = Action(
            kind=one.kind,
            tool=one.tool,
            publisher=one.publisher,
            metadata={"source": TRACE, "arguments": plain(dict(one.arguments))},
            id=kaizen.ids.new(),
            act_id=one.id,
            run_id=session.run.id,
            delegation=(self.point.kaizen.settings.agent, *agents[:-1]) if agents else (),
        )
        session.run.hear(kaizen)
        kaizen.report(action)
        session.called[one.id] = (kaizen, action)
        while len(session.called) > MAX_OPEN:
            session.called.popitem(last=False)

    def _brought(self, session: _Session, id_: str, content: object, *, failed: bool) -> None:
        kaizen, action = session.called.pop(id_, (None, None))
        if action is None and session.called:
            kaizen, action = session.called.popitem()[1]  # the service waits for each: it is the last one that it began
        if kaizen is not None and action is not None:
            kaizen.note_result(action, content, failed=failed)
            session.run.brought(kaizen, action, content, failed=failed)
            session.memory.append((action.id, content))

    def returned(
        self, asked: Mapping[str, Any], control: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
        """What is left of a ``returnControl`` event for the host, and, if nothing is, the answers to all of it, or the last word of
        an agent that goes on asking.
        """
        session = self._session(str(asked.get("sessionId") or ""))
        judged = [(wanted, self._judged(session, wanted)) for wanted in trace.wanted(control)]
        refused = [(wanted, said) for wanted, said in judged if isinstance(said, Refused)]
        taken = [wanted.given for wanted, _ in refused]
        left = [one for one in control.get("invocationInputs") or () if not any(one is given for given in taken)]
        if not left:
            word = next((said.text for _, said in refused if said.ends), "")
            return {}, [trace.refusal(wanted, said.text) for wanted, said in refused], word
        session.wanted[str(control.get("invocationId") or "")] = judged
        while len(session.wanted) > MAX_OPEN:
            session.wanted.pop(next(iter(session.wanted)))
        return {**control, "invocationInputs": left}, [], ""

    def allowed(self, session: str, control: Mapping[str, Any]) -> dict[int, Allowed]:
        """What was said of the entries of an event that the host got, by the identity of each."""
        waiting = self._session(session).wanted.get(str(control.get("invocationId") or ""), [])
        return {id(wanted.given): said for wanted, said in waiting if isinstance(said, Allowed)}

    def abandoned(self, session: str, control: Mapping[str, Any]) -> None:
        """The host ran into an error with it."""
        waiting = self._session(session).wanted.pop(str(control.get("invocationId") or ""), [])
        for _, said in waiting:
            if isinstance(said, Allowed):
                self.point.after(said, failed=True)

    def _judged(self, session: _Session, wanted: trace.Wanted) -> Allowed | Refused:
        agents = _chain(session, wanted.collaborator)
        return self.point.before(
            call_of(wanted.tool, wanted.arguments, "", agents, session.run, publisher=wanted.publisher)
        )


def _chain(session: _Session, collaborator: object) -> tuple[str, ...]:
    if not isinstance(collaborator, str) or not collaborator:
        return ()
    return session.chains.get(collaborator, (collaborator,))


# --- with a loop


class KaizenBedrockAgent:
    """An agent of Bedrock whose functions run here.

    ``tools``   by function name, or ``VERB /path`` for operations of an OpenAPI schema; called with the arguments as keywords
    ``rounds``  times that control may be returned within one answer
    Raises Misconfigured as ``attach`` does.
    """

    def __init__(
        self,
        kaizen: Kaizen | AsyncKaizen | None,
        client: Any,
        *,
        agent_id: str,
        alias_id: str,
        tools: Mapping[str, Callable[..., object]] | None = None,
        rounds: int = 20,
        identity: bool = True,
        always_ask: bool = False,
    ) -> None:
        self.point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        self._attached = _attached(self.point, client)
        self._client = client
        self._agent = {"agentId": agent_id, "agentAliasId": alias_id}
        self._tools = dict(tools or {})
        self._rounds = rounds

    def run(self, text: str, *, session_id: str = "", **more: Any) -> str:
        """Ask, run what control is returned for, and give the final words. ``more`` goes to ``invoke_agent``.

        What a tool or boto3 raises is raised; RuntimeError when there are more than ``rounds``.
        """
        session = session_id or self.point.kaizen.ids.new()
        asked: dict[str, Any] = {"inputText": text, **more}
        for _ in range(self._rounds):
            said: list[str] = []
            control: Mapping[str, Any] = {}
            for event in self._client.invoke_agent(**self._agent, sessionId=session, **asked)["completion"]:
                if "chunk" in event:
                    said.append(event["chunk"].get("bytes", b"").decode())
                control = event.get("returnControl", control)
            if not control:
                return "".join(said)
            results = self._results(session, control)
            state = {"invocationId": control.get("invocationId"), "returnControlInvocationResults": results}
            asked = {**more, "sessionState": {**more.get("sessionState", {}), **state}}
        raise RuntimeError(f"the agent returned control {self._rounds} times within one answer")

    def _results(self, session: str, control: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run what the host is to run, each under the verdict that it got."""
        said = self._attached.allowed(session, control)
        done = False
        try:
            found = []
            for wanted in trace.wanted(control):
                tool, allowed = self._tools.get(wanted.tool), said.get(id(wanted.given))
                with allowed.running() if allowed is not None else nullcontext():
                    content = f"There is no function {wanted.tool}." if tool is None else tool(**wanted.arguments)
                found.append(trace.result(wanted, content))
            done = True
            return found
        finally:
            if not done:
                self._attached.abandoned(session, control)
