"""Traces of other programs become recorded runs: real exports, every generation of the conventions, and hostile ones."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given

from kaizen_security.cli import main
from kaizen_security.collectors.traces import langfuse, otel, runs
from kaizen_security.collectors.traces.langfuse import Langfuse
from kaizen_security.collectors.traces.otel import Otel
from kaizen_security.contract.bundle import Bundle
from kaizen_security.runtime.replay import Replayer
from tests.properties import strategies as s

RECORDED = Path(__file__).parent / "recorded"
TASK, RESULT = "What do I owe for March?", "48.00 to NL91ABNA0417164300"
STEPS = [
    {"role": "call", "tool": "read_bill", "args": {"month": "March"}, "id": "call_1"},
    {"role": "result", "tool": "read_bill", "content": RESULT, "id": "call_1", "error": None},
]


def recorded(*names):
    return [json.loads((RECORDED / f"{name}.json").read_text()) for name in names]


def converted(decoder, *documents):
    for document in documents:
        decoder.take(document)
    return list(decoder.documents())


def span(id_="s1", trace="t1", parent="", at=1, name="chat m", **attributes):
    """A span in OTLP/JSON's own form, with attributes as an object."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return {
        "traceId": trace,
        "spanId": id_,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(at),
        "attributes": named,
    }


# --- real exports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [("events-spans", "events-logs"), ("events-logs", "events-spans"), ("messages-spans",)]
)
def test_what_real_instrumentations_exported_becomes_the_run_that_it_was(names):
    (run,) = converted(Otel(), *recorded(*names))
    assert (run["id"], run["agent"], run["user_task"]) == ("conv-1", "billing", TASK)
    assert run["steps"] == STEPS
    assert (run["label"], run["meta"]["model"]) == ("benign", "fake")


def test_an_exporter_that_keeps_content_back_gives_calls_without_arguments_and_that_is_said():
    decoder = Otel()
    (run,) = converted(decoder, *recorded("no-content-spans", "no-content-logs"))
    assert run["user_task"] == ""
    assert run["steps"][0]["args"] == {}
    assert decoder.losses["runs without a request"] == 1


def test_what_langfuses_own_sdk_sends_becomes_the_run_that_it_was():
    (run,) = converted(Langfuse(), *recorded("langfuse-spans"))
    assert (run["agent"], run["user_task"], run["steps"]) == ("billing", TASK, STEPS)


def test_a_converted_run_is_replayed_like_any_recorded_one():
    (run,) = converted(Otel(), *recorded("messages-spans"))
    (found,) = Replayer(Bundle(agent="", version=1)).take(json.loads(json.dumps(run)))
    assert [one.action.tool for one in found.judged] == ["read_bill"]


# --- the generations of the conventions ---------------------------------------------------------------------------------

