"""Every shape of an agent's account that the receiver takes, to the same steps."""

from __future__ import annotations

import json
from time import process_time

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.collectors.traces.account import steps_of
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.step import End, Message, Request, Result
from kaizen_security.testing import bedrock_agents as agents
from kaizen_security.testing.models import ModelServer


def shape(steps):
    """Steps in short."""
    found = []
    for step in steps:
        match step:
            case Action():
                found.append(("call", step.tool, step.metadata["arguments"], step.at))
            case Result():
                found.append(("result", step.content, step.failed, step.at))
            case Request() | Message():
                found.append((type(step).__name__.lower(), step.text, step.at))
            case End():
                found.append(("end", step.completed, step.at))
    return found


def test_events_of_a_bedrock_agent_as_boto3_reads_them():
    with ModelServer() as server:
        server.say(
            agents.answer(
                agents.rationale("I look it up."),
                agents.calls("lookup_order", {"order": "A-1"}),
                agents.returned("shipped"),
                agents.calls_api("get", "/orders/{id}", {"id": "7"}),
                agents.looks_up("returns"),
                agents.runs_code("print(1)"),
                agents.hands_over("billing", "refund it"),
                agents.final("done"),
                agents.text("done"),
            )
        )
        client = boto3.client(
            "bedrock-agent-runtime",
            region_name="eu-central-1",
            endpoint_url=server.url,
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        answer = client.invoke_agent(
            agentId="A" * 10, agentAliasId="B" * 10, sessionId="s1", inputText="hi", enableTrace=True
        )
        events = [event["trace"] for event in answer["completion"] if "trace" in event]
    whole = json.loads(json.dumps(events, default=str))
    steps = steps_of(whole, "support")
    assert [one[:3] for one in shape(steps)] == [
        ("message", "I look it up.", 0.0),
        ("call", "lookup_order", {"order": "A-1"}),
        ("result", "shipped", False),
        ("call", "GET /orders/{id}", {"id": "7"}),
        ("call", "knowledge_base", {"text": "returns"}),
        ("call", "code_interpreter", {"code": "print(1)"}),
        ("call", "billing", {"text": "refund it"}),
        ("message", "done", 0.0),
        ("end", True, 0.0),
    ]
    assert {step.run_id for step in steps} == {agents.SESSION}
    assert shape(steps_of({"events": [{"trace": one} for one in whole]}, "support")) == shape(steps)
    assert [one for event in whole for one in shape(steps_of(event, "support"))] == shape(steps)


def test_what_a_bedrock_agent_hands_back_to_do():
    _, document = agents.wants(("refund", {"order": "A-1"}))
    (step,) = steps_of({"returnControl": document}, "support")
    assert (step.tool, step.metadata["arguments"], step.publisher) == ("refund", {"order": "A-1"}, "orders")
    _, document = agents.wants_api("POST", "/refunds", {"order": "A-1"})
    (step,) = steps_of({"returnControl": document}, "support")
    assert step.tool == "POST /refunds"
    assert step.metadata["arguments"] == {"body application/json": {"order": "A-1"}}


def span(name, begun, ended, parent="p", status=0, **attributes):
    return {
        "traceId": "t1",
        "spanId": name,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(int(begun * 1e9)),
        "endTimeUnixNano": str(int(ended * 1e9)),
        "status": {"code": status},
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": said}} for key, said in attributes.items()
        ],
    }


