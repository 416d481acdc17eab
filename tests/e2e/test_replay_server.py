"""``kaizen replay --from-server`` and what really happened: rows of a real control plane, reported by a real client."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kaizen_security.client.http import Connection
from tests.e2e.line import Line

BLOCK = '[[policies]]\nmode = "blocklist"\nname = "new list"\nrules = {domains = ["attacker.example"]}\n'


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line.started(tmp_path_factory.mktemp("line")) as line:
        report(line, "mailer", 1200)
        report(line, "quiet", 3)
        yield line


def report(line, agent, count):
    reports = []
    for n in range(count):
        target = "https://drop.attacker.example/in" if n % 400 == 7 else "api.example:443"
        action = {"tool": "send_mail", "target": target, "id": f"{agent}-{n}", "run_id": f"run-{n // 50}"}
        verdict = {"decision": "allow", "reason": "no policy matched", "evidence": []}
        reports.append({"agent": agent, "action": action, "verdict": verdict})
    connection = Connection(line.environment["KAIZEN_API_URL"])
    headers = {"Authorization": f"Bearer {line.environment['KAIZEN_API_KEY']}"}
    try:
        answer = connection.json("POST", "/v1/verdicts:batch", {"reports": reports}, headers, 30.0)
    finally:
        connection.close()
    assert answer["accepted"] == count


def replayed(line, tmp_path, *words):
    (tmp_path / "new.toml").write_text(BLOCK)
    command = [sys.executable, "-m", "kaizen_security.cli", "replay", "--from-server", "--policy", "new.toml"]
    env = {**os.environ, **line.environment}
    return subprocess.run([*command, *words], cwd=tmp_path, env=env, capture_output=True, text=True)


def test_rows_of_the_control_plane_are_compared_over_several_pages(line, tmp_path):
    done = replayed(line, tmp_path, "--json", "--agent", "mailer")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["actions"] == 1200
    assert told["changes"] == {
        "newly blocked": 3,
        "newly allowed": 0,
        "newly flagged": 0,
        "no longer flagged": 0,
        "cannot tell": 0,
        "unchanged": 1197,
    }
    (group,) = told["groups"]
    assert (group["agent"], group["tool"], group["destination"]) == ("mailer", "send_mail", "drop.attacker.example")
    assert group["example"]["row"]


def test_a_pipeline_can_stop_on_new_blocks(line, tmp_path):
    done = replayed(line, tmp_path, "--fail-on", "new-blocks", "--limit", "1100")
    assert done.returncode == 1
    assert "newly blocked: " in done.stdout
    assert replayed(line, tmp_path, "--fail-on", "new-blocks", "--agent", "quiet").returncode == 0


def test_time_bounds_choose_rows(line, tmp_path):
    none = replayed(line, tmp_path, "--since", "2999-01-01T00:00:00Z")
    assert "No action to compare." in none.stdout
    assert "No action to compare." in replayed(line, tmp_path, "--until", "2001-01-01T00:00:00Z").stdout
    both = replayed(line, tmp_path, "--since", "1h", "--until", "2999-01-01T00:00:00Z")
    assert "of 1,203 verdicts would change" in both.stdout


def test_a_key_that_is_not_known_is_said(line, tmp_path):
    env = {**os.environ, **line.environment, "KAIZEN_API_KEY": "kz_live_" + "0" * 43}
    words = [sys.executable, "-m", "kaizen_security.cli", "replay", "--from-server", "--policy", "new.toml"]
    refused = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert refused.stderr.startswith("kaizen replay: ")