CALL = {"id": "call_1", "type": "function", "function": {"name": "read_bill", "arguments": '{"month": "March"}'}}
HISTORY = [
    {"role": "user", "content": TASK},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
]
GENERATIONS = {
    "numbered attributes": span(
        gen_ai__prompt__0__role="user",
        gen_ai__prompt__0__content=TASK,
        gen_ai__prompt__1__role="assistant",
        gen_ai__prompt__1__tool_calls__0__id="call_1",
        gen_ai__prompt__1__tool_calls__0__name="read_bill",
        gen_ai__prompt__1__tool_calls__0__arguments='{"month": "March"}',
        gen_ai__prompt__2__role="tool",
        gen_ai__prompt__2__content=RESULT,
        gen_ai__prompt__2__tool_call_id="call_1",
        gen_ai__completion__0__role="assistant",
        gen_ai__completion__0__content="You owe 48.00.",
    ),
    "content in span events": span()
    | {"events": [{"name": "gen_ai.content.prompt", "attributes": {"gen_ai.prompt": json.dumps(HISTORY)}}]},
    "messages as span events": span()
    | {
        "events": [
            {"name": "gen_ai.user.message", "attributes": {"content": TASK}},
            {"name": "gen_ai.choice", "attributes": {"message": json.dumps(HISTORY[1])}},
            {"name": "gen_ai.tool.message", "attributes": {"id": "call_1", "content": RESULT}},
        ]
    },
    "messages in one event": span()
    | {
        "events": [
            {
                "name": "gen_ai.client.inference.operation.details",
                "attributes": {"gen_ai.input.messages": json.dumps(HISTORY)},
            }
        ]
    },
    "structured messages": span(
        gen_ai__input__messages=[
            {"role": "user", "parts": [{"type": "text", "content": TASK}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "call_1", "name": "read_bill", "arguments": {"month": "March"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": RESULT}]},
        ]
    ),
    "the messages of another API": span(
        gen_ai__input__messages=[
            {"role": "user", "content": [{"type": "text", "text": TASK}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "read_bill", "input": {"month": "March"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": RESULT}]}
                ],
            },
        ]
    ),
}


@pytest.mark.parametrize("name", GENERATIONS)
def test_each_generation_of_the_conventions_gives_the_same_run(name):
    (run,) = converted(Otel(), GENERATIONS[name])
    assert (run["user_task"], run["steps"]) == (TASK, STEPS)


def test_a_tool_span_with_arguments_and_result_needs_no_message():
    said = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "read_bill",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.call.arguments": '{"month": "March"}',
        "gen_ai.tool.call.result": RESULT,
    }
    (run,) = converted(Otel(), span(name="execute_tool read_bill") | {"attributes": said})
    assert run["steps"] == STEPS
    failed = span(name="execute_tool read_bill") | {"attributes": said, "status": {"code": 2}}
    (run,) = converted(Otel(), failed)
    assert run["steps"][1]["error"] == "failed"


def test_a_span_as_an_sdk_prints_it_is_taken():
    printed = {
        "name": "chat m",
        "context": {"trace_id": "0xabc", "span_id": "0x1"},
        "parent_id": None,
        "start_time": "2030-01-01T00:00:00.5Z",
        "attributes": {"gen_ai.input.messages": json.dumps(HISTORY)},
    }
    (run,) = converted(Otel(), [printed])
    assert (run["id"], run["steps"]) == ("0xabc", STEPS)


def test_history_that_is_repeated_counts_once_and_a_call_that_is_made_twice_twice():
    first = span("a", at=1, gen_ai__input__messages=HISTORY)
    again = [*HISTORY, {"role": "assistant", "tool_calls": [CALL | {"id": "call_2"}]}]
    second = span("b", at=2, gen_ai__input__messages=again)
    (run,) = converted(Otel(), second, first)
    assert [step["id"] for step in run["steps"]] == ["call_1", "call_1", "call_2"]
    nameless = {"role": "assistant", "tool_calls": [{"function": {"name": "ping", "arguments": "{}"}}]}
    (run,) = converted(
        Otel(), span(gen_ai__input__messages=[nameless, nameless]), span("b", at=2, gen_ai__input__messages=[nameless])
    )
    assert [step["tool"] for step in run["steps"]] == ["ping", "ping"]


def test_agents_of_one_trace_have_runs_of_their_own_and_a_conversation_spans_traces():
    agent = span("root", name="invoke_agent a", gen_ai__agent__name="first", gen_ai__conversation__id="c")
    other = span("sub", parent="root", name="invoke_agent b", gen_ai__agent__name="second")
    asked = {"gen_ai__input__messages": HISTORY}
    talks = [span("x", parent="root", at=2, **asked), span("y", parent="sub", at=3, **asked)]
    later = span("z", trace="t2", at=9, gen_ai__conversation__id="c", gen_ai__agent__name="first", **asked)
    found = converted(Otel(), agent, other, *talks, later)
    assert [(run["agent"], len(run["steps"])) for run in found] == [("first", 2), ("second", 2)]
    assert len({run["id"] for run in found}) == 2


# --- Langfuse's exports -------------------------------------------------------------------------------------------------

ROWS = [
    {
        "id": "o1",
        "traceId": "t",
        "type": "AGENT",
        "name": "billing",
        "startTime": "2030-01-01T00:00:00Z",
        "input": TASK,
    },
    {
        "id": "o2",
        "traceId": "t",
        "parentObservationId": "o1",
        "type": "GENERATION",
        "name": "chat",
        "startTime": "2030-01-01T00:00:01Z",
        "providedModelName": "fake",
        "input": [HISTORY[0]],
        "output": HISTORY[1],
    },
    {
        "id": "o3",
        "traceId": "t",
        "parentObservationId": "o1",
        "type": "TOOL",
        "name": "read_bill",
        "startTime": "2030-01-01T00:00:02Z",
        "input": {"month": "March"},
        "output": RESULT,
    },
]


def snake(row):
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): value for key, value in row.items()}


@pytest.mark.parametrize(
    "documents",
    [
        ROWS,
        [list(reversed(ROWS))],
        [{"data": ROWS, "meta": {}}],
        [{"id": "t", "name": "other name", "observations": ROWS}],
        [{"trace": {"id": "t", "name": "other name"}, "observations": json.dumps(ROWS)}],
        [snake(row) for row in ROWS],
        [{**row, "input": json.dumps(row.get("input")), "output": json.dumps(row.get("output"))} for row in ROWS],
    ],
)
def test_every_form_of_an_export_gives_the_same_run(documents):
    (run,) = converted(Langfuse(), *documents)
    assert (run["agent"], run["user_task"], run["steps"]) == ("billing", TASK, STEPS)
    assert run["meta"]["model"] == "fake"


def test_without_a_model_the_root_says_what_was_asked_and_the_trace_who():
    rows = [ROWS[0] | {"type": "SPAN"}, ROWS[2]]
    (run,) = converted(Langfuse(), {"id": "t", "name": "billing-bot", "observations": rows})
    assert (run["agent"], run["user_task"]) == ("billing-bot", TASK)
    assert [step["tool"] for step in run["steps"]] == ["read_bill", "read_bill"]


# --- hostile --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "key"), [(Otel, "parentSpanId"), (Langfuse, "parentObservationId")])
def test_parents_in_a_circle_end(kind, key):
    one = {"id": "a", "spanId": "a", "traceId": "t", key: "b", "type": "GENERATION", "input": HISTORY}
    two = {"id": "b", "spanId": "b", "traceId": "t", key: "a", "type": "SPAN"}
    one["attributes"] = {"gen_ai.input.messages": HISTORY}
    decoder = kind()
    (run,) = converted(decoder, one, two)
    assert run["steps"] == STEPS
    assert any("their own ancestors" in reason for reason in decoder.losses)


@pytest.mark.parametrize("kind", [Otel, Langfuse])
def test_what_has_no_id_or_is_nothing_is_counted(kind):
    decoder = kind()
    assert (
        converted(decoder, 7, None, {}, {"traceId": "t"}, [[{"spanId": 7}]], {"resourceSpans": [7, {"scopeSpans": 7}]})
        == []
    )
    assert sum(decoder.losses.values()) >= 4


def test_bounds_are_kept_and_what_is_beyond_is_counted(monkeypatch):
    monkeypatch.setattr(otel, "MAX_SPANS", 2)
    monkeypatch.setattr(langfuse, "MAX_OBSERVATIONS", 2)
    monkeypatch.setattr(runs, "MAX_STEPS", 1)
    decoder = Otel()
    (run,) = converted(decoder, *(span(str(n), at=n, gen_ai__input__messages=HISTORY) for n in range(5)))
    assert len(run["steps"]) == 1
    assert decoder.losses["spans beyond the bound"] == 3
    other = Langfuse()
    converted(other, *ROWS)
    assert other.losses["observations beyond the bound"] == 1


@given(s.documents)
def test_no_document_whatever_brings_a_converter_down(document):
    for kind in (Otel, Langfuse):
        wrapped = {"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]}
        held = span(gen_ai__input__messages=document, gen_ai__output__messages=[document])
        found = converted(
            kind(), document, [document], wrapped, held, {**ROWS[1], "input": document, "output": [document]}
        )
        json.dumps(found)


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_command_reads_lines_lists_and_gz_and_replay_takes_what_it_writes(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS) + "\nnonsense\n")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps([row | {"traceId": "u"} for row in ROWS]).encode()))
    out = tmp_path / "runs.jsonl.gz"
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.json.gz")]
    assert main(["convert", "langfuse", *files, "-o", str(out)]) == 0
    said = capsys.readouterr().err
    assert "2 runs with 4 steps, 2 of them with what the user asked" in said
    assert "line 4 is not valid JSON" in said
    assert "1 lines could not be read" in said
    assert main(["replay", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["summary"]["actions"] == 2


def test_csv_is_read_with_documents_in_its_cells(tmp_path, capsys):
    held = io.StringIO()
    writer = csv.DictWriter(
        held, ["id", "traceId", "parentObservationId", "type", "name", "startTime", "input", "output"]
    )
    writer.writeheader()
    for row in ROWS:
        kept = {key: value for key, value in row.items() if key in writer.fieldnames}
        writer.writerow({key: value if isinstance(value, str) else json.dumps(value) for key, value in kept.items()})
    (tmp_path / "x.csv").write_text(held.getvalue())
    assert main(["convert", "langfuse", str(tmp_path / "x.csv"), "-o", "-", "--agent", "mine"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert (run["agent"], run["steps"]) == ("mine", STEPS)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("none.json", None, "none.json cannot be read"),
        ("cut.json.gz", gzip.compress(b"[1, 2, 3]" * 999, mtime=0)[:-20], "cut.json.gz cannot be read"),
        ("empty.json", b"", "0 runs"),
        ("deep.json", b"[" * 100_000, "not valid JSON"),
    ],
    ids=["missing", "cut off", "empty", "deep"],
)
def test_a_file_that_cannot_be_used_is_named_and_leaves_nothing_behind(tmp_path, capsys, monkeypatch, name, data, says):
    monkeypatch.chdir(tmp_path)
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert main(["convert", "otel", name, "-o", "out.jsonl"]) == 1
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("*.part"))


def test_a_file_over_the_bound_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kaizen_security.cli.convert.MAX_BYTES", 10)
    (tmp_path / "x.json").write_text("[1, 2, 3, 4, 5]")
    assert main(["convert", "otel", str(tmp_path / "x.json"), "-o", str(tmp_path / "o")]) == 1
    assert "split it" in capsys.readouterr().err
