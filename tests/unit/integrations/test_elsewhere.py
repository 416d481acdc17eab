"""What providers say of tools that they ran themselves, in our words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kaizen_security.integrations.elsewhere import Ran, unwrapped
from kaizen_security.integrations.elsewhere_google import ran_at_google
from kaizen_security.integrations.elsewhere_openai import ran_at_openai

SHELL = {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}}
SHELL_RAN = {"type": "shell_call_output", "id": "sho_1", "call_id": "call_1", "output": [{"stdout": "bill.txt"}]}
PROGRAM = {"type": "program", "id": "p_1", "call_id": "call_2", "code": "text(await tools.read())"}
PROGRAM_RAN = {"type": "program_output", "id": "po_1", "call_id": "call_2", "result": "Pay.", "status": "completed"}


def test_a_shell_call_ran_at_the_provider_only_if_its_output_stands_beside_it():
    assert list(ran_at_openai([SHELL])) == []
    assert list(ran_at_openai([SHELL, SHELL_RAN])) == [
        Ran(
            tool="shell",
            arguments={"commands": ["ls"]},
            id="call_1",
            publisher="openai",
            content=[{"stdout": "bill.txt"}],
        )
    ]


def test_a_program_s_output_may_come_in_a_later_answer_and_is_what_it_brought():
    (begun,) = ran_at_openai([PROGRAM])
    assert (begun.tool, begun.arguments, begun.content) == ("program", {"code": PROGRAM["code"]}, None)
    assert list(ran_at_openai([PROGRAM_RAN])) == [Ran(id="call_2", content="Pay.")]
    (whole,) = ran_at_openai([PROGRAM, PROGRAM_RAN])
    assert (whole.tool, whole.content, whole.failed) == ("program", "Pay.", False)


def test_pages_that_the_answer_cites_are_told_with_the_search():
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "action": {"type": "search", "query": "b1"},
        "status": "completed",
    }
    note = {"type": "url_citation", "url": "https://bills.example", "title": "Bills", "start_index": 0, "end_index": 3}
    said = {"type": "message", "content": [{"type": "output_text", "text": "Pay", "annotations": [note]}]}
    first, second = ran_at_openai([search, {**search, "id": "ws_2"}, said])
    assert first.content == {"cited": [{"url": "https://bills.example", "title": "Bills"}]}
    assert second.content is None


def test_what_a_hosted_server_lists_is_read_and_what_failed_says_so():
    tools = [{"name": "lookup", "description": "Pay first."}]
    listed = {"type": "mcp_list_tools", "id": "l_1", "server_label": "ledger", "tools": tools}
    call = {"type": "mcp_call", "id": "m_1", "server_label": "ledger", "name": "lookup", "arguments": "{}"}
    found = {"type": "tool_search_output", "id": "ts_1", "tools": tools}
    read, failed, searched = ran_at_openai([listed, {**call, "error": "no such bill"}, found])
    assert read == Ran(id="l_1", content={"server_label": "ledger", "tools": tools})
    assert (failed.failed, failed.content) == (True, {"error": "no such bill"})
    assert searched == Ran(id="ts_1", content={"tools": tools})


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"},
        {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}},
        {"type": "mcp_approval_request", "id": "r", "name": "pay", "arguments": "{}"},
        {"type": 5},
        {},
        "words",
        None,
        SimpleNamespace(),
    ],
)
def test_what_the_host_runs_itself_and_what_is_no_item_is_not_told(item):
    assert list(ran_at_openai([item])) == []


@pytest.mark.parametrize(
    "kind", ["web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"]
)
def test_an_item_with_nothing_in_it_raises_nothing(kind):
    (one,) = ran_at_openai([SimpleNamespace(type=kind)])
    assert one.id == ""


def test_json_text_is_unwrapped_and_other_text_is_not():
    assert unwrapped('{"a": 1}') == {"a": 1}
    assert unwrapped("{a") == "{a"
    assert unwrapped("[" * 100_000) == "[" * 100_000
    assert unwrapped("words") == "words"


CODE = {"executable_code": {"code": "print(1)", "language": "PYTHON"}}
OUTPUT = {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "1"}}


def test_google_s_programs_and_their_output_stand_one_behind_the_other_or_come_alone():
    whole, alone = ran_at_google([CODE, OUTPUT, {"text": "One."}, CODE])
    assert (whole.tool, whole.arguments, whole.content, whole.failed) == (
        "code_execution",
        {"code": "print(1)"},
        "1",
        False,
    )
    assert (alone.tool, alone.content) == ("code_execution", None)
    failed = {"code_execution_result": {"outcome": "OUTCOME_FAILED", "output": "no"}}
    assert list(ran_at_google([failed])) == [Ran(content="no", failed=True)]
    assert list(ran_at_google([CODE, OUTPUT], programs=False)) == []


def test_what_google_s_answer_rests_on_is_a_search_or_what_one_that_was_told_of_brought():
    chunks = [{"web": {"uri": "https://b.example", "title": "B"}}]
    grounding = {"web_search_queries": ["b1"], "grounding_chunks": chunks}
    (searched,) = ran_at_google([], grounding)
    assert (searched.tool, searched.arguments, searched.content) == (
        "google_search",
        {"web_search_queries": ["b1"]},
        {"grounding_chunks": chunks},
    )
    call = {"tool_call": {"id": "t1", "tool_type": "GOOGLE_SEARCH_WEB", "args": {"queries": ["b1"]}}}
    answer = {"tool_response": {"id": "t1", "tool_type": "GOOGLE_SEARCH_WEB", "response": {"said": "Pay."}}}
    told, read = ran_at_google([call, answer], grounding)
    assert (told.tool, told.id, told.content) == ("google_search_web", "t1", {"said": "Pay."})
    assert read == Ran(publisher="google", content={"grounding_chunks": chunks})
    assert list(ran_at_google([answer])) == [Ran(id="t1", content={"said": "Pay."})]
    (found,) = ran_at_google([], {"retrieval_queries": ["b1"]})
    assert (found.tool, found.content) == ("retrieval", None)
    (rests,) = ran_at_google([], {"grounding_chunks": chunks})
    assert rests.tool == "grounding"
    assert list(ran_at_google([], {})) == list(ran_at_google([{"text": "One."}])) == []
