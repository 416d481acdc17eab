"""Hostile and broken input: a clear answer that names the field, never a 500, and the server stays up."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import socket
import ssl
import subprocess

import httpx
import pytest
import trustme

from tests.e2e.server.running import ROOT, Caller, Running, report

GOOD = {"agent": "bad input", **report()}
BODIES = [
    (b"", "body"),
    (b"{", "body"),
    (b"[1,2", "body"),
    (b"nonsense", "body"),
    (b"\xff\xfe", "body"),
    (b'{"agent": "\xff"}', "body"),
    (b'{"action": NaN}', "body"),
    (b"[" * 100_000, "body"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "body"),
    (b"null", "body"),
    (b"7", "body"),
    (b"[]", "body"),
    (b'"text"', "body"),
    (b"{}", "action"),
    (b'{"action": []}', "action"),
    (b'{"action": {"tool": 7}}', "action.tool"),
    (b'{"action": {"tool": "a\\u0000b"}}', "action.tool"),
    (b'{"action": {"metadata": "x"}}', "action.metadata"),
    (b'{"action": {"metadata": {"x": "\\u0000"}}}', "action.metadata.x"),
    (b'{"action": {"at": "yesterday"}}', "action.at"),
    (b'{"action": {"at": "2026-01-01T00:00:00"}}', "action.at"),
    (b'{"action": {"delegation": [1]}}', "action.delegation[0]"),
    (b'{"action": {}, "agent": 7}', "agent"),
    (b'{"action": {}, "verdict": "allow"}', "verdict"),
    (b'{"action": {}, "verdict": {"decision": "perhaps"}}', "verdict.decision"),
    (b'{"action": {}, "verdict": {"decision": "allow", "confidence": 2}}', "verdict.confidence"),
    (b'{"action": {}, "verdict": {"decision": "allow", "evidence": [{"kind": 1}]}}', "verdict.evidence[0].kind"),
]


@pytest.mark.parametrize(("body", "field"), BODIES, ids=[body[:40].decode("latin-1") for body, _ in BODIES])
def test_a_report_that_is_none_is_refused_by_field(call, body, field):
    answer = call.post("/v1/verdicts", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
    assert call.post("/v1/verdicts", json=GOOD).status_code == 201


def test_a_lone_surrogate_is_refused(call):
    body = b'{"action": {"tool": "\\ud800"}}'
    assert call.post("/v1/verdicts", content=body).status_code == 422


@pytest.mark.parametrize(
    "text",
    [
        "\u202eevil",
        "a\u0301" * 50,
        "😀" * 60,
        "\u200b",
        "ﬃ",
        "\x7f\x01\x1b[31m",
        "<script>alert(1)</script>",
        "' OR 1=1; --",
        "{{7*7}}",
    ],
)
def test_odd_text_is_kept_as_it_is(call, text):
    document = report(text, publisher=text)
    document["agent"] = text
    assert call.post("/v1/verdicts", json=document).status_code == 201
    [row, *_] = call.get("/v1/verdicts", params={"agent": text}).json()["verdicts"]
    assert row["agent"] == text
    if text.isprintable():
        assert row["action"]["tool"] == text


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("action.tool", report("x" * 257)),
        ("action.target", report(target="x" * 5000)),
        ("action.metadata", report(metadata={"x": "y" * 2_000_000})),
        ("verdict.reason", {**report(), "verdict": {"decision": "allow", "reason": "x" * 5000}}),
    ],
)
def test_a_field_that_is_too_long_is_named(call, field, document):
    answer = call.post("/v1/verdicts", json={"agent": "long", **document})
    assert answer.status_code == 413
    assert answer.json()["error"]["field"] in (field, "body")


def test_a_body_that_is_too_long_is_refused_however_it_is_sent(server, call):
    big = json.dumps({"agent": "x", "action": {"metadata": {"arguments": "x" * (10 << 20)}}}).encode()
    assert call.post("/v1/verdicts", content=big).status_code == 413

    def chunks():
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    answer = call.post("/v1/verdicts", content=chunks())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert call.post("/v1/verdicts:batch", content=b" " * (17 << 20)).status_code == 413
    # A caller that asks first is told before it sends anything.
    head = (
        f"POST /v1/verdicts HTTP/1.1\r\nHost: x\r\nAuthorization: {call.headers['Authorization']}\r\n"
        "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_bodies_that_are_long_to_work_on_do_not_stop_the_others(server, call):
    documents = [{"agent": "keys", "action": {"metadata": {"x": [0] * 19_000}}} for _ in range(60)]
    data = json.dumps({"reports": documents}, separators=(",", ":")).encode()
    answered = 0
    with server.call() as other, concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(call.post, "/v1/verdicts:batch", content=data)
        while not working.done():
            assert other.get("/healthz").status_code == 200
            answered += 1
    assert working.result().json()["accepted"] == 60
    assert answered > 3, "one that came first, and one when all was done, are no sign of it"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/verdicts/", 404),
        ("GET", "/v1//verdicts", 404),
        ("POST", "/v1/policy/", 404),
        ("PUT", "/v1/verdicts", 405),
        ("PATCH", "/v1/org-policy", 405),
        ("DELETE", "/v1/policy", 405),
        ("POST", "/v1/whoami", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_what_is_not_there_is_said_in_json_and_never_redirected(call, method, path, status):
    answer = call.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in ("not_found", "method_not_allowed")


def test_every_answer_carries_the_headers_that_keep_browsers_safe(call):
    for path in ("/v1/verdicts", "/healthz", "/v1/nothing"):
        headers = call.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def exchange(port, data, wait=20.0):
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_json(server, data):
    head, _, body = exchange(server.port, data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["code"] == "bad_request"


def test_a_head_that_never_ends_is_refused(server):
    answer = exchange(server.port, b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70_000)
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.slow
def test_a_head_and_a_body_that_do_not_come_end_the_connection(server, call):
    key = call.headers["Authorization"]
    head = f"POST /v1/verdicts HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 50\r\n\r\n{{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=150) as slow:
        slow.sendall(head.encode())
        assert exchange(server.port, b"GET / HT", wait=150) == b""
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")


def test_a_connection_that_is_cut_in_the_middle_of_a_body_harms_nobody(server, call):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            head = f"POST /v1/verdicts HTTP/1.1\r\nAuthorization: {call.headers['Authorization']}\r\nContent-Length: 5000\r\n\r\n"
            connection.sendall(head.encode() + b'{"agent": "cut')
    assert call.get("/v1/verdicts", params={"agent": "cut"}).json() == {"verdicts": []}


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    running = Running(disk / "data")
    yield running, disk
    if running.process.returncode is None:
        running.kill()
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(call):
    """Send batches until one is refused; gives the ids that were acknowledged, and the refusal."""
    acknowledged: list[str] = []
    for i in range(2000):
        reports = [{"agent": "a", **report(id=f"{i}-{j}")} for j in range(20)]
        answer = call.post("/v1/verdicts:batch", json={"reports": reports})
        if answer.status_code != 200:
            break
        acknowledged += answer.json()["ids"]
    return acknowledged, answer


@pytest.mark.root
def test_a_full_disk_is_told_and_the_server_recovers_when_there_is_space(small_disk):
    running, disk = small_disk
    with running.call() as call:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(4 << 20))
        acknowledged, refusal = fill(call)
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (507, "disk_full")
        ready = call.get("/readyz")
        assert (ready.status_code, ready.json()["error"]["code"]) == (507, "disk_full")
        assert call.get("/healthz").status_code == 200
        assert call.get("/v1/policy").json() == {"policies": []}
        kept = [row["id"] for row in call.get("/v1/verdicts", params={"limit": 1000}).json()["verdicts"]]
        assert acknowledged
        assert kept == acknowledged[::-1][:1000]
        ballast.unlink()
        assert call.get("/readyz").status_code == 200
        assert call.post("/v1/verdicts", json={"agent": "a", **report()}).status_code == 201
    assert running.stop()[0] == 0


def run(*words, **environment):
    return subprocess.run(
        [".venv/bin/python", "-m", "kaizen_security.cli", *words],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_keys_do_not_cross_a_network_in_the_clear(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        answer = run("server", "--host", host, "--port", "0", "--data", str(tmp_path))
        assert answer.returncode == 1
        assert "--tls-cert" in answer.stderr
    assert "both" in run("server", "--tls-cert", "x", "--data", str(tmp_path)).stderr
    assert "both" in run("server", "--trusted-proxy", "10.0.0.1", "--data", str(tmp_path)).stderr
    wrong = run("server", "--port", "0", "--behind-proxy", "--trusted-proxy", "::/0", "--data", str(tmp_path))
    assert "everybody" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


def secured(tmp_path, files=0):
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    options = ("--host", "0.0.0.0", "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Running(tmp_path / "data", *options, files=files), context


def test_tls_handshakes_half_and_whole_that_nothing_follows_keep_nobody_out(tmp_path):
    running, context = secured(tmp_path, files=256)
    out = ssl.MemoryBIO()
    hello = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    began, silent = out.read(), contextlib.ExitStack()
    for number in range(400):
        one = socket.create_connection(("127.0.0.1", running.port), timeout=60)
        silent.enter_context(one)
        with contextlib.suppress(ConnectionError):
            one.sendall((b"", began[:1], began[:100], began, b"GET / HTTP/1.1\r\n\r\n")[number % 5])
    for _ in range(260):  # more than there are descriptors
        one = socket.create_connection(("127.0.0.1", running.port), timeout=60)
        silent.enter_context(context.wrap_socket(one, server_hostname="127.0.0.1"))
    with (
        silent,
        httpx.Client(
            base_url=f"https://127.0.0.1:{running.port}", verify=context, trust_env=False, timeout=20
        ) as client,
    ):
        assert client.get("/readyz").status_code == 200
        big = client.post("/v1/verdicts", content=b"x" * 3_000_000)
        assert big.status_code in (401, 413)
    status, said = running.stop()
    assert (status, "Traceback" in said) == (0, False), said


def test_https_is_served_with_a_certificate_and_says_so_to_browsers(tmp_path):
    running, context = secured(tmp_path)
    with httpx.Client(
        base_url=f"https://127.0.0.1:{running.port}", verify=context, trust_env=False, timeout=60
    ) as client:
        assert running.url.startswith("https://0.0.0.0:")
        answer = client.get("/readyz")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
        signed_in = client.post("/v1/sessions", json={"user": "admin", "password": running.password})
        assert signed_in.status_code == 201
    assert running.stop()[0] == 0


def test_a_port_that_is_taken_and_a_directory_that_is_in_use_are_named(server, tmp_path):
    answer = run("server", "--port", str(server.port), "--data", str(tmp_path / "other"))
    assert answer.returncode == 1
    assert f"127.0.0.1:{server.port}" in answer.stderr
    # Nothing was made: the password of a first start is shown by the start that succeeds.
    assert "password" not in answer.stdout
    assert not (tmp_path / "other").exists()
    answer = run("server", "--port", "0", "--data", str(server.directory))
    assert answer.returncode == 1
    assert "another Kaizen server is using" in answer.stderr


def test_a_first_start_says_how_to_begin_and_a_second_one_does_not_repeat_the_password(tmp_path):
    first = Running(tmp_path)
    said = "".join(first.said)
    assert "organisation" in said
    assert "kaizen keys create" in said
    assert len(first.password) >= 20
    with first.person() as person:
        assert person.get("/v1/whoami").json()["user"] == "admin"
    assert first.stop()[0] == 0
    second = Running(tmp_path)
    assert len(second.said) == 1
    assert second.stop()[0] == 0


def test_keys_are_made_listed_and_revoked_on_the_data_directory_and_on_the_server(server, person):
    data = str(server.directory)
    made = run(
        "keys", "create", "--name", "from cli", "--scope", "observer", "--agent", "one", "--data", data, "--json"
    )
    token = json.loads(made.stdout)["key"]
    with Caller(server.url, token) as caller:
        assert caller.get("/v1/whoami").json()["agent"] == "one"
        environment = {"KAIZEN_TOKEN": person.headers["Authorization"].split()[1]}
        for place in (["--data", data], ["--api-url", server.url]):
            listed = run("keys", "list", *place, **environment)
            assert "from cli" in listed.stdout
            assert token not in listed.stdout
        again = json.loads(
            run("keys", "create", "--name", "remote", "--api-url", server.url, "--json", **environment).stdout
        )
        assert run("keys", "revoke", again["id"], "--api-url", server.url, **environment).returncode == 0
        assert run("keys", "revoke", again["id"], "--api-url", server.url, **environment).returncode == 1
        replaced = run("keys", "create", "--name", "from cli", "--replace", "--data", data).stdout.strip()
        with Caller(server.url, replaced) as newer:
            assert newer.get("/v1/whoami").status_code == 200
        assert run("keys", "revoke", replaced, "--data", data).returncode == 0
    assert "start the server once" in run("keys", "list", "--data", data + "x").stderr
    assert "KAIZEN_TOKEN" in run("keys", "list", "--api-url", server.url, KAIZEN_TOKEN="").stderr
