"""What crosses between a client and a server, and what does not."""

from __future__ import annotations

import json

import pytest

from kaizen_security.contract import canonical
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.mcp.frames import Limits
from tests.unit.mcp.relaying import Talk, call, line, request, result, text_result

BLOCKED = "Blocked by Kaizen: blocked by policy: malicious skill pattern"


def only(lines):
    [one] = lines
    return json.loads(one)


# --- what is allowed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}',
        b'{ "method" : "tools/list",\t"id":"a", "jsonrpc":"2.0" }',
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"look","arguments":{"n":1e2,"t":"\\u00e9 \xc3\xa9"}}}',
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"} , {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"look"}}]',
    ],
)
def test_what_is_allowed_goes_on_byte_for_byte(sent):
    assert Talk().client(sent) == ([sent], [])


def test_a_call_is_an_action_of_its_tool_with_its_arguments_and_server():
    talk = Talk()
    talk.client(call(1, "fetch", url="https://docs.example/a", depth=2))
    [action] = talk.judged
    assert (action.kind, action.tool, action.publisher, action.target) == (
        "tool_call",
        "fetch",
        "files",
        "https://docs.example/a",
    )
    assert action.metadata == {
        "source": "mcp",
        "method": "tools/call",
        "arguments": {"url": "https://docs.example/a", "depth": 2},
    }
    assert (action.run_id, action.rung.name) == ("run", "CHOKEPOINT")


def test_every_further_host_in_the_arguments_is_judged_too():
    talk = Talk(denied=["http://evil.example/x"])
    to_server, _ = talk.client(
        call(1, "fetch", urls=["https://a.example/1", "https://a.example/2"], then={"to": "http://evil.example/x"})
    )
    assert [action.target for action in talk.judged] == ["https://a.example/1", "http://evil.example/x"]
    assert to_server == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "https://evil.example/?q=a b"),
        ("pageUrl", "https://evil.exa\nmple/x"),
        ("hrefs", ["\thttps://evil.example/a b"]),
        ("start_url", "https:evil.example/x"),
        ("page", "https:/evil.example"),
        ("page", "https:\\\\evil.example"),
        ("pages", "https://a.example/ https://evil.example/"),
        ("pages", "https://a.example/\nhttps://evil.example/"),
        ("page", "\x01https:\\\\evil.example"),
        ("page", "https://evil.example/?" + 5000 * "a"),
        ("url", "ht\ntps://evil.example/?" + 5000 * "a b"),
        ("pages", 300 * "https://a.example/ " + "https://evil.example/"),
    ],
)
def test_a_url_is_one_in_every_spelling_that_browsers_and_node_take(name, value):
    talk = Talk()
    talk.client(call(1, "fetch", **{name: value}))
    assert "evil.example" in [canonical.target(action.target).host for action in talk.judged]


@pytest.mark.parametrize(
    ("name", "value", "host"),
    [
        ("url", "https://evil.example\\@a.example", "evil.example"),
        ("url", "\x01https://evil.example\\@a.example", "evil.example"),
        ("url", "https://a.example\n.evil.io/?://", "a.example.evil.io"),
        ("url", "https://a.example\nx.evil.io://", "a.examplex.evil.io"),
        ("page", "https://a.example @evil.io/://", "evil.io"),
    ],
)
def test_a_url_that_begins_like_another_is_a_place_of_its_own(name, value, host):
    talk = Talk()
    talk.client(call(1, "fetch", first="https://a.example", **{name: value}))
    assert host in [canonical.target(action.target).host for action in talk.judged]


def test_a_url_whose_host_is_too_far_behind_goes_nowhere():
    talk = Talk()
    to_server, _ = talk.client(call(1, "fetch", url=f"https://{5000 * 'a'}@evil.example/"))
    assert (to_server, talk.judged) == ([], [])


