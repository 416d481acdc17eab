"""The hook command of coding assistants: a process for each event, against a real sidecar."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given

from kaizen_security.integrations import hook, lean_json
from tests.properties.strategies import documents

HOOK = Path(hook.__file__)
DENIED = "Blocked by Kaizen: undeclared: this agent used a tool it never declared (WebFetch)."

CALLS = {
    "claude-code": {
        "hook_event_name": "PreToolUse",
        "session_id": "s1",
        "tool_name": "WebFetch",
        "tool_input": {"url": "https://attacker.example/"},
        "tool_use_id": "toolu_1",
    },
    "gemini-cli": {
        "hook_event_name": "BeforeTool",
        "session_id": "s1",
        "tool_name": "WebFetch",
        "tool_input": {"url": "https://attacker.example/"},
    },
    "codex": {
        "hook_event_name": "PreToolUse",
        "session_id": "s1",
        "turn_id": "t1",
        "permission_mode": "default",
        "tool_name": "WebFetch",
        "tool_input": {"url": "https://attacker.example/"},
        "tool_use_id": "call_1",
    },
    "copilot-cli": {
        "hook_event_name": "PreToolUse",
        "session_id": "s1",
        "timestamp": "2026-11-28T00:41:40.356Z",
        "tool_name": "WebFetch",
        "tool_input": {"url": "https://attacker.example/"},
    },
    "cursor": {
        "hook_event_name": "beforeMCPExecution",
        "conversation_id": "s1",
        "tool_name": "WebFetch",
        "tool_input": '{"url": "https://attacker.example/"}',
    },
}


def ran(document, *flags):
    """Status, answer and complaints of the hook for one event."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    done = subprocess.run([sys.executable, "-I", "-S", str(HOOK), *flags], input=data, capture_output=True, timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()


@pytest.fixture
def sidecar(sidecars):
    return sidecars("enforce")


def declared(sidecar, agent, *tools):
    assert sidecar.ask("POST", f"/v1/agents/{agent}/manifest", {"tools": list(tools)})[0] == 202


def text_of(answer):
    inner = answer.get("hookSpecificOutput", answer)
    return inner.get("permissionDecisionReason") or inner.get("reason") or inner.get("agent_message")


@pytest.mark.parametrize("assistant", sorted(CALLS))
def test_a_refused_call_is_denied_in_the_assistant_s_own_words(sidecar, assistant):
    declared(sidecar, f"h-{assistant}", "Read")
    status, answer, _ = ran(CALLS[assistant], "--socket", str(sidecar.socket), "--agent", f"h-{assistant}")
    assert status == 0
    assert "deny" in json.dumps(answer)
    assert text_of(answer).startswith(DENIED)
    assert "Allowed instead: " in text_of(answer)


@pytest.mark.parametrize("assistant", sorted(CALLS))
def test_an_allowed_call_leaves_the_assistant_s_own_rules_in_force(sidecar, assistant):
    declared(sidecar, f"h-ok-{assistant}", "WebFetch")
    status, answer, _ = ran(CALLS[assistant], "--socket", str(sidecar.socket), "--agent", f"h-ok-{assistant}")
    assert (status, answer) == (0, {"permission": "allow"} if assistant == "cursor" else {})


@pytest.mark.parametrize(("mode", "denied"), [("observe", False), ("enforce", True)])
@pytest.mark.parametrize("assistant", sorted(CALLS))
def test_without_a_sidecar_the_declared_mode_answers(tmp_path, assistant, mode, denied):
    status, answer, complaint = ran(CALLS[assistant], "--socket", str(tmp_path / "none.sock"), "--mode", mode)
    assert status == 0
    assert ("deny" in json.dumps(answer)) is denied
    assert complaint.startswith("kaizen: ")


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_an_event_that_cannot_be_read_is_no_consent_in_enforce(data):
    assert ran(data, "--mode", "enforce")[0] == 2
    assert ran(data)[0] == 0


def test_a_sidecar_that_says_nothing_or_nonsense_is_none(tmp_path):
    import socket

    place = str(tmp_path / "s.sock")
    for answered in (
        b"",
        b"nonsense",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n{} {}",
        b"HTTP/1.1 500 X\r\n\r\n{}",
    ):
        with socket.socket(socket.AF_UNIX) as listening:
            Path(place).unlink(missing_ok=True)
            listening.bind(place)
            listening.listen()

            def serve(listening=listening, answered=answered):
                with listening.accept()[0] as held:
                    held.recv(65536)
                    held.sendall(answered)

            thread = threading.Thread(target=serve)
            thread.start()
            _, answer, _ = ran(CALLS["claude-code"], "--socket", place, "--mode", "enforce")
            thread.join()
        assert "deny" in json.dumps(answer), answered


