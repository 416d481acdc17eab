"""What a server was started with is nobody else's: canaries in its environment, arguments and headers, in no output."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest

from tests.e2e.mcp.http_peer import HttpPeer
from tests.e2e.mcp.shimmed import PEER, SHIM, Shim, bare
from tests.e2e.mcp.test_gateway import Gateway, request
from tests.e2e.server.running import Running

ENV, ARGUMENT, HEADER = "canary-env-5f1c", "canary-argument-9b2e", "canary-header-77aa"
CANARIES = (ENV, ARGUMENT, HEADER)


def kept(folder):
    """Every file below a folder, as bytes, without what ``wrap`` keeps to undo itself."""
    files = [path for path in folder.rglob("*") if path.is_file() and "before" not in path.parts]
    return {str(path): path.read_bytes() for path in files}


def clean(said):
    text = (
        said if isinstance(said, str) else json.dumps(said) if not isinstance(said, bytes) else said.decode("latin-1")
    )
    for canary in CANARIES:
        assert canary not in text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server") / "data")
    yield running
    running.stop()


def test_the_shim_tells_nobody_what_its_server_was_started_with(server, tmp_path):
    where = {"KAIZEN_API_URL": server.url, "KAIZEN_API_KEY": server.key(), "KAIZEN_AGENT": "canary"}
    command = [sys.executable, "-u", str(PEER), str(tmp_path / "reached.jsonl"), "--token", ARGUMENT]
    with Shim(tmp_path, command=command, SERVER_SECRET=ENV, **where) as shim:
        shim.ask(1, "initialize", protocolVersion="2025-06-18", capabilities={})
        shim.ask(2, "tools/list")
        shim.call(3, "look")
        shim.call(4, "noise")
        shim.send(b"nonsense")
        clean(shim.read())
        status, err = shim.end()
    assert status == 0
    clean(err.replace("goodbye", ""))
    for content in kept(tmp_path / "data").values():
        clean(content)
    with server.call() as call:
        clean(call.get("/v1/verdicts", params={"agent": "canary", "limit": 100}).text)
    for content in kept(server.directory).values():
        clean(content)


@pytest.mark.parametrize(
    "command",
    [
        ["/nowhere/to/be/found", ARGUMENT],
        [sys.executable, "-c", "raise SystemExit(3)", ARGUMENT],
        [sys.executable, "-c", "import os; os.close(0); os.close(1); import time; time.sleep(0.2)", ARGUMENT],
    ],
)
def test_nor_does_it_when_the_server_cannot_be_started_or_dies(tmp_path, command):
    done = subprocess.run(
        [*SHIM, "--", *command],
        capture_output=True,
        input=json.dumps(request(1, "tools/list")).encode() + b"\n",
        env=bare(tmp_path, SERVER_SECRET=ENV),
        timeout=30,
    )
    clean(done.stdout + done.stderr)
    for content in kept(tmp_path / "data").values():
        clean(content)


def test_nor_do_scan_wrap_and_pins(tmp_path):
    file = tmp_path / ".mcp.json"
    entry = {"command": "npx", "args": ["-y", "thing", ARGUMENT], "env": {"TOKEN": ENV}}
    web = {
        "url": f"http://user:{HEADER}@127.0.0.1:9/mcp?key={HEADER}",
        "headers": {"Authorization": f"Bearer {HEADER}"},
    }
    file.write_text(json.dumps({"mcpServers": {"thing": entry, "web": web}}))
    for words in (
        ["scan"],
        ["scan", "--json"],
        ["wrap"],
        ["wrap", "--write"],
        ["scan", "--json"],
        ["wrap", "--undo", "--write"],
        ["pins"],
        ["pins", "--json"],
    ):
        where = ["--file", str(file)] if words[0] != "pins" else []
        done = subprocess.run(
            [sys.executable, "-m", "kaizen_security.cli", "mcp", *words, *where],
            capture_output=True,
            text=True,
            env=bare(tmp_path),
            timeout=30,
        )
        assert "Traceback" not in done.stderr
        clean(done.stdout + done.stderr)
    assert json.loads(file.read_text())["mcpServers"] == {"thing": entry, "web": web}
    for content in kept(tmp_path / "data").values():
        clean(content)
    # What is kept to undo ``wrap`` holds the file as it was: nobody else may read it.
    before = tmp_path / "data/mcp/before"
    for path in (before, *before.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_nor_does_the_gateway(tmp_path):
    peer = HttpPeer()
    settings = tmp_path / "gateway.toml"
    settings.write_text(
        f'[servers.desk]\nurl = "{peer.url}"\nheaders = {{ authorization = "env:UPSTREAM" }}\n'
        f'[servers.gone]\nurl = "http://127.0.0.1:9/{ARGUMENT}"\nheaders = {{ x = "{HEADER}" }}\n'
    )
    gateway = Gateway(tmp_path, "--config", str(settings), UPSTREAM=f"Bearer {ENV}")
    try:
        peer.answers["tools/list"] = (500, "text/html", f"you sent {ENV}".encode())
        for server in ("desk", "gone"):
            for message in (request(1, "initialize"), request(2, "tools/list"), request(3, "tools/call", name="look")):
                answer = gateway.post(message, server=server)
                clean(answer.text + str(answer.headers))
        clean(gateway.call.get("/healthz").text)
        assert ENV in str(peer.reached), "the server itself got it"
    finally:
        clean(gateway.end())
        peer.close()
    for content in kept(tmp_path / "data").values():
        clean(content)