def otlp(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def test_genai_spans_say_when_each_call_was_under_way():
    tool = span(
        "execute_tool fetch",
        101,
        102,
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name="fetch",
        gen_ai__tool__call__id="c1",
        gen_ai__tool__call__arguments='{"url": "https://a.example/"}',
        gen_ai__tool__call__result='"ok"',
    )
    chat = span(
        "chat",
        100,
        100.5,
        gen_ai__input__messages='[{"role": "user", "parts": [{"type": "text", "content": "read it"}]}]',
    )
    root = span("invoke_agent", 99, 103, parent="", gen_ai__operation__name="invoke_agent")
    assert shape(steps_of(otlp(tool, chat, root), "a")) == [
        ("request", "read it", 100.0),
        ("call", "fetch", {"url": "https://a.example/"}, 101.0),
        ("result", "ok", False, 102.0),
        ("end", True, 103.0),
    ]


def test_the_openai_agents_exporter():
    begun, ended = "2026-01-01T00:00:01+00:00", "2026-01-01T00:00:02+00:00"
    span = {"object": "trace.span", "trace_id": "trace_1", "started_at": begun, "ended_at": ended}
    document = {
        "data": [
            {"object": "trace", "id": "trace_1", "workflow_name": "support"},
            {**span, "id": "s1", "span_data": {"type": "agent", "name": "support"}},
            {
                **span,
                "id": "s2",
                "parent_id": "s1",
                "span_data": {"type": "function", "name": "fetch", "input": '{"u": 1}', "output": "x"},
            },
            {**span, "id": "s3", "parent_id": "s1", "span_data": {"type": "handoff", "to_agent": "billing"}},
        ]
    }
    at = 1767225601.0
    assert sorted(map(str, shape(steps_of(document, "a")))) == sorted(
        map(
            str,
            [
                ("call", "fetch", {"u": 1}, at),
                ("result", "x", False, at + 1),
                ("message", "hand over to billing", at),
                ("end", True, at + 1),
            ],
        )
    )


def test_runs_of_langchain_nested_and_in_batches():
    tool = {
        "id": "t",
        "trace_id": "r",
        "parent_run_id": "r",
        "name": "fetch",
        "run_type": "tool",
        "inputs": {"input": "{'u': 1}"},
        "outputs": {"output": "x"},
        "start_time": "2026-01-01T00:00:01",
        "end_time": "2026-01-01T00:00:02",
    }
    root = {
        "id": "r",
        "name": "agent",
        "run_type": "chain",
        "start_time": "2026-01-01T00:00:00",
        "end_time": "2026-01-01T00:00:03",
    }
    at = 1767225600.0
    expected = [("call", "fetch", {"input": "{'u': 1}"}, at + 1), ("result", "x", False, at + 2), ("end", True, at + 3)]
    told = {**tool, "outputs": None, "end_time": None}
    batch = {"post": [root, told], "patch": [{"id": "t", "outputs": tool["outputs"], "end_time": tool["end_time"]}]}
    assert sorted(shape(steps_of(batch, "a")), key=lambda one: one[-1]) == expected
    nested = {**root, "child_runs": [{**tool, "child_runs": []}]}
    assert sorted(shape(steps_of(nested, "a")), key=lambda one: one[-1]) == expected


def test_steps_as_they_are_with_the_channels_own_agent():
    (step,) = steps_of({"steps": [{"step": "request", "run_id": "r", "text": "x", "agent": "mallory"}]}, "support")
    assert step.agent == "support"


@pytest.mark.parametrize("document", [None, 1, "x", {}, {"a": 1}, [1], [[]], {"steps": 1}, {"steps": [{"step": "x"}]}])
def test_what_is_none_of_them_is_refused(document):
    with pytest.raises(KaizenError):
        steps_of(document, "a")


def of_one_trace(*spans):
    return otlp(*({"traceId": "t", "name": "x", **span} for span in spans))


@pytest.mark.parametrize("said", ["--5", "9" * 5000, "5-", "²", ""], ids=range(5))
def test_an_integer_that_is_none_stays_what_it_is(said):
    attributes = [{"key": "n", "value": {"intValue": said}}, {"key": "gen_ai.prompt", "value": {"intValue": "-5"}}]
    assert steps_of(of_one_trace({"spanId": "s", "attributes": attributes, "endTimeUnixNano": "5"}), "a")[0].at == 5e-9


@pytest.mark.parametrize("key", ["startTimeUnixNano", "endTimeUnixNano"])
@pytest.mark.parametrize("said", [10**400, -(10**400), -1], ids=range(3))
def test_a_time_that_is_none_is_not_stated(key, said):
    assert [step.at for step in steps_of(of_one_trace({"spanId": "s", "endTimeUnixNano": 5, key: said}), "a")] in (
        [5e-9],
        [],
    )


def test_spans_in_a_long_row_are_walked_once():
    row = [{"spanId": f"s{i}", "parentSpanId": f"s{i - 1}", "startTimeUnixNano": "1"} for i in range(9000)]
    began = process_time()
    assert steps_of(of_one_trace(*row), "a") == []
    assert process_time() - began < 10.0


def test_messages_in_messages_as_deep_as_a_document_may_be():
    said = "x"
    for _ in range(5000):
        said = {"messages": said}
    span = {"spanId": "s", "attributes": {"gen_ai.input.messages": said}}
    assert shape(steps_of(of_one_trace(span), "a")) == [("request", "x", 0.0)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "trace data post patch run_type inputs outputs object span_data type orchestrationTrace observation step "
                "invocationInput actionGroupInvocationInput returnControl invocationInputs parameters resourceSpans name "
                "scopeSpans spans attributes steps events id child_runs started_at sessionId value".split()
            ),
            below,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(JSON)
def test_whatever_comes_is_understood_or_refused(document):
    try:
        steps = steps_of(document, "a")
    except KaizenError:
        return
    assert all(step.agent == "a" for step in steps)
