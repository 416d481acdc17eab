"""``kaizen holds`` as a process: at a sidecar, at a control plane, for people and for machines."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process, until

SECRET = "correct horse battery staple"


@pytest.fixture
def sidecar(tmp_path):
    (tmp_path / "data").mkdir()
    one = Process(tmp_path / "data", more=("--before-bundle", "enforce")).start()
    assert one.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 202
    yield one
    one.stop()


def environment(**more):
    return {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")} | more


@contextlib.contextmanager
def ended(process):
    """Whatever fails: nobody waits for a process that goes on."""
    try:
        yield
    finally:
        process.kill()


def kaizen(*words, expect=0, **more):
    command = [sys.executable, "-m", "kaizen_security.cli", "holds", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(**more))
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def at(sidecar):
    return ("--sidecar", f"unix://{sidecar.socket}")


def held(sidecar, n=1, run="r", to=SECRET):
    action = {"tool": "pay", "id": f"c{n}", "run_id": run, "metadata": {"arguments": {"to": to}}}
    return sidecar.inspect("a", **action)


def test_what_waits_is_listed_with_its_arguments_and_the_status_says_that_something_does(sidecar):
    assert kaizen(*at(sidecar)) == "Nothing waits.\n"
    hold = held(sidecar)["pending"]["id"]
    said = kaizen(*at(sidecar), expect=1)
    for part in (hold[:12], "a  pay", "used a tool it never declared (pay)", SECRET, "blocked in "):
        assert part in said
    [document] = json.loads(kaizen(*at(sidecar), "--json", expect=1))["holds"]
    assert (document["id"], document["state"]) == (hold, "waiting")


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("allow",), "allow_once"),
        (("allow", "--run"), "allow_run"),
        (("allow", "--learn"), "learn"),
        (("block",), "block"),
    ],
)
def test_it_is_answered_by_its_first_characters(sidecar, words, answer):
    hold = held(sidecar)["pending"]["id"]
    do, *more = words
    document = json.loads(kaizen(do, hold[:8], *more, *at(sidecar), "--json"))
    assert (document["id"], document["answer"]) == (hold, answer)
    assert held(sidecar)["decision"] == ("block" if answer == "block" else "allow")
    assert answer in kaizen("list", "--all", *at(sidecar))
    assert "settled already" in kaizen("block", hold, *at(sidecar), expect=1)


def test_who_cannot_read_the_secret_sees_no_arguments_and_answers_nothing(sidecar, tmp_path):
    hold = held(sidecar)["pending"]["id"]
    (sidecar.data / "operator.secret").rename(tmp_path / "elsewhere")
    seen = kaizen(*at(sidecar), expect=1, KAIZEN_DATA=str(tmp_path / "none"))
    assert SECRET not in seen
    said = kaizen("allow", hold, *at(sidecar), expect=2, KAIZEN_DATA=str(tmp_path / "none"))
    assert "only the sidecar's own user may answer" in said
    kaizen("allow", hold, *at(sidecar), "--operator", str(tmp_path / "elsewhere"))


def test_words_that_make_no_sense_and_a_sidecar_that_is_not_there_are_said(sidecar, tmp_path):
    assert "name the hold" in kaizen("allow", *at(sidecar), expect=2)
    assert "belong to allow" in kaizen("block", "x", "--run", *at(sidecar), expect=2)
    assert "no hold of that id" in kaizen("block", "nothing", *at(sidecar), expect=1)
    assert kaizen("--sidecar", f"unix://{tmp_path}/none.sock", expect=3).startswith("kaizen holds: cannot reach")


def test_watch_prints_every_change_for_machines_and_goes_on_while_the_sidecar_is_away(sidecar):
    command = [sys.executable, "-m", "kaizen_security.cli", "holds", "watch", "--json", *at(sidecar)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as watching, ended(watching):
        hold = held(sidecar)["pending"]["id"]
        first = json.loads(watching.stdout.readline())
        assert (first["id"], first["state"]) == (hold, "waiting")
        kaizen("block", hold, *at(sidecar))
        assert json.loads(watching.stdout.readline())["state"] == "blocked"
        sidecar.process.kill()
        sidecar.process.communicate()
        sidecar.start()
        again = held(sidecar, 2, to="y")["pending"]["id"]
        assert json.loads(watching.stdout.readline())["id"] == again
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130


def test_on_a_terminal_watch_asks_and_answers_and_what_an_agent_wrote_cannot_drive_it(sidecar):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kaizen_security.cli", "holds", "watch", *at(sidecar)]
    watching = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(NO_COLOR="1"), start_new_session=True
    )
    os.close(theirs)
    try:
        held(sidecar, to="\x1b[2Jgone")
        seen = b""
        while b"leave it: " not in seen:
            seen += os.read(ours, 65536)
        assert b"\x1b[2J" not in seen
        assert b"[r]un" in seen
        os.write(ours, b"o\n")
        until(lambda: held(sidecar, to="\x1b[2Jgone")["decision"] == "allow", "the release")
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(60)
        os.close(ours)


def test_at_the_control_plane_a_session_answers(tmp_path):
    server = Running(tmp_path / "server")
    try:
        with server.call("observer") as observer, server.person() as person:
            token = person.headers["authorization"].removeprefix("Bearer ")
            hold = {
                "id": "hold-1",
                "agent": "a",
                "created_at": "2026-01-01T00:00:00Z",
                "expires_at": "2999-01-01T00:00:00Z",
                "action": {"tool": "pay"},
                "verdict": {"decision": "block", "reason": "undeclared"},
            }
            answer = observer.post("/v1/holds:relay", json={"sidecar": "one", "holds": [hold]})
            assert answer.json()["kept"] == 1
            words = ("--api-url", server.url)
            assert "hold-1" in kaizen(*words, expect=1, KAIZEN_TOKEN=token)
            kaizen("block", "hold-1", *words, KAIZEN_SESSION=token)
            assert person.get("/v1/holds/hold-1").json()["answered_by"] == "admin"
            key = server.key("agent")
            refused = kaizen("allow", "hold-1", *words, expect=1, KAIZEN_SESSION=key)
            assert "an API key may not do this" in refused
    finally:
        server.stop()
