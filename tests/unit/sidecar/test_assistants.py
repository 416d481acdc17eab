"""Coding assistants whose hook was taken out, or says nothing while their session goes on, are dark; others are not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from kaizen_security.cli import main
from kaizen_security.contract.action import Action
from kaizen_security.contract.step import Result
from kaizen_security.contract.verdict import Verdict
from kaizen_security.runtime import clock as time
from kaizen_security.server.setup import mint_key
from kaizen_security.setup.entered import amiss, noted
from kaizen_security.setup.hooks import ASSISTANTS
from kaizen_security.sidecar.assistants import EVERY, FORGOTTEN, MOST, QUIET, UNTOLD, Assistants
from kaizen_security.sidecar.connections import Protocol
from kaizen_security.sidecar.heartbeats import SILENCE, Heartbeats, Session
from kaizen_security.sidecar.run import Parts, Server, unix_socket
from kaizen_security.sidecar.settings import Settings
from kaizen_security.store.base import Scope
from tests.e2e.sidecar_process import Process, until
from tests.unit.console.site import running


class Clock:
    """Unix seconds; stands still until it is told."""

    def __init__(self):
        self.now = time.now()

    def __call__(self):
        return self.now


class Watch:
    """Assistants over heartbeats, by a clock of the test's; ``folder`` is what ``kaizen attach`` noted."""

    def __init__(self, tmp_path):
        self.clock, self.told = Clock(), []
        report = lambda action, verdict: bool(self.told.append((action, verdict)) or True)  # noqa: E731
        self.beats = Heartbeats(self.clock, lambda: f"id{len(self.told)}", report, None, None)
        self.folder = tmp_path / "data" / "attach" / "entered"
        self.assistants = Assistants(self.beats, self.clock, self.folder, tmp_path / "s.sock")
        self.transcript = tmp_path / "session.jsonl"

    def session(self, id_="s1", *, over=False):
        said = Session(agent="a", id=id_, source="claude-code", transcript=str(self.transcript), over=over)
        self.assistants.told(said)

    def wrote(self, ago=0.0):
        self.transcript.touch()
        os.utime(self.transcript, (self.clock.now - ago,) * 2)

    def after(self, seconds, every=EVERY):
        """Look every 30 seconds until that many have passed; the states by source."""
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now = min(self.clock.now + every, until)
            asyncio.run(self.assistants.look())
            self.beats.settle()
        return self.states()

    def states(self):
        return {one["source"]: one["state"] for one in self.beats.shown()}


@pytest.fixture
def watch(tmp_path):
    return Watch(tmp_path)


# --- sessions


def test_a_session_that_rests_is_not_dark_and_is_over_after_an_hour(watch):
    watch.session()
    watch.wrote()
    assert watch.after(QUIET - 60) == {"claude-code": "alive"}
    assert watch.after(120) == {"claude-code": "left"}
    assert watch.told == []


def test_a_session_that_goes_on_while_its_hook_says_nothing_is_dark(watch):
    watch.session()
    watch.after(UNTOLD + 10)
    watch.wrote()
    assert watch.after(SILENCE - 35) == {"claude-code": "alive"}
    assert watch.after(70) == {"claude-code": "dark"}
    assert watch.after(300) == {"claude-code": "dark"}
    ((action, verdict),) = watch.told
    assert (action.agent, action.kind, verdict.evidence[0].kind) == ("a", "attach_point", "dark agent")
    assert "its transcript shows" in verdict.evidence[0].observed
    assert str(watch.transcript) not in repr(verdict)
    watch.session()
    assert watch.states() == {"claude-code": "alive"}


@pytest.mark.parametrize("over", [False, True])
def test_what_is_written_within_a_command_s_time_says_nothing(watch, over):
    watch.session(over=over)
    watch.clock.now += UNTOLD - 10
    watch.wrote()
    watch.after(300)
    assert watch.told == []


def test_a_session_that_said_goodbye_and_goes_on_is_dark(watch):
    watch.session(over=True)
    assert watch.states() == {"claude-code": "left"}
    watch.clock.now += UNTOLD + 10
    watch.wrote()
    assert watch.after(SILENCE + 35) == {"claude-code": "dark"}


def test_calls_and_results_of_a_session_are_signs_of_life_those_of_a_sub_agent_too(watch):
    watch.session()
    call = Action(tool="Read", agent="a/reviewer", run_id="s1", delegation=("a",), metadata={"source": "claude-code"})
    for step in (call, Result(run_id="s1", action_id="x", agent="a")):
        watch.clock.now += UNTOLD - 10
        watch.assistants.heard(step)
    watch.clock.now += UNTOLD - 10
    watch.wrote()
    watch.after(300)
    assert watch.told == []


