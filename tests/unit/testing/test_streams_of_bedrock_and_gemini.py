"""What streams without being asked to in the body: Bedrock's event streams, as boto3 decodes them, and Gemini."""

from __future__ import annotations

import json
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EventStreamError

from kaizen_security.testing import bedrock_agents as agents
from kaizen_security.testing import eventstream
from kaizen_security.testing.models import Call, ModelServer, Raw, Turn

WEATHER = Turn(text="I look it up.", calls=(Call(tool="weather", arguments={"place": "Ulm"}, id="c1"),))


@pytest.fixture
def server():
    with ModelServer(aws=("AKIDEXAMPLE", "s")) as server:
        yield server


def client(server: ModelServer, service: str):
    return boto3.client(
        service,
        region_name="eu-central-1",
        endpoint_url=server.url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}),
    )


def invoke(bedrock, **more):
    return bedrock.invoke_agent(agentId="A" * 10, agentAliasId="B" * 10, sessionId="s-1", inputText="hi", **more)


def test_boto3_decodes_a_streamed_turn_of_converse(server):
    server.say(WEATHER)
    bedrock = client(server, "bedrock-runtime")
    asked = bedrock.converse_stream(modelId="a/b:1", messages=[{"role": "user", "content": [{"text": "hi"}]}])
    events = list(asked["stream"])
    bedrock.close()
    assert server.heard[0].model == "a/b:1"
    said = "".join(e["contentBlockDelta"]["delta"].get("text", "") for e in events if "contentBlockDelta" in e)
    given = [
        e["contentBlockDelta"]["delta"]["toolUse"]["input"]
        for e in events[:-2]
        if "toolUse" in str(e) and "contentBlockDelta" in e
    ]
    assert said == "I look it up."
    assert json.loads("".join(given)) == {"place": "Ulm"}
    assert events[-2] == {"messageStop": {"stopReason": "tool_use"}}


def test_boto3_decodes_every_event_of_an_agent_that_we_can_write(server):
    wrote = (
        agents.rationale("I look it up."),
        agents.calls("lookup_order", {"order": "7"}),
        agents.calls_api("GET", "/orders/{id}", {"id": "7"}),
        agents.returned("sent"),
        agents.looks_up("returns?"),
        agents.found(("Within 30 days.", "s3://kb/returns.md")),
        agents.runs_code("print(1)", collaborator="analyst"),
        agents.printed("1"),
        agents.hands_over("analyst", "count"),
        agents.hands_back("analyst", "1"),
        agents.text("done"),
        agents.wants(("refund", {"order": "7"})),
        agents.wants_api("POST", "/refunds", {"order": "7"}),
    )
    server.say(agents.answer(*wrote))
    bedrock = client(server, "bedrock-agent-runtime")
    asked = invoke(bedrock, enableTrace=True)
    assert asked["sessionId"] == agents.SESSION
    events = list(asked["completion"])
    bedrock.close()
    assert [next(iter(event)) for event in events] == [name for name, _ in wrote]
    # botocore drops what its service model does not know: so AWS has a name for all that we wrote.
    for event, (name, document) in zip(events, wrote, strict=True):
        if name != "chunk":
            assert event[name] == document
    assert events[10]["chunk"]["bytes"] == b"done"


def test_a_plain_turn_of_an_agent_returns_control_for_its_calls(server):
    server.say(WEATHER)
    bedrock = client(server, "bedrock-agent-runtime")
    events = list(invoke(bedrock)["completion"])
    bedrock.close()
    assert events[0]["chunk"]["bytes"] == b"I look it up."
    assert events[1]["returnControl"]["invocationInputs"][0]["functionInvocationInput"]["function"] == "weather"


def test_a_stream_that_goes_wrong_on_the_way(server):
    body = eventstream.event(*agents.text("half")) + eventstream.exception("throttlingException", "slow down")
    server.say(Raw(body=body, headers=agents.answer().headers))
    bedrock = client(server, "bedrock-agent-runtime")
    with pytest.raises(EventStreamError, match="slow down"):
        list(invoke(bedrock)["completion"])
    bedrock.close()


def test_gemini_whole_and_in_pieces():
    def ask(url: str) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=10) as answer:
            return answer.read()

    with ModelServer() as server:
        server.otherwise = WEATHER
        whole = json.loads(ask(f"{server.url}/v1beta/models/gemini-x:generateContent"))
        pieces = ask(f"{server.url}/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
        assert {heard.model for heard in server.heard} == {"gemini-x"}
    parts = whole["candidates"][0]["content"]["parts"]
    assert parts[1]["functionCall"] == {"id": "c1", "name": "weather", "args": {"place": "Ulm"}}
    events = [json.loads(line[6:]) for line in pieces.splitlines() if line.startswith(b"data: ")]
    said = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
    assert "".join(part.get("text", "") for part in said) == "I look it up."
    assert said[-1] == parts[1]
