"""``kaizen admin`` beside a server that runs, and after it was stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e.server.running import Caller, Running, report


def kaizen(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", "admin", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **environment},
    )


def good(*words, **environment):
    done = kaizen(*words, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, which it may stop."""
    running = Running(tmp_path / "data")
    yield running
    status, rest = running.stop()
    assert "Traceback" not in rest, rest
    assert status == 0


def test_a_backup_of_a_running_server_is_restored_after_a_loss(own, tmp_path):
    with own.call() as call:
        assert call.post("/v1/verdicts", json=report(id="kept")).status_code == 201
        assert good("backup", tmp_path / "b.db", "--data", own.directory)["verdicts"] >= 1
        assert call.post("/v1/verdicts", json=report(id="lost")).status_code == 201
        key = call.headers["authorization"]
    refused = kaizen("restore", tmp_path / "b.db", "--data", own.directory)
    assert (refused.returncode, "another Kaizen server" in refused.stderr) == (1, True)
    own.stop()
    assert good("restore", tmp_path / "b.db", "--data", own.directory, "--dry-run")["restored"] is False
    assert good("restore", tmp_path / "b.db", "--data", own.directory)["restored"] is True
    again = Running(own.directory)
    try:
        found = httpx.get(f"{again.url}/v1/verdicts", headers={"Authorization": key}, timeout=60).json()["verdicts"]
        assert {row["action_id"] for row in found} == {"kept"}
    finally:
        assert again.stop()[0] == 0


def test_a_database_is_taken_back_for_an_older_program_and_comes_forward_again(own):
    with own.call() as call:
        assert call.post("/v1/verdicts", json=report(id="kept")).status_code == 201
        key = call.headers["authorization"]
    refused = kaizen("downgrade", "0002", "--data", own.directory)
    assert (refused.returncode, "another Kaizen server" in refused.stderr) == (1, True)
    own.stop()
    assert "older one" in kaizen("downgrade", "9999", "--data", own.directory).stderr
    done = good("downgrade", "0002", "--data", own.directory)
    assert (done["revision"], done["verdicts"]) == ("0002", 1)
    assert done["aside"]
    again = Running(own.directory)
    try:
        found = httpx.get(f"{again.url}/v1/verdicts", headers={"Authorization": key}, timeout=60).json()["verdicts"]
        assert {row["action_id"] for row in found} == {"kept"}
    finally:
        assert again.stop()[0] == 0


def test_a_lost_password_is_replaced_beside_the_running_server(own):
    with own.person() as before:
        made = good("password", "--data", own.directory)
        assert before.get("/v1/keys").status_code == 401, "whoever was signed in is signed out"
    with Caller(own.url) as nobody:
        for password, status in ((own.password, 401), (made["password"], 201)):
            answer = nobody.post("/v1/sessions", json={"user": made["user"], "password": password})
            assert answer.status_code == status
    wrong = kaizen("password", "--user", "nobody", "--data", own.directory)
    assert (wrong.returncode, wrong.stdout) == (1, "")


def test_a_link_signs_in_once_and_users_are_added_and_listed(own):
    link = good("link", "--data", own.directory, "--url", own.url)["link"]
    form = {"token": parse_qs(urlsplit(link).query)["token"][0]}
    for where in ("/verdicts", ""):
        answer = httpx.post(f"{own.url}/sign-in/link", data=form, headers={"Origin": own.url}, timeout=60)
        assert answer.headers.get("location", "") == where
    good("add-user", "vera", "--data", own.directory)
    listed = good("users", "--data", own.directory)["users"]
    assert [(one["name"], one["role"]) for one in listed] == [("admin", "admin"), ("vera", "viewer")]
    assert kaizen("add-user", "vera", "--data", own.directory).returncode == 1


def test_an_agent_is_deleted_through_the_running_server_or_after_it_was_stopped(own):
    with own.call() as call, own.person() as person:
        for agent in ("one", "two/of them"):
            assert call.post("/v1/verdicts", json={**report(), "agent": agent}).status_code == 201
        token = person.headers["authorization"].split()[1]
    assert kaizen("delete-agent", "one", "--data", own.directory).returncode == 2, "asks for --yes"
    busy = kaizen("delete-agent", "one", "--yes", "--data", own.directory)
    assert (busy.returncode, "another Kaizen server" in busy.stderr) == (1, True)
    remote = ("--yes", "--api-url", own.url)
    assert good("delete-agent", "two/of them", *remote, KAIZEN_TOKEN=token)["deleted"]["verdicts"] >= 1
    assert kaizen("delete-agent", "two/of them", *remote, KAIZEN_TOKEN=token).returncode == 1
    own.stop()
    assert good("delete-agent", "one", "--yes", "--data", own.directory)["deleted"]["verdicts"] >= 1
    assert kaizen("delete-agent", "one", "--yes", "--data", own.directory).returncode == 1


@pytest.mark.parametrize(
    "words", [("backup", "b.db"), ("password",), ("link",), ("users",), ("delete-agent", "a", "--yes")]
)
def test_a_directory_without_a_database_is_said_to_be_one_and_stays_empty(tmp_path, words):
    done = kaizen(*words, "--data", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Kaizen database" in done.stderr
    assert list(tmp_path.iterdir()) == []
