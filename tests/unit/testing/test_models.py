"""The model server speaks its dialects, whole and streamed, and knows who is signed in."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config

from kaizen_security.testing.models import Call, Heard, ModelServer, Ran, Raw, Turn

WEATHER = Turn(text="I look it up.", calls=(Call(tool="weather", arguments={"place": "Ulm"}, id="c1"),))


def post(url: str, document: dict[str, object], **headers: str) -> tuple[int, bytes]:
    made = urllib.request.Request(url, json.dumps(document).encode(), headers)
    try:
        with urllib.request.urlopen(made, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read()


def test_a_turn_with_a_tool_in_each_dialect():
    with ModelServer() as server:
        server.otherwise = WEATHER
        chat = json.loads(post(server.url + "/v1/chat/completions", {"model": "m"})[1])
        responses = json.loads(post(server.url + "/v1/responses", {"model": "m"})[1])
        messages = json.loads(post(server.url + "/v1/messages", {"model": "m"})[1])
        assert [heard.dialect for heard in server.heard] == ["chat", "responses", "messages"]
    called = chat["choices"][0]["message"]["tool_calls"][0]["function"]
    assert (called["name"], json.loads(called["arguments"])) == ("weather", {"place": "Ulm"})
    assert responses["output"][1]["name"] == "weather"
    assert messages["content"][1] == {"type": "tool_use", "id": "c1", "name": "weather", "input": {"place": "Ulm"}}


def test_a_tool_of_a_group_one_that_takes_plain_text_and_what_the_provider_ran_in_openai_s_responses():
    turn = Turn(
        calls=(
            Call(tool="wipe", namespace="mcp__desk", arguments={"path": "/"}, id="c1"),
            Call(tool="apply_patch", text="*** Begin Patch", id="c2"),
        ),
        ran=(Ran(program="print(1)", output="1"),),
    )
    with ModelServer() as server:
        server.otherwise = turn
        whole = json.loads(post(server.url + "/v1/responses", {"model": "m"})[1])["output"]
        body = post(server.url + "/v1/responses", {"model": "m", "stream": True})[1]
    assert [(one["type"], one.get("name"), one.get("namespace")) for one in whole] == [
        ("code_interpreter_call", None, None),
        ("function_call", "wipe", "mcp__desk"),
        ("custom_tool_call", "apply_patch", None),
    ]
    assert (whole[0]["code"], whole[0]["outputs"]) == ("print(1)", [{"type": "logs", "logs": "1"}])
    assert (whole[1]["arguments"], whole[2]["input"]) == ('{"path": "/"}', "*** Begin Patch")
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    done = [one for one in events if one["type"].endswith(".done") and "item" not in one]
    assert [one["type"] for one in done] == [
        "response.code_interpreter_call_code.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
    ]
    assert events[-1]["response"]["output"] == whole


def test_items_of_the_provider_s_own_stand_before_the_rest_whole_and_streamed():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    used = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "b1"}}
    grounded = {"groundingMetadata": {"webSearchQueries": ["b1"]}}
    with ModelServer() as server:
        server.otherwise = Turn(items=(search,), text="Done.")
        responses = json.loads(post(server.url + "/v1/responses", {"model": "m"})[1])
        body = post(server.url + "/v1/responses", {"model": "m", "stream": True})[1]
        server.otherwise = Turn(items=(used,), text="Done.")
        messages = json.loads(post(server.url + "/v1/messages", {"model": "m"})[1])
        blocks = post(server.url + "/v1/messages", {"model": "m", "stream": True})[1]
        server.otherwise = Turn(items=({"executableCode": {"code": "1"}},), text="Done.", about=grounded)
        (gemini,) = json.loads(post(server.url + "/v1/models/m:generateContent", {})[1])["candidates"]
        parts = post(server.url + "/v1/models/m:streamGenerateContent", {})[1]
    assert responses["output"][0] == search
    assert f'"item": {json.dumps(search)}'.encode() in body
    assert messages["content"][0] == used
    assert json.dumps({**used, "input": {}}).encode() in blocks
    assert json.dumps(json.dumps(used["input"])).encode() in blocks
    assert gemini["content"]["parts"][0] == {"executableCode": {"code": "1"}}
    assert gemini["groundingMetadata"] == grounded["groundingMetadata"]
    assert parts.count(b"webSearchQueries") == parts.count(b"executableCode") == 1


def test_boto3_takes_a_turn_with_a_tool():
    limits = Config(retries={"total_max_attempts": 1})
    with ModelServer(aws=("AKIDEXAMPLE", "s")) as server:
        client = boto3.client(
            "bedrock-runtime",
            region_name="eu-central-1",
            endpoint_url=server.url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="s",
            config=limits,
        )
        server.say(WEATHER)
        said = client.converse(modelId="a/b:1", messages=[{"role": "user", "content": [{"text": "hi"}]}])
        client.close()
        assert server.heard[0].model == "a/b:1"
    assert said["output"]["message"]["content"][1]["toolUse"]["input"] == {"place": "Ulm"}


@pytest.mark.parametrize(("path", "end"), [("/v1/chat/completions", b"[DONE]"), ("/v1/messages", b"message_stop")])
def test_a_streamed_turn_says_the_same_in_pieces(path, end):
    with ModelServer() as server:
        server.say(WEATHER)
        status, body = post(server.url + path, {"model": "m", "stream": True})
    assert status == 200
    assert end in body
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    said = "".join(
        one.get("delta", {}).get("text", "") or "".join(c["delta"].get("content") or "" for c in one.get("choices", []))
        for one in events
    )
    assert said == "I look it up."
    assert b"weather" in body


def test_lines_are_used_in_order_and_a_line_may_look_at_the_request():
    def echo(heard: Heard) -> Turn:
        return Turn(text=str(heard.document["say"]))

    with ModelServer() as server:
        server.say(echo, Raw(status=429, body=b"{}"))
        url = server.url + "/v1/chat/completions"
        assert b'"one"' in post(url, {"model": "m", "say": "one"})[1]
        assert post(url, {"model": "m"})[0] == 429
        assert b"Nothing was scripted" in post(url, {"model": "m"})[1]


def test_who_brings_no_key_is_refused_and_another_path_is_not_there():
    with ModelServer(key="k") as server:
        url = server.url + "/v1/messages"
        assert post(url, {"model": "m"})[0] == 401
        assert post(url, {"model": "m"}, **{"x-api-key": "k"})[0] == 200
        assert post(server.url + "/v1/embeddings", {"model": "m"})[0] == 404
        assert (server.refused, len(server.heard)) == (1, 1)
