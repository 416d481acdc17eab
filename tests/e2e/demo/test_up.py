"""`kaizen up`: the whole line as its user starts it, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from kaizen_security.client.http import Connection

ROOT = Path(__file__).parents[3]
ANY_PORTS = ("--port", "0", "--sidecar-port", "0", "--proxy-port", "0")


def words(data, *flags):
    return [sys.executable, "-m", "kaizen_security.cli", "up", "--json", "--data", str(data), *flags]


def events(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run(data, *flags, timeout=600):
    done = subprocess.run(words(data, *flags), capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    return done, events(done.stdout)


def one(said, event):
    return next(entry for entry in said if entry["event"] == event)


def get(base, path, key=""):
    connection = Connection(base)
    try:
        return connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    finally:
        connection.close()


def below(pid):
    """Every process that descends from ``pid`` now."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, front = set(), {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front} - found
        found |= front
    return found


def living(pids):
    left = set()
    for pid in pids:
        try:
            if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.add(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return left


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        got = condition()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError("it did not come")


@contextlib.contextmanager
def up(data, *flags):
    """``kaizen up`` staying up; gives the process and what it has said so far."""
    out = data.parent / f"{data.name}.out"
    with out.open("w") as log:
        process = subprocess.Popen(words(data, *flags), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        wait_for(lambda: '"event": "up"' in out.read_text() or process.poll() is not None)
        assert process.poll() is None, out.read_text()
        yield process, lambda: events(out.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """One demonstration on a seed nobody chose, and its data."""
    data = tmp_path_factory.mktemp("up") / "data"
    seed = random.SystemRandom().randrange(1_000_000)
    done, said = run(data, "--demo", "--once", "--seed", str(seed), *ANY_PORTS)
    return data, seed, done, said


@pytest.mark.slow
def test_a_demonstration_on_any_seed_ends_well(played):
    _, seed, done, said = played
    summary = one(said, "summary")
    assert done.returncode == 0, f"seed {seed}: {json.dumps(summary, indent=1)}\n{done.stderr}"
    assert summary["good"] is True
    assert summary["seed"] == seed


@pytest.mark.slow
def test_its_summary_adds_up_with_the_verdicts_that_it_showed(played):
    _, seed, _, said = played
    summary = one(said, "summary")
    assert summary["attacks"] == summary["caught"] + len(summary["listed_misses"]) + len(summary["misses"]), seed
    assert sum(summary["caught_by_rung"].values()) == summary["caught"]
    assert {"1", "3"} <= set(summary["caught_by_rung"])
    assert summary["learned_tasks"] >= 200
    assert summary["benign"] > 1000
    verdicts = [entry for entry in said if entry["event"] == "verdict"]
    assert len(verdicts) == summary["verdicts"]
    assert {"sdk", "egress"} <= {entry["source"] for entry in verdicts}
    assert sum(entry["decision"] == "block" for entry in verdicts) >= summary["caught"] / 2


@pytest.mark.slow
def test_what_the_organisation_blocks_never_left(played):
    _, _, _, said = played
    outside = one(said, "summary")["bytes_outside"]
    assert outside["paste.example"] == 0
    assert outside["quickpaste.example"] == 0
    # The body of a refused tool does not run, so nothing arrives where it would have gone.
    assert outside["gateway.coinbridge.example"] == 0
    assert outside["forms.surveyhive.example"] == 0
    # What volume, sequence, drift and tenant find is flagged and goes on: of the hard set, ten at the most.
    assert one(said, "summary")["began"] <= 14
    # Nobody reported these; the proxy refused them, since the agent is enforced and never declared them.
    assert outside["attacker.example"] == 0
    assert outside["drop.attacker.example"] == 0


@pytest.mark.slow
def test_the_password_is_shown_once_and_is_in_no_log(played):
    data, _, _, said = played
    password = one(said, "secret")["password"]
    for path in (data / "logs").glob("*.log"):
        text = path.read_text()
        assert password not in text
        assert "kz_live_" not in text


@pytest.mark.slow
def test_a_second_start_keeps_the_data_and_the_users_key(played):
    data, _, _, first = played
    key = (data / "env").read_text().split("KAIZEN_API_KEY=")[1].split()[0]
    with up(data, *ANY_PORTS) as (_, said):
        assert not [entry for entry in said() if entry["event"] == "secret"]
        assert any("kept" in entry.get("text", "") for entry in said())
        console = one(said(), "up")["console"]
        assert f"KAIZEN_API_KEY={key}" in (data / "env").read_text()
        status, _, body = get(console, "/v1/verdicts?limit=1000", key)
        assert status == 200
        assert len(json.loads(body)["verdicts"]) == min(1000, one(first, "summary")["verdicts"])


def test_a_busy_port_is_named_and_moved(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        with up(tmp_path / "d", "--port", str(number), "--sidecar-port", "0", "--proxy-port", "0") as (_, said):
            moved = next(entry["text"] for entry in said() if "is taken by" in entry.get("text", ""))
            assert f"{number} is taken by pid {os.getpid()} (" in moved
            assert one(said(), "up")["console"] != f"http://127.0.0.1:{number}"
            assert get(one(said(), "up")["console"], "/healthz")[0] == 200


def signed_in(link):
    """A browser that has used the link, and what the link's form answered."""
    base, _, path = link.partition("/sign-in")
    browser = httpx.Client(base_url=base, headers={"Origin": base}, timeout=60)
    page = browser.get("/sign-in" + path).text
    token = re.search(r'name="token" value="([^"]+)"', page)[1]
    return browser, browser.post("/sign-in/link", data={"token": token, "next": "/verdicts"})


def test_the_sign_in_link_works_once(tmp_path):
    with up(tmp_path / "d", *ANY_PORTS) as (_, said):
        link = one(said(), "up")["sign_in"]
        for status in (303, 401):
            browser, answer = signed_in(link)
            with contextlib.closing(browser):
                assert answer.status_code == status
                assert (browser.get("/verdicts").status_code == 200) == (status == 303)


def environment(data):
    lines = (data / "env").read_text().splitlines()
    return {**os.environ, **dict(line.removeprefix("export ").split("=", 1) for line in lines if "=" in line)}


def test_an_agent_of_ones_own_is_flagged_at_first_and_refused_in_enforce_mode(tmp_path):
    data = tmp_path / "d"

    def example():
        words = [sys.executable, str(ROOT / "examples" / "first_agent.py")]
        done = subprocess.run(words, env=environment(data), cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with up(data, *ANY_PORTS) as (_, said):
        seen = example()
        assert "allow  flagged upload: undeclared: this agent used a tool it never declared (upload)." in seen
        assert "would have left" in seen
        browser, _ = signed_in(one(said(), "up")["sign_in"])
        with contextlib.closing(browser):
            assert "Switch to enforce" in browser.get("/agent", params={"name": "first-agent"}).text
            browser.post("/agent/settings", params={"name": "first-agent"}, data={"mode": "enforce"})
        wait_for(lambda: "Blocked by Kaizen: undeclared" in example(), 20)
        refused = example()
        assert "would have left" not in refused
        assert "words" in refused


def test_ctrl_c_ends_everything_and_leaves_no_process(tmp_path):
    with up(tmp_path / "d", *ANY_PORTS) as (process, _):
        children = below(process.pid)
        assert len(children) >= 3
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
        assert living(children) == set()


def test_children_do_not_outlive_a_kaizen_up_that_is_killed(tmp_path):
    with up(tmp_path / "d", *ANY_PORTS) as (process, _):
        children = below(process.pid)
        process.kill()
        process.wait(60)
        wait_for(lambda: not living(children), 60)


def test_a_killed_sidecar_is_named_and_started_again(tmp_path):
    with up(tmp_path / "d", *ANY_PORTS) as (process, said):
        (victim,) = (pid for pid in below(process.pid) if b"\0sidecar\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: any("sidecar is started again" in entry.get("text", "") for entry in said()), 20)
        assert any("sidecar was killed by SIGKILL" in entry.get("text", "") for entry in said())
        (again,) = (pid for pid in below(process.pid) if b"\0sidecar\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
        assert again != victim


@pytest.mark.slow
def test_a_sidecar_that_dies_during_a_demonstration_ends_it_with_its_name(tmp_path):
    data = tmp_path / "d"
    process = subprocess.Popen(
        words(data, "--demo", "--once", *ANY_PORTS), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )

    def sidecar():
        return [pid for pid in below(process.pid) if b"\0sidecar\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    with process:
        wait_for(lambda: any('"progress"' in line for line in iter(process.stdout.readline, "") or ()))
        children = below(process.pid)
        os.kill(sidecar()[0], signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sidecar was killed by SIGKILL" in err
    assert living(children) == set()


def test_once_without_a_demonstration_is_refused(tmp_path):
    done, _ = run(tmp_path / "d", "--once", *ANY_PORTS)
    assert done.returncode == 1
    assert "--demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    done, _ = run(tmp_path / "file", *ANY_PORTS)
    assert done.returncode == 1
    assert f"the data directory {tmp_path / 'file'} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_at_once_on_one_data_directory_are_refused(tmp_path):
    with up(tmp_path / "d d", *ANY_PORTS):
        done, _ = run(tmp_path / "d d", *ANY_PORTS)
        assert done.returncode == 1
        assert "another Kaizen server is using" in done.stderr