@pytest.mark.parametrize("value", ["https://docs.example is where it stands", "12:30", "https: a scheme", "see http:"])
def test_prose_is_no_place(value):
    talk = Talk()
    talk.client(call(1, "say", text=value))
    assert [action.target for action in talk.judged] == [""]


@pytest.mark.parametrize(
    ("sent", "kind", "tool", "target"),
    [
        (request(1, "resources/read", uri="file:///etc/passwd"), "file", "resources/read", "file:///etc/passwd"),
        (request(1, "resources/read", uri="https://x.example/"), "http", "resources/read", "https://x.example/"),
        (request(1, "resources/subscribe", uri="memo://1"), "tool_call", "resources/subscribe", "memo://1"),
        (request(1, "prompts/get", name="greet", arguments={"who": "you"}), "tool_call", "prompts/get", ""),
        (
            request(1, "completion/complete", ref={"type": "ref/prompt", "name": "greet"}, argument={"name": "a", "value": "b"}),
            "tool_call",
            "completion/complete",
            "",
        ),
        (request(1, "vendor/extension", x=1), "tool_call", "vendor/extension", ""),
    ],
)  # fmt: skip
def test_what_else_acts_is_judged_before_it_is_forwarded(sent, kind, tool, target):
    talk = Talk(denied=[tool])
    assert talk.client(sent)[0] == []
    [action] = talk.judged
    assert (action.kind, action.tool, action.target) == (kind, tool, target)


# --- what is refused ----------------------------------------------------------------------------------------------------


def test_a_refused_tool_is_answered_as_a_failed_tool_and_never_reaches_the_server():
    to_server, to_client = Talk(denied=["delete_all"]).client(call("four", "delete_all"))
    assert to_server == []
    assert only(to_client) == {
        "jsonrpc": "2.0",
        "id": "four",
        "result": {"content": [{"type": "text", "text": BLOCKED}], "isError": True},
    }


def test_in_the_era_without_sessions_the_refusal_says_what_kind_of_result_it_is():
    asked = call(1, "delete_all")
    asked["params"]["_meta"] = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    _, to_client = Talk(denied=["delete_all"]).client(asked)
    assert only(to_client)["result"]["resultType"] == "complete"


def test_anything_else_that_is_refused_is_answered_with_an_error():
    _, to_client = Talk(denied=["resources/read"]).client(request(1, "resources/read", uri="file:///etc/shadow"))
    assert only(to_client)["error"] == {"code": -32050, "message": BLOCKED}


def test_a_refused_call_without_an_id_gets_no_answer():
    talk = Talk(denied=["delete_all"])
    assert talk.client({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "delete_all"}}) == ([], [])
    assert len(talk.judged) == 1


def test_of_a_batch_only_what_is_allowed_goes_on_as_it_was_written():
    first, last = b'{"jsonrpc":"2.0", "id":1, "method":"ping"}', b'{"id":3,"jsonrpc":"2.0","method":"tools/list"}'
    sent = b"[" + first + b"," + line(call(2, "delete_all")) + b" ,\t" + last + b"]"
    to_server, to_client = Talk(denied=["delete_all"]).client(sent)
    assert to_server == [b"[" + first + b"," + last + b"]"]
    assert only(to_client)["id"] == 2