def test_a_session_is_known_by_its_calls_and_a_run_of_anybody_else_is_none(watch):
    watch.assistants.heard(Action(tool="Read", agent="a", run_id="s1", metadata={"source": "cursor"}))
    watch.assistants.heard(Action(tool="Read", agent="b", run_id="s2", metadata={"source": "sdk"}))
    watch.assistants.heard(Result(run_id="s3", action_id="x", agent="c"))
    assert [(one["agent"], one["process"], one["source"]) for one in watch.beats.shown()] == [("a", "s1", "cursor")]


def test_sessions_are_bounded_and_forgotten(watch):
    for i in range(MOST + 5):
        watch.session(f"s{i}")
    assert len(watch.assistants._sessions) == MOST
    watch.after(FORGOTTEN + QUIET + 900, every=600)
    assert (len(watch.assistants._sessions), watch.beats.shown(), watch.told) == (0, [], [])


# --- settings


@pytest.fixture
def attach(tmp_path, monkeypatch):
    """``kaizen attach`` for a project, whose settings are at ``path``."""
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))
    project = tmp_path / "project"

    def run(assistant, *flags):
        flags = ("--folder", str(project), "--socket", str(tmp_path / "s.sock"), *flags)
        assert main(["attach", assistant, *flags]) == 0
        return project / ASSISTANTS[assistant].project

    return run


@pytest.mark.parametrize("assistant", sorted(ASSISTANTS))
def test_a_hook_that_is_taken_out_is_dark_and_one_that_is_undone_is_not(watch, attach, assistant):
    source = f"{assistant} settings"
    path = attach(assistant, "--write")
    assert watch.after(60) == {source: "alive"}
    whole = path.read_text()
    path.write_text("{}")
    assert watch.after(SILENCE + 35) == {source: "dark"}
    assert "is not asked any more" in watch.told[0][1].reason
    path.write_text(whole)
    assert watch.after(EVERY) == {source: "alive"}
    attach(assistant, "--undo", "--write")
    assert watch.after(SILENCE + 35) == {source: "left"}
    assert len(watch.told) == 1


def test_only_what_was_written_is_noted_and_a_note_for_another_sidecar_is_not_ours(watch, attach, tmp_path):
    attach("claude-code")
    assert noted(str(watch.folder)) == ()
    attach("claude-code", "--write", "--socket", str(tmp_path / "other.sock"))
    assert len(noted(str(watch.folder))) == 1
    assert watch.after(60) == {}
    attach("claude-code", "--write", "--agent", "x")
    attach("claude-code", "--write", "--agent", "y")
    watch.after(30)
    assert [one["agent"] for one in watch.beats.shown()] == ["y"]


def test_the_event_loop_never_asks_a_file_system_about_a_note(watch, attach, monkeypatch):
    """The socket that a note names may lie on one that hangs."""
    attach("claude-code", "--write")
    asked, real = set(), os.path.realpath

    def asks(path, **more):
        asked.add(threading.current_thread().name)
        return real(path, **more)

    monkeypatch.setattr(os.path, "realpath", asks)
    watch.after(30)
    assert watch.states() == {"claude-code settings": "alive"}
    assert asked == {"assistants"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["hooks"].pop("PreToolUse"), "its hook is not entered for PreToolUse any more"),
        (lambda d: d.update(hooks=[]), "its hook is not entered for PreToolUse any more"),
        (
            lambda d: d["hooks"]["PreToolUse"][0].update(matcher="Read"),
            "its hook is not entered for PreToolUse any more",
        ),
        (
            lambda d: d["hooks"]["PreToolUse"][0]["hooks"][0].update(command="true"),
            "its hook is not entered for PreTool",
        ),
        (lambda d: d.update(disableAllHooks=True), "its settings switch all hooks off"),
        (lambda d: d["hooks"]["PreToolUse"][0].update(matcher="*"), ""),
        (lambda d: d["hooks"]["PreToolUse"].insert(0, 7), ""),
    ],
)
def test_what_is_amiss_with_a_hook_is_said(watch, attach, change, says):
    path = attach("claude-code", "--write")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    (entered,) = noted(str(watch.folder))
    assert amiss(entered).startswith(says)
    assert bool(amiss(entered)) == bool(says)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", None])
