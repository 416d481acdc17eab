"""The Lambda layer: the function runs as it did, and what it connects to past the proxy is told."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import zipfile

import pytest

from kaizen_security.contract.codec import decode_step
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.step import Effect
from kaizen_security.integrations import aws_lambda
from kaizen_security.integrations.sandbox import Sandbox, from_environment
from tests.architecture.tree import ROOT

FUNCTION = """
import socket
def handler(event, context):
    for host, port in event["connects"]:
        socket.create_connection((host, port)).close()
    if event.get("fails"):
        raise ValueError("the function's own")
    return {"answer": event["connects"]}
"""
RUNTIME = (
    "import json, sys\n"
    "from kaizen_security.integrations.aws_lambda import handler\n"
    "for line in sys.stdin:\n"
    "    try:\n"
    "        print(json.dumps(handler(json.loads(line), None)))\n"
    "    except ValueError as err:\n"
    "        print(json.dumps(str(err)))\n"
)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.headers["Authorization"], json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.told = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def invoke(tmp_path, port, *events, path=ROOT / "src"):
    (tmp_path / "lambda_function.py").write_text(FUNCTION)
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{tmp_path}:{path}",
        "KAIZEN_LAMBDA_HANDLER": "lambda_function.handler",
        "KZ_SANDBOX_URL": f"http://127.0.0.1:{port}",
        "KZ_AGENT": "support",
        "KZ_TOKEN": "a-token-of-the-tests-own-1234",
    }
    return subprocess.run(
        [sys.executable, "-S", "-c", RUNTIME],
        input="".join(json.dumps(event) + "\n" for event in events),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_each_invocation_tells_of_its_own_connections(tmp_path, receiver):
    port = receiver.server_port
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    event = {"sessionId": "s1", "function": "lookup_order", "connects": [["127.0.0.1", other.server_port]]}
    done = invoke(tmp_path, port, event, {**event, "sessionId": "s2", "connects": []}, {**event, "fails": True})
    other.server_close()
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == [{"answer": event["connects"]}, {"answer": []}, "the function's own"]
    assert [key for key, _ in receiver.told] == ["Bearer a-token-of-the-tests-own-1234"] * 2
    steps = [decode_step(one) for _, document in receiver.told for one in document["steps"]]
    assert [(step.run_id, step.action.target, step.action.tool) for step in steps] == [
        ("s1", f"127.0.0.1:{other.server_port}", "lookup_order")
    ] * 2
    assert all(isinstance(step, Effect) and step.action.rung < 3 for step in steps)


def test_a_receiver_that_is_away_neither_fails_nor_holds_the_function(tmp_path, receiver):
    event = {"sessionId": "s", "connects": [["127.0.0.1", receiver.server_port]]}
    done = invoke(tmp_path, 9, event)
    assert json.loads(done.stdout) == {"answer": event["connects"]}
    assert "could not be reported" in done.stderr


def test_the_layer_that_is_deployed_carries_all_it_needs(tmp_path, receiver):
    layer = tmp_path / "layer.zip"
    subprocess.run([sys.executable, str(ROOT / "deploy/aws/layer.py"), str(layer)], check=True, timeout=60)
    with zipfile.ZipFile(layer) as archive:
        assert all(name.startswith("python/kaizen_security/") for name in archive.namelist())
        archive.extractall(tmp_path / "opt")
    done = invoke(tmp_path, receiver.server_port, {"connects": []}, path=tmp_path / "opt" / "python")
    assert json.loads(done.stdout) == {"answer": []}, done.stderr
    again = tmp_path / "again.zip"
    subprocess.run([sys.executable, str(ROOT / "deploy/aws/layer.py"), str(again)], check=True, timeout=60)
    assert layer.read_bytes() == again.read_bytes()


def test_a_layer_without_a_sandbox_does_not_start():
    with pytest.raises(Misconfigured, match="KZ_SANDBOX_URL"):
        from_environment({})


def test_a_token_goes_over_plain_http_only_where_the_owner_says_so():
    with pytest.raises(Misconfigured, match="unencrypted"):
        Sandbox(traces="http://sandbox.example:8081", token="t" * 20)
    link = Sandbox(
        traces="http://10.0.0.7:8081", egress="http://10.0.0.7:8080", agent="a b", token="t" * 20, private=True
    )
    environ = link.environment(direct=("db.internal",))
    assert environ["HTTPS_PROXY"] == f"http://a%20b:{'t' * 20}@10.0.0.7:8080"
    assert "db.internal" in environ["NO_PROXY"].split(",")
    assert environ["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] == f"Authorization=Bearer%20{'t' * 20}"
    assert "t" * 20 not in repr(link)


def layer(clock=lambda: 0.0):
    environ = {
        "KZ_SANDBOX_URL": "http://127.0.0.1:9",
        "KZ_AGENT": "support",
        "KZ_TOKEN": "a-token-of-the-tests-own-1234",
    }
    return aws_lambda.Layer(environ, clock)


def test_connections_beyond_those_that_are_told_are_counted_for_each_invocation(monkeypatch, caplog):
    made, told = layer(), []
    monkeypatch.setattr(Sandbox, "report", lambda self, document: told.append(document["steps"]))

    def function(event, context):
        for _ in range(event):
            made.watch.hook("socket.connect", (None, ("192.0.2.1", 443)))

    made.invoked(function, aws_lambda.MOST + 3, None)
    made.invoked(function, 2, None)
    assert [len(steps) for steps in told] == [aws_lambda.MOST, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "kaizen: 3 more connections of this invocation are not told one by one"
    ]


def test_a_connection_that_is_made_while_another_is_noted_does_not_stand_still():
    seen = []

    def clock():
        if not seen:
            seen.append(True)
            watch.hook("socket.connect", (None, ("192.0.2.2", 443)))  # a finalizer's, which may run anywhere
        return 0.0

    watch = aws_lambda.Watch(frozenset(), clock)
    thread = threading.Thread(target=watch.hook, args=("socket.connect", (None, ("192.0.2.1", 443))), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert len(watch.taken()[0]) == 2