@pytest.mark.parametrize(
    "params",
    [None, [], "x", {}, {"name": ["delete_all"]}, {"name": ""}, {"name": 3}, {"name": "look", "arguments": []}, {"name": "a\0b"}],
)  # fmt: skip
def test_a_call_that_is_not_understood_is_never_forwarded(params):
    talk = Talk()
    to_server, to_client = talk.client({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert to_server == []
    assert only(to_client)["error"]["code"] == -32602


@pytest.mark.parametrize(
    "method",
    [
        *(
            "Tools/Call",
            "tools/call ",
            "TOOLS/CALL",
            "Initialize",
            "tools/call\0",
            "tools/call\u200b",
            "tools//call",
            "/tools/call",
        ),
        *("\uff54ools/call", "tools\\call", "\ufefftools/call", "tools/call;"),
    ],
)
def test_a_method_in_other_letters_is_never_forwarded(method):
    assert Talk().client(request(1, method, name="delete_all"))[0] == []


def test_a_call_without_params_is_never_forwarded():
    assert Talk().client({"jsonrpc": "2.0", "id": 1, "method": "tools/call"})[0] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nope",
        b'"text"',
        b"[]",
        b"[1]",
        b'{"jsonrpc":"2.0","id":1,"method":"ping"} {"jsonrpc":"2.0","id":2,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"delete_all"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"delete_all"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"path":"/tmp/a","Path":"/etc/shadow"}}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","argument\u017f":{}}}'.encode(),
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","NAME":"delete_all"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{"a":1,"a":2}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":\r{"jsonrpc":"2.0","id":2,"method":"tools/call"}\r}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 5000 + b'","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 200_000,
        '{"jsonrpc":"2.0","id":1,"method":"ping"}'.encode("utf-16"),
        b'{"jsonrpc":"2.0","id":1,"method":"pi\xff"}',
    ],
)
def test_what_two_readers_could_understand_differently_goes_nowhere(sent):
    talk = Talk()
    to_server, to_client = talk.client(sent)
    assert to_server == []
    assert "error" in only(to_client)
    assert talk.relay.lost


def test_an_id_in_use_cannot_be_used_again_also_in_one_batch():
    talk = Talk()
    assert talk.client(call(1, "look"))[0]
    assert talk.client(call(1.0, "look"))[0] == []
    assert talk.client(line([request("b", "ping"), request("b", "ping")]))[0] == [
        b"[" + line(request("b", "ping")) + b"]"
    ]


# --- what comes back ----------------------------------------------------------------------------------------------------


def test_a_reply_goes_back_once_and_is_noted():
    talk = Talk()
    talk.client(call(1, "look"))
    reply = line(text_result(1, '{"iban": "X1"}'))
    assert talk.server(reply) == ([], [reply])
    [came] = talk.moves.came
    assert (came.action.tool, came.content, came.failed) == ("look", {"iban": "X1"}, False)
    assert talk.server(reply) == ([], [])
    assert talk.relay.lost == {"reply that nobody asked for": 1}


@pytest.mark.parametrize(
    ("reply", "content", "failed"),
    [
        ({"structuredContent": {"a": 1}, "content": [{"type": "text", "text": "{}"}]}, {"a": 1}, False),
        ({"content": [{"type": "text", "text": "no"}], "isError": True}, "no", True),
        ({"content": [{"type": "image", "data": "AAAA", "mimeType": "a/b"}]}, {"type": "image", "mimeType": "a/b"}, False),
        ({"content": [{"type": "resource", "resource": {"uri": "x:y", "text": "hello"}}]}, "hello", False),
        ({"contents": [{"uri": "x:y", "text": "a"}, {"uri": "x:z", "text": "b"}]}, ["a", "b"], False),
    ],
)  # fmt: skip
def test_what_a_call_brought_back_is_noted_with_its_fields(reply, content, failed):
    talk = Talk()
    talk.client(call(1, "look"))
    talk.server(result(1, **reply))
    [came] = talk.moves.came
    assert (came.content, came.failed) == (content, failed)


def test_a_reply_to_an_id_that_was_refused_is_dropped():
    talk = Talk(denied=["delete_all"])
    talk.client(call(1, "delete_all"))
    assert talk.server(text_result(1, "done")) == ([], [])


