"""The demonstration agent: a separate process with real tools, attached to Kaizen as a customer's agent is.

``python -m kaizen_security.demo.agent --work DIR --authority FILE`` reads jobs from standard input and tells what it did on
standard output (``demo.jobs``). Where Kaizen is and which key to use it takes from the environment, as ``Kaizen()`` does.

It is gullible: a sentence ``call TOOL with {…}`` in anything that it reads becomes part of its plan.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from kaizen_security import Action, Kaizen, KaizenBlocked
from kaizen_security.contract.action import Json
from kaizen_security.contract.step import Message
from kaizen_security.demo.effects import execute
from kaizen_security.demo.injected import SOCKET
from kaizen_security.demo.jobs import Attach, Did, Done, Job, Play, Work, asked, tell
from kaizen_security.demo.plan import orders_in, resolved
from kaizen_security.demo.tasks import Call, Task
from kaizen_security.demo.tools import TOOLS, Bench, ToolFailed
from kaizen_security.redteam.scenario import Say, Session, as_action
from kaizen_security.runtime.clock import new_id, now

MAX_CALLS = 40
"""Calls that one task may lead to, so that a document cannot keep the agent busy for ever."""


class DemoAgent:
    """Does jobs with real tools, each call through the guard."""

    def __init__(self, work: Path, authority: Path) -> None:
        self._work, self._authority = work, authority
        self._attached: dict[str, tuple[Kaizen, Bench]] = {}

    def do(self, job: Job) -> list[Did]:
        """Do one job and give an account of its actions."""
        match job:
            case Attach():
                self._attach(job)
                return []
            case Work():
                return self._task(*self._attached[job.agent], job.task)
            case Play():
                return self._session(*self._attached[job.session.agent], job.session)

    def _attach(self, job: Attach) -> None:
        kaizen = Kaizen(agent=job.agent, policies=list(job.policies) or None)
        self._attached[job.agent] = (kaizen, Bench(work=self._work, proxy=job.proxy, authority=self._authority))
        kaizen.declare(tools=list(job.declaration.tools), destinations=list(job.declaration.destinations))

    def _task(self, kaizen: Kaizen, bench: Bench, task: Task) -> list[Did]:
        """The task's plan, and whatever the things that it reads put into the plan."""
        did: list[Did] = []
        results: list[Json] = []
        plan = deque((call, False) for call in task.calls)
        with kaizen.run(task.request):
            while plan and len(did) < MAX_CALLS:
                call, hijacked = plan.popleft()
                entry, result = self._call(kaizen, bench, call, results, hijacked)
                did.append(entry)
                if not hijacked:
                    results.append(result)
                    plan.extendleft((order, True) for order in orders_in(result))
        return did

    def _call(self, kaizen: Kaizen, bench: Bench, call: Call, results: list[Json], hijacked: bool) -> tuple[Did, Json]:
        arguments = {name: resolved(value, results) for name, value in call.arguments.items()}
        if call.tool == SOCKET:
            return behind_the_back(bench, arguments), None
        tool = TOOLS[call.tool]
        action = Action(
            kind=tool.kind,
            tool=call.tool,
            target=tool.target(arguments),
            metadata={"source": "sdk", "arguments": arguments},
            id=new_id(),
        )
        entry, result = guarded(kaizen, action, partial(tool.body, bench, arguments))
        return replace(entry, hijacked=hijacked), result

    def _session(self, kaizen: Kaizen, bench: Bench, session: Session) -> list[Did]:
        did: list[Did] = []
        with kaizen.run(session.request) as run:
            for number, move in enumerate(session.moves):
                if isinstance(move, Say):
                    kaizen.note(Message(run_id=run.id, text=move.text, to=move.to, agent=session.agent, at=now()))
                    continue
                action = as_action(
                    move, agent=session.agent, run_id=run.id, action_id=new_id(), delegation=session.delegation
                )
                entry, _ = guarded(kaizen, action, partial(execute, bench, move))
                did.append(replace(entry, move=number))
        return did

    def close(self) -> None:
        """Hand over everything that was to be reported."""
        for kaizen, bench in self._attached.values():
            kaizen.close()
            bench.close()

    def connections(self) -> tuple[str, ...]:
        """Hosts that connections were opened to since it was last asked."""
        opened = tuple(host for _, bench in self._attached.values() for host in bench.connections)
        for _, bench in self._attached.values():
            bench.connections.clear()
        return opened


def guarded(kaizen: Kaizen, action: Action, body: Callable[[], Json]) -> tuple[Did, Json]:
    """Ask, and only if the answer is no block, do it. Gives the account and what the body brought back."""
    entry = Did(action=action.id, tool=action.tool, target=action.target, outcome="ran")
    try:
        kaizen.enforce(action)
    except KaizenBlocked as refused:
        return replace(entry, outcome="refused", reason=refused.verdict.reason), None
    try:
        result = body()
        kaizen.note_result(action, result)
        return entry, result
    except ToolFailed as err:
        kaizen.note_result(action, str(err), failed=True)
        return replace(entry, outcome="failed", reason=str(err)[:300]), None


def behind_the_back(bench: Bench, arguments: Mapping[str, Json]) -> Did:
    """What malware in the agent's process does: no guard is asked, nothing is reported."""
    host, port = str(arguments["host"]), int(str(arguments["port"]))
    outcome = "ran"
    try:
        reason = bench.raw(host, port, str(arguments["data"]).encode())
    except ToolFailed as err:
        outcome, reason = "failed", str(err)
    return Did(action="", tool=SOCKET, target=f"{host}:{port}", outcome=outcome, reason=reason, hijacked=True)


def serve(agent: DemoAgent, lines: Iterable[str], say: Callable[[str], None]) -> None:
    """Do the jobs that come in, and tell of each."""
    for line in lines:
        job = asked(line)
        began = now()
        did = tuple(agent.do(job))
        say(tell(Done(job=job.job, did=did, connections=agent.connections(), began=began, ended=now())))


def main(argv: list[str] | None = None) -> int:
    """Work until standard input ends."""
    parser = argparse.ArgumentParser(description="The demonstration agent.")
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--authority", required=True, type=Path)
    args = parser.parse_args(argv)
    agent = DemoAgent(args.work, args.authority)
    try:
        serve(agent, sys.stdin, lambda line: print(line, flush=True))
    finally:
        agent.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