def test_a_sidecar_that_took_a_call_and_answers_with_nonsense_is_asked_once(tmp_path):
    import socket

    place, asked = str(tmp_path / "s.sock"), []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()

        def serve():
            while True:
                held = listening.accept()[0]
                with held:
                    if not (said := held.recv(65536)):
                        return
                    asked.append(said)
                    held.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        _, answer, _ = ran(CALLS["claude-code"], "--socket", place, "--mode", "enforce")
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(place)
        thread.join()
    assert "deny" in json.dumps(answer)
    assert len(asked) == 1


def test_a_run_has_its_request_its_results_and_its_end(sidecar):
    agent = "h-run"
    declared(sidecar, agent, "Read")
    flags = "--socket", str(sidecar.socket), "--agent", agent
    call = {**CALLS["claude-code"], "tool_name": "Read", "tool_input": {"file_path": "/srv/a"}}
    after = {**call, "hook_event_name": "PostToolUse", "tool_response": {"content": "a"}}
    prompt = {"hook_event_name": "UserPromptSubmit", "session_id": "s1", "prompt": "Read it."}
    for event in (prompt, call, after, {"hook_event_name": "SessionEnd", "session_id": "s1"}):
        assert ran(event, *flags) == (0, {}, "")
    profile = sidecar.ask("GET", f"/v1/agents/{agent}/profile")[1]["profile"]
    assert profile["seen"] == 1


def test_what_cursor_shows_of_a_file_before_it_is_read_is_what_the_reading_brought(sidecar):
    declared(sidecar, "h-shown", "Read")
    flags = "--socket", str(sidecar.socket), "--agent", "h-shown"
    reading = {"hook_event_name": "beforeReadFile", "conversation_id": "s1", "file_path": "/srv/a", "content": "eggs"}
    for event in (reading, {"hook_event_name": "sessionEnd", "session_id": "s1"}):
        assert ran(event, *flags)[::2] == (0, "")
    assert sidecar.ask("GET", "/v1/agents/h-shown/profile")[1]["profile"]["seen"] == 1
    # A file that is too large to be told of may be read all the same.
    large = reading | {"conversation_id": "s2", "content": "x" * (5 << 20)}
    status, answer, complaint = ran(large, *flags, "--mode", "enforce")
    assert (status, answer) == (0, {"permission": "allow"})
    assert complaint.startswith("kaizen: ")


def test_a_call_of_a_sub_agent_is_asked_under_its_own_name(sidecar):
    declared(sidecar, "h-sub", "WebFetch")
    declared(sidecar, "h-sub/reviewer", "Read")
    event = {**CALLS["claude-code"], "agent_id": "a1", "agent_type": "reviewer"}
    _, answer, _ = ran(event, "--socket", str(sidecar.socket), "--agent", "h-sub")
    assert text_of(answer).startswith(DENIED)


def test_a_sub_agent_s_session_is_the_whole_session(sidecar):
    """What the user asked holds for it, what its tools bring completes its calls, and the end is its own too."""
    declared(sidecar, "h-team", "Task")
    declared(sidecar, "h-team/worker", "Read")
    flags = "--socket", str(sidecar.socket), "--agent", "h-team"
    whole = {"session_id": "s1", "tool_use_id": "toolu_1"}
    task = whole | {"tool_name": "Task", "tool_input": {"prompt": "go"}}
    of = {"agent_id": "a1", "agent_type": "worker", "tool_use_id": "toolu_2"}
    reading = whole | of | {"tool_name": "Read", "tool_input": {"file_path": "/srv/a"}}
    for event in (
        whole | {"hook_event_name": "UserPromptSubmit", "prompt": "Read it."},
        task | {"hook_event_name": "PreToolUse"},
        reading | {"hook_event_name": "PreToolUse"},
        reading | {"hook_event_name": "PostToolUse", "tool_response": {"content": "a"}},
        task | {"hook_event_name": "PostToolUse", "tool_response": "done"},
        whole | {"hook_event_name": "SessionEnd"},
    ):
        assert ran(event, *flags) == (0, {}, "")
    for agent in ("h-team", "h-team/worker"):
        profile = sidecar.ask("GET", f"/v1/agents/{agent.replace('/', '%2F')}/profile")[1]["profile"]
        assert profile["seen"] == 1, agent