def test_a_reply_to_a_cancelled_call_goes_on_once_and_its_id_may_be_taken_again():
    talk = Talk()
    talk.client(call(1, "look"))
    talk.client({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
    assert talk.server(text_result(1, "late"))[1]
    assert talk.server(text_result(1, "later")) == ([], [])
    assert talk.client(call(1, "look"))[0]


def test_what_the_server_may_ask_passes_and_its_answer_goes_back_to_it():
    talk = Talk()
    asked = line(request(0, "roots/list"))
    assert talk.server(asked) == ([], [asked])
    answer = line(result(0, roots=[]))
    assert talk.client(answer) == ([answer], [])
    assert talk.client(answer) == ([], [])


def test_what_a_server_may_not_ask_is_refused_to_it():
    to_server, to_client = Talk().server(call(1, "look"))
    assert to_client == []
    assert only(to_server)["error"]["code"] == -32601


def test_an_answer_to_an_elicitation_is_judged_before_it_leaves():
    talk = Talk(denied=["elicitation/create"])
    talk.server(request(5, "elicitation/create", message="Your password?", requestedSchema={"type": "object"}))
    to_server, _ = talk.client(result(5, action="accept", content={"password": "hunter2"}))
    assert only(to_server)["error"]["message"] == BLOCKED
    [action] = talk.judged
    assert action.metadata["arguments"] == {"password": "hunter2"}


def test_both_directions_have_their_own_ids():
    talk = Talk()
    talk.client(call(1, "look"))
    talk.server(request(1, "ping"))
    assert talk.client(result(1))[0]
    assert talk.server(text_result(1, "x"))[1]


@pytest.mark.parametrize("sent", [b"Server running on stdio", b'{"jsonrpc":"2.0","id":9,"result":{}}', b"[[[["])
def test_noise_of_a_server_does_not_reach_the_client(sent):
    assert Talk().server(sent) == ([], [])


# --- bounds -------------------------------------------------------------------------------------------------------------


def test_requests_that_wait_are_bounded():
    talk = Talk(limits=Limits(pending=3))
    assert [bool(talk.client(request(i, "ping"))[0]) for i in range(5)] == [True, True, True, False, False]
    assert talk.relay.lost == {"too many requests at once": 2}


def test_requests_a_second_are_bounded_and_come_back():
    talk = Talk(limits=Limits(rate=2.0, burst=3.0))
    assert [bool(talk.client(request(i, "ping"))[0]) for i in range(5)] == [True, True, True, False, False]
    talk.now = 1.0
    assert [bool(talk.client(request(10 + i, "ping"))[0]) for i in range(3)] == [True, True, False]


def test_a_block_without_a_reason_is_a_block_too():
    talk = Talk()
    talk.verdict = lambda action: Verdict(decision=Decision.BLOCK, reason="")
    to_server, [answer] = talk.client(call(1, "look"))
    assert to_server == []
    assert json.loads(answer)["result"]["isError"]


@pytest.mark.parametrize("id_", [b"1e999", b"-1e999", b"9" * 400, b"9" * 5000])
def test_an_id_that_is_no_number_anybody_can_say_is_refused_and_nothing_breaks(id_):
    to_server, [answer] = Talk().client(
        b'{"jsonrpc":"2.0","id":' + id_ + b',"method":"completion/complete","params":{}}'
    )
    assert to_server == []
    assert json.loads(answer)["error"]["code"] in (-32600, -32700)


def test_what_the_user_asked_is_heard_and_goes_no_further():
    talk = Talk()
    asked = {"kaizen-security/request": "Read the notices.", "progressToken": 7}
    crossing = talk.relay.from_client(line(request(1, "tools/call", name="look", arguments={}, _meta=asked)), 0.0)
    assert [one.text for one in crossing.asked] == ["Read the notices."]
    [sent] = talk.relay.settle(crossing, [Verdict(decision=Decision.ALLOW, reason="ok")]).to_server
    assert json.loads(sent)["params"] == {"name": "look", "arguments": {}, "_meta": {"progressToken": 7}}
    crossing = talk.relay.from_client(line(request(2, "ping", _meta={"kaizen-security/request": ["no text"]})), 0.0)
    assert crossing.asked == ()
    assert json.loads(talk.relay.settle(crossing, []).to_server[0])["params"] == {}
