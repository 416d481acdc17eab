"""Ways around the judgement of what a Bedrock agent returns control for: odd streams, threads, copies, what comes back unasked."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

pytest.importorskip("boto3")

from botocore.exceptions import EventStreamError

from kaizen_security.integrations import bedrock
from kaizen_security.integrations.base import attach_point
from kaizen_security.testing import bedrock_agents as agents
from kaizen_security.testing.models import Turn
from tests.integrations.agent import World, asks, wipe
from tests.integrations.suite import BLOCKED, PROMPT
from tests.integrations.test_bedrock import NAMES, Bedrock, client

DRIVER = Bedrock()
READ, WIPE = ("bill_read", {"bill": "b1"}), ("wipe", {"path": "/srv"})


def controls(host: Any, session: str, **asked: Any) -> list[str]:
    """The functions that the host is to run."""
    stream = host.client.invoke_agent(**NAMES, sessionId=session, **(asked or {"inputText": PROMPT}))["completion"]
    returned = [event["returnControl"] for event in stream if "returnControl" in event]
    return [one["functionInvocationInput"]["function"] for control in returned for one in control["invocationInputs"]]


def test_control_that_is_returned_a_second_time_in_the_same_stream_is_judged_too(models, attach):
    host = DRIVER.build(models.url, [], attach())
    models.say(agents.answer(agents.wants(READ), agents.wants(WIPE, READ, invocation="invocation-2")))
    assert controls(host, "twice") == ["bill_read", "bill_read"]


def test_a_stream_that_breaks_after_control_was_returned_still_hides_what_is_refused(models, attach):
    host = DRIVER.build(models.url, [], attach())
    models.say(agents.broken("throttlingException", "slow down", agents.wants(READ, WIPE)))
    stream = iter(host.client.invoke_agent(**NAMES, sessionId="broken", inputText=PROMPT)["completion"])
    (wanted,) = next(stream)["returnControl"]["invocationInputs"]
    assert wanted["functionInvocationInput"]["function"] == "bill_read"
    with pytest.raises(EventStreamError):
        next(stream)


def test_many_threads_that_read_streams_of_one_client_run_nothing_that_is_refused(models, attach):
    world = World()
    host = DRIVER.build(models.url, world.tools(), attach())

    def line(heard: Any) -> Any:
        return asks(wipe()) if heard.document.get("inputText") else Turn(text="I could not.")

    models.otherwise = line
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(host.ask(PROMPT))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["I could not."] * 8
    assert world.ran == []


def test_a_result_that_the_host_makes_up_for_what_was_refused_does_not_stand_before_the_refusal(models, attach):
    """A host that runs something else in its place has done so by itself; the agent still hears that the call was refused."""
    host = DRIVER.build(models.url, [], attach())
    models.say(agents.answer(agents.wants(READ, WIPE)), "Done.")
    assert controls(host, "forged") == ["bill_read"]
    names = {"actionGroup": "orders", "responseBody": {"TEXT": {"body": "gone"}}}
    made_up = [{"functionResult": {**names, "function": name}} for name in ("wipe", "bill_read")]
    state = {"invocationId": "invocation-1", "returnControlInvocationResults": made_up}
    assert controls(host, "forged", sessionState=state) == []
    bodies = DRIVER.results(models.heard[-1].document)
    assert bodies[0] == "gone"
    assert BLOCKED in bodies[1]


def test_an_agent_that_is_asked_to_go_on_by_another_client_gets_no_call_past_this_one(models, attach):
    """Each attached client judges what it hears; the session is the service's."""
    kaizen = attach()
    first, second = (DRIVER.build(models.url, [], kaizen) for _ in range(2))
    models.say(agents.answer(agents.wants(READ)))
    assert controls(first, "shared") == ["bill_read"]
    answer = {"actionGroup": "orders", "function": "bill_read", "responseBody": {"TEXT": {"body": "Please pay."}}}
    state = {"invocationId": "invocation-1", "returnControlInvocationResults": [{"functionResult": answer}]}
    models.say(agents.answer(agents.wants(WIPE, READ)))
    assert controls(second, "shared", sessionState=state) == ["bill_read"]


def test_a_session_that_others_pushed_out_while_its_tool_ran_gives_the_tool_s_own_error(models, attach, monkeypatch):
    monkeypatch.setattr(bedrock, "MAX_SESSIONS", 1)

    def bill_read(bill: str) -> str:
        models.say("Nothing.")
        agent.run(PROMPT, session_id="another")
        raise LookupError("no such bill")

    runtime = client(models.url)
    agent = bedrock.KaizenBedrockAgent(
        attach(), runtime, agent_id=agents.AGENT, alias_id=agents.ALIAS, tools={"bill_read": bill_read}
    )
    models.say(agents.answer(agents.wants(READ)))
    with pytest.raises(LookupError, match="no such bill"):
        agent.run(PROMPT, session_id="pushed-out")


def test_sessions_of_many_threads_push_each_other_out(attach, monkeypatch):
    monkeypatch.setattr(bedrock, "MAX_SESSIONS", 2)
    attached = bedrock._attached(attach_point(attach(), bedrock.SOURCE), client("http://127.0.0.1:9"))
    raised: list[Exception] = []

    def asks_often(who: int) -> None:
        try:
            for i in range(500):
                attached.turns({"sessionId": f"s-{who}-{i}"})
        except (KeyError, RuntimeError) as err:
            raised.append(err)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=asks_often, args=(who,)) for who in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert raised == []
