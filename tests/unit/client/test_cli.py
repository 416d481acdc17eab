"""``kaizen inspect`` and ``kaizen explain``, as commands."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.unit.client.upstream import Upstream, free_port, reply

KEY = "kz_live_" + "k" * 43
ROW = {
    "id": "v1",
    "created_at": "2024-10-01T10:00:00Z",
    "agent": "billing",
    "source": "egress",
    "rung": "ground truth (egress)",
    "rung_number": 3,
    "action": {"kind": "connect", "tool": None, "target": "evil.example:443", "metadata": {"source": "egress"}},
    "decision": "block",
    "reason": "blocked by policy: malicious domain",
    "evidence": [
        {
            "kind": "malicious domain",
            "value": "evil.example",
            "source": "policy:org",
            "detection": "policy",
            "field": "target",
            "expected": "none that is listed",
            "observed": "evil.example\x1b[2J",
            "advice": "Take the entry out if it is wanted.",
            "attack": "blocked-host",
        }
    ],
    "confidence": None,
    "status": "open",
    "severity": "high",
    "claimed": False,
    "origin": "server",
    "policy_version": "abc",
    "action_id": "a1",
    "run_id": "r1",
}
CLAIM = {**ROW, "id": "v0", "decision": "allow", "reason": "no policy matched", "origin": "claim", "claimed": True}


def kaizen(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps([{"mode": "blocklist", "rules": {"domains": ["evil.example"]}, "name": "mine"}]))
    return str(path)


def test_a_policy_file_judges_and_says_that_it_did(policy):
    status, out, _ = kaizen("inspect", "--target", "https://api.evil.example/x", "--policy", policy)
    assert status == 1
    assert out.startswith("BLOCK  blocked by policy: malicious domain\n")
    assert "field:      target" in out
    assert f"judged by the policy in {policy} alone" in out
    assert "ASI02" in out
    status, out, _ = kaizen("inspect", "--tool", "x", "--policy", policy, "--json")
    assert (status, json.loads(out)["decision"]) == (0, "allow")


def test_the_sidecar_of_the_data_directory_is_asked(tmp_path):
    folder = tmp_path / "data" / "sidecar"
    folder.mkdir(parents=True)
    with Upstream(unix=str(folder / "kaizen.sock")) as sidecar:
        words = ("inspect", "--agent", "billing", "--tool", "pay", "--arg", "to=bob", "--arg", "n=3", "--arg", "x=[1]")
        status, out, err = kaizen(*words, "--sensitive", "--kind", "tool_call")
        assert (status, err) == (0, "")
        assert out == f"ALLOW  no policy matched\njudged by the sidecar at {sidecar.url}\n"
        [asked] = sidecar.asked
        assert asked["agent"] == "billing"
        assert asked["metadata"] == {"arguments": {"to": "bob", "n": 3, "x": [1]}, "sensitive": True}


def test_flags_are_shown_and_controls_of_the_terminal_are_not_obeyed(sidecar):
    sidecar.verdict = {
        "decision": "allow",
        "reason": "undeclared: \x1b]0;owned\x07",
        "evidence": [
            {"kind": "undeclared tool", "value": "\x1b[31mx\n", "source": "declaration", "advice": "Declare it."}
        ],
        "confidence": 0.6,
    }
    status, out, _ = kaizen("inspect", "--tool", "x", "--sidecar", sidecar.url)
    assert status == 0
    assert out.startswith("ALLOW, flagged")
    assert "what to do: Declare it." in out
    assert "confidence 0.60" in out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_colour_is_for_terminals(policy):
    master, slave = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    words = [sys.executable, "-m", "kaizen_security.cli", "inspect", "--target", "evil.example", "--policy", policy]
    process = subprocess.Popen(words, stdout=slave, env={**environment, "TERM": "xterm"})
    assert process.wait(60) == 1
    os.close(slave)
    assert b"\x1b[31mBLOCK" in os.read(master, 65536)
    os.close(master)


def test_nobody_there_is_said_with_address_and_remedy(tmp_path):
    status, _, err = kaizen("inspect", "--tool", "x")
    assert status == 3
    assert f"unix://{tmp_path}/data/sidecar/kaizen.sock" in err
    assert "kaizen sidecar" in err
    assert "--policy" in err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "nothing to judge"),
        (("--tool", "x", "--arg", "novalue"), "KEY=VALUE"),
        (("--tool", "x", "--policy", "/nowhere.json"), "/nowhere.json"),
        (("--tool", "x", "--sidecar", "nowhere"), "sidecar"),
    ],
)
def test_wrong_use_is_named(words, named):
    status, _, err = kaizen("inspect", *words)
    assert status == 2
    assert named in err


@pytest.mark.parametrize(
    "text", ["{", '{"policies": 3}', '[{"mode": "x"}]', '[{"mode": "blocklist", "rules": {"domains": 3}}]']
)
def test_a_policy_file_that_cannot_be_used_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    status, _, err = kaizen("inspect", "--tool", "x", "--policy", str(tmp_path / "p.json"))
    assert status in (1, 2)
    assert err.startswith("kaizen inspect: ")
    assert "Traceback" not in err


@pytest.fixture
def control_plane():
    with Upstream() as upstream:

        def faults(method, path):
            if path == "/v1/verdicts/v1":
                return reply(ROW)
            if path.startswith("/v1/verdicts?action_id=a1&agent="):
                return reply({"verdicts": [ROW, CLAIM]})
            if path.startswith("/v1/verdicts?run_id="):
                return reply({"verdicts": [ROW]})
            return reply({"error": {"code": "not_found", "message": "there is no such verdict"}}, 404)

        upstream.faults = faults
        yield upstream


def test_a_verdict_is_explained_with_evidence_rung_policy_and_claim(control_plane):
    status, out, err = kaizen("explain", "v1", KAIZEN_API_KEY=KEY, KAIZEN_API_URL=control_plane.url)
    assert (status, err) == (0, "")
    for part in (
        "BLOCK  blocked by policy: malicious domain",
        "field:      target",
        "expected:   none that is listed",
        "seen:       evil.example\\x1b[2J",
        "what to do: Take the entry out if it is wanted.",
        "Exfiltration to a blocked host (ASI02 AML.T0086)",
        "action:     connect evil.example:443",
        "seen by:    egress, rung 3: ground truth (egress)",
        "policy:     abc",
        "whose word: evaluated by the control plane",
        "  allow: no policy matched (the client's claim, not evidence; v0)",
    ):
        assert part in out
    status, out, _ = kaizen("explain", "v1", "--json", "--api-url", control_plane.url, KAIZEN_API_KEY=KEY)
    assert json.loads(out)["verdict"]["id"] == "v1"
    assert len(json.loads(out)["same_action"]) == 2


def test_explain_says_what_is_wrong(control_plane):
    status, _, err = kaizen("explain", "v2", KAIZEN_API_KEY=KEY, KAIZEN_API_URL=control_plane.url)
    assert (status, "there is no such verdict" in err) == (1, True)
    status, _, err = kaizen("explain", "v1", KAIZEN_API_URL=control_plane.url)
    assert (status, "KAIZEN_API_KEY" in err) == (2, True)
    control_plane.faults = lambda *_: reply({"error": {"code": "x", "message": "bad key"}}, 401)
    status, _, err = kaizen("explain", "v1", KAIZEN_API_KEY=KEY, KAIZEN_API_URL=control_plane.url)
    assert (status, "does not know this API key" in err) == (1, True)
    url = f"http://127.0.0.1:{free_port()}"
    status, _, err = kaizen("explain", "v1", KAIZEN_API_KEY=KEY, KAIZEN_API_URL=url)
    assert (status, url in err, "kaizen server" in err) == (3, True, True)
    assert KEY not in err