def test_an_event_loads_next_to_nothing(sidecar):
    """What it costs is what it loads (`benchmarks integrations` says it in milliseconds)."""
    declared(sidecar, "h-lean", "WebFetch")
    lean = {
        "__future__", "_socket", "_json", "kaizen_security", "kaizen_security.integrations",
        "kaizen_security.integrations.coding", "kaizen_security.integrations.hook_client",
        "kaizen_security.integrations.lean_json",
    }  # fmt: skip
    for assistant, event in CALLS.items():
        flags = "-I", "-S", "-X", "importtime", str(HOOK), "--socket", str(sidecar.socket), "--agent", "h-lean"
        data = json.dumps(event).encode()
        done = subprocess.run([sys.executable, *flags], input=data, capture_output=True, timeout=60, check=True)
        bare = subprocess.run([sys.executable, *flags[:4], "-c", ""], capture_output=True, timeout=60, check=True)
        loaded, before = (
            {line.rpartition("|")[2].strip() for line in one.stderr.decode().splitlines()} for one in (done, bare)
        )
        # An assistant that gives its calls no ids needs a hash.
        assert loaded - before - lean <= {"_sha256", "_sha2"}, assistant


@given(documents)
def test_documents_are_read_and_written_as_json_itself_does_it(document):
    text = json.dumps(document)
    assert lean_json.dumps(document) == text
    assert lean_json.loads(f" {text}\n".encode()) == document
    assert lean_json.dumps({"b": 1, "a": [document]}, sort_keys=True) == json.dumps(
        {"b": 1, "a": [document]}, sort_keys=True
    )


@pytest.mark.parametrize("data", [b"", b" ", b"{", b"{} {}", b"nul", b"\xff", b'{"a"}', b"[1,]", b'"\x01"'])
def test_what_is_no_document_is_an_error_of_value(data):
    with pytest.raises(ValueError):
        lean_json.loads(data)


def test_what_is_no_json_is_refused():
    with pytest.raises(TypeError, match="object is no JSON"):
        lean_json.dumps({"a": object()})


def test_another_interpreter_reads_and_writes_with_json(monkeypatch):
    monkeypatch.setattr(lean_json, "make_scanner", None)
    assert lean_json.loads(b'{"a": 1}') == {"a": 1}
    assert lean_json.dumps({"b": 1, "a": 2}, sort_keys=True) == '{"a": 2, "b": 1}'


def test_an_equal_call_after_the_result_of_the_first_is_another(sidecar):
    declared(sidecar, "h-again", "WebFetch")
    flags = "--socket", str(sidecar.socket), "--agent", "h-again"
    call = CALLS["gemini-cli"]
    before = sidecar.health()["holds"]["inspected"]
    for _ in range(3):
        assert ran(call, *flags) == (0, {}, "")
        assert ran(call, *flags) == (0, {}, "")  # asked again before its result: the same
        assert ran(call | {"hook_event_name": "AfterTool", "tool_response": "x"}, *flags) == (0, {}, "")
    assert sidecar.health()["holds"]["inspected"] - before == 3


def bash(**arguments):
    return {
        "hook_event_name": "PreToolUse",
        "session_id": "s1",
        "tool_name": "Bash",
        "tool_input": arguments,
        "tool_use_id": "toolu_odd",
    }


def deep(depth):
    head = json.dumps(bash(command="x")).partition('"x"')[0]
    return (head + "[" * depth + "1" + "]" * depth + '}, "tool_use_id": "toolu_deep"}').encode()


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(bash(command="curl \0 https://attacker.example"), id="NUL"),
        pytest.param(bash(command="curl \ud800 https://attacker.example"), id="half a pair"),
        pytest.param(bash(command="#" * 1_200_000 + "\ncurl https://attacker.example"), id="over a megabyte"),
        pytest.param(bash(command="x", wait=float("nan")), id="no number"),
        pytest.param(deep(300), id="deeper than a sidecar reads"),
        pytest.param(deep(988), id="deeper than Python writes"),
        pytest.param(bash(command="x") | {"tool_name": "T" * 300}, id="a long name"),
    ],
)
@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_what_a_sidecar_does_not_take_as_it_is_is_judged_all_the_same(sidecar, event, mode):
    declared(sidecar, "h-odd", "Read")
    status, answer, complaints = ran(event, "--socket", str(sidecar.socket), "--agent", "h-odd", "--mode", mode)
    assert status == 0, complaints
    assert text_of(answer).startswith("Blocked by Kaizen: undeclared")


def test_a_result_that_is_too_long_is_told_as_far_as_it_is_taken(sidecar):
    came = bash(command="x") | {"hook_event_name": "PostToolUse", "tool_response": "A" * 3_000_000}
    status, _, complaints = ran(came, "--socket", str(sidecar.socket), "--agent", "h-odd")
    assert (status, complaints) == (0, "")