def test_a_file_that_is_gone_or_broken_has_no_hook(watch, attach, data):
    path = attach("claude-code", "--write")
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    (entered,) = noted(str(watch.folder))
    assert amiss(entered)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_hooks_within_hooks_in_the_place_of_the_settings_stop_nobody(watch, attach):
    path = attach("claude-code", "--write")
    (entered,) = noted(str(watch.folder))
    deep = '{"hooks": [' * 490 + "{}" + "]}" * 490
    path.write_text(f'{{"hooks": {{"{entered.events[0]}": [{deep}]}}}}')
    assert amiss(entered)
    path.unlink()
    os.mkfifo(path)
    assert "cannot be read" in amiss(entered)
    path.unlink()
    path.mkdir()
    assert "cannot be read" in amiss(entered)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"path": 7}'])
def test_a_note_that_cannot_be_read_is_left_out(watch, attach, text):
    attach("claude-code", "--write")
    (note,) = watch.folder.iterdir()
    note.write_text(text)
    assert noted(str(watch.folder)) == ()


# --- from the assistant's hook to the console


@contextmanager
def served(parts, place):
    """The sidecar's HTTP on its Unix socket, in a thread."""
    socket = unix_socket(place)
    config = uvicorn.Config(parts.app(), http=Protocol, lifespan="off", access_log=False, log_level="warning")
    server = Server(config, parts.release)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[socket])))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
        parts.uplink.stop()


def test_the_sidecar_finds_what_was_entered_beside_its_own_data(tmp_path, attach):
    data = tmp_path / "data" / "sidecar"
    data.mkdir(parents=True)
    attach("cursor", "--write", "--socket", str(data / "s.sock"))
    sidecar = Process(data).start()
    try:
        heard = lambda: sidecar.ask("GET", "/v1/heartbeats")[1]["points"]  # noqa: E731
        (point,) = until(heard, "the settings are looked at")
        assert (point["agent"], point["source"], point["state"]) == ("cursor", "cursor settings", "alive")
    finally:
        sidecar.stop()


def test_an_assistant_without_its_hook_is_dark_in_the_console(tmp_path, attach):
    agent = "claude-code"
    with running(tmp_path / "site") as site:
        site.keep(Action(tool="t", agent=agent, id="1"), Verdict())
        clock = Clock()
        key = mint_key(site.store, name="side", scope=Scope.OBSERVER)
        entered = tmp_path / "data" / "attach" / "entered"
        settings = Settings(
            socket=tmp_path / "s.sock", data=tmp_path / "side", api_url=site.url, api_key=key, entered=entered
        )
        parts = Parts(settings, clock)
        parts.uplink.start()
        path = attach(agent, "--write")
        command = json.loads(path.read_text())["hooks"]["UserPromptSubmit"][0]["hooks"][0]["command"]
        transcript = tmp_path / "session.jsonl"

        def happens(event, **fields):
            document = {"hook_event_name": event, "session_id": "s1", "transcript_path": str(transcript), **fields}
            done = subprocess.run(  # as the assistant starts it
                command, shell=True, input=json.dumps(document).encode(), capture_output=True, timeout=60, check=True
            )
            assert (done.stdout.strip(), done.stderr) == (b"{}", b"")

        def states(seconds=0.0):
            for _ in range(2):
                asyncio.run(parts.assistants.look())
                parts.heartbeats.settle()
                clock.now += seconds / 2
            asyncio.run(parts.assistants.look())
            parts.heartbeats.settle()
            assert parts.attached.report() == 1
            reads = {"Authorization": f"Bearer {mint_key(site.store, name='reads', scope=Scope.AGENT)}"}
            answered = httpx.get(f"{site.url}/v1/agents/{agent}/attach-points", headers=reads, timeout=60)
            return {one["source"]: one["state"] for one in answered.json()["points"]}

        with served(parts, settings.socket):
            happens("UserPromptSubmit", prompt="Tidy up.")
            assert states() == {"claude-code": "alive", "claude-code settings": "alive"}
            whole = path.read_text()
            path.write_text("{}")
            assert states(SILENCE * 2 + 5) == {"claude-code": "alive", "claude-code settings": "dark"}
            clock.now += UNTOLD
            transcript.touch()
            os.utime(transcript, (clock.now, clock.now))
            assert states(SILENCE * 2 + 5) == {"claude-code": "dark", "claude-code settings": "dark"}
            with site.client() as client:
                assert "silent in 1 process without a goodbye" in client.get(f"/agent?name={agent}").text
                until(lambda: "its transcript shows" in client.get("/verdicts").text, "the verdicts have arrived")
            path.write_text(whole)
            happens("PreToolUse", tool_name="Read", tool_input={"file_path": "/srv/a"}, tool_use_id="t1")
            assert states() == {"claude-code": "alive", "claude-code settings": "alive"}
            happens("SessionEnd")
            attach(agent, "--undo", "--write")
            assert states() == {"claude-code": "left", "claude-code settings": "left"}
