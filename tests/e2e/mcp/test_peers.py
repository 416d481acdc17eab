"""Official peers with and without Kaizen between them: what they hear is the same."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.mcp import official
from tests.e2e.mcp.shimmed import SHIM, bare
from tests.e2e.mcp.test_gateway import Gateway
from tests.e2e.sidecar_process import until

HERE = Path(__file__).parent
OWN = [
    ["add", {"a": 1, "b": 2}],
    ["echo", {"text": "é \u2028 x"}],
    ["echo", {"text": "y" * 3_000_000}],
    ["add", {"a": "no"}],
]
EVERYTHING = [
    ["echo", {"message": "hi"}],
    ["get-sum", {"a": 1, "b": 2}],
    ["get-tiny-image", {}],
    ["get-structured-content", {"location": "New York"}],
    ["get-annotated-message", {"messageType": "error", "includeImage": True}],
    ["get-resource-links", {"count": 3}],
    ["trigger-long-running-operation", {"duration": 0.2, "steps": 2}],
    ["no-such-tool", {}],
]
MEMORY = [
    ["create_entities", {"entities": [{"name": "Ada", "entityType": "person", "observations": ["counts"]}]}],
    ["read_graph", {}],
]


@pytest.fixture(scope="session")
def place():
    """The interpreter of an SDK, or the folder of the npm project."""

    def find(name):
        try:
            return official.node() if name == "node" else official.python(name)
        except official.Absent as err:
            pytest.skip(str(err))

    return find


def heard(words, tmp_path, calls, **more):
    """What a client prints."""
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(calls))
    environment = bare(tmp_path, CALLS=str(file), **more)
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def both(client, server, tmp_path, calls, **more):
    """What the client hears from the server directly, and through the shim."""
    direct = heard([*client, "--", *server], tmp_path, calls, **more)
    return direct, heard([*client, "--", *SHIM, "--", *server], tmp_path, calls, **more)


@pytest.mark.parametrize(("client", "server"), [("sdk1", "sdk1"), ("sdk2", "sdk1"), ("sdk1", "sdk2")])
def test_python_sdks_over_standard_input_and_output(place, tmp_path, client, server):
    words = [place(server), HERE / "sdk_server.py", "stdio"]
    direct, through = both([place(client), HERE / "sdk_client.py"], words, tmp_path, OWN)
    assert through == direct
    assert direct["calls"][0]["structuredContent"] == {"result": 3}
    assert [bool(one.get("isError")) for one in direct["calls"]] == [False, False, False, True]


def test_the_era_without_sessions(place, tmp_path):
    words = [place("sdk2"), HERE / "sdk_server.py", "stdio"]
    direct, through = both([place("sdk2"), HERE / "sdk_modern.py"], words, tmp_path, OWN)
    assert through == direct
    assert direct["version"] >= "2026-07-28"


@pytest.mark.parametrize(
    ("server", "words", "calls"),
    [
        ("server-everything", [], EVERYTHING),
        ("server-memory", [], MEMORY),
        (
            "server-filesystem",
            ["FOLDER"],
            [["list_directory", {"path": "FOLDER"}], ["read_text_file", {"path": "/etc/passwd"}]],
        ),
    ],
)
@pytest.mark.parametrize("client", ["sdk1", "typescript"])
def test_reference_servers_from_npm(place, tmp_path, client, server, words, calls):
    node = place("node")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/one.txt").write_text("one")
    command = [node / f"node_modules/.bin/mcp-{server}", *words]
    said = json.dumps([[str(word) for word in command], calls]).replace("FOLDER", str(tmp_path / "folder"))
    command, calls = json.loads(said)
    if client == "typescript":
        shutil.copy(HERE / "sdk_client.mjs", node / "sdk_client.mjs")
        talks = ["node", node / "sdk_client.mjs"]
    else:
        talks = [place(client), HERE / "sdk_client.py"]
    results = []
    for shim in ([], [*SHIM, "--name", server, "--"]):
        more = {"MEMORY_FILE_PATH": str(tmp_path / f"memory-{len(shim)}.json")}
        results.append(heard([*talks, "--", *shim, *command], tmp_path, calls, **more))
    direct, through = results
    assert through == direct
    assert len(direct["calls"]) == len(calls)


@contextlib.contextmanager
def listening(words, port, tmp_path, **more):
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=bare(tmp_path, **more)
    )
    try:
        until(lambda: _answers(port), "the server listens")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("server", ["sdk1", "sdk2", "node"])
def test_streamable_http_through_the_gateway(place, tmp_path, server):
    port = free_port()
    if server == "node":
        words, calls = [place("node") / "node_modules/.bin/mcp-server-everything", "streamableHttp"], EVERYTHING
    else:
        # The SDK's own client takes no event of more than 1 MB.
        words, calls = (
            [place(server), HERE / "sdk_server.py", "http", str(port)],
            [*OWN[:2], ["echo", {"text": "y" * 400_000}]],
        )
    clients = [[place("sdk1"), HERE / "sdk_client.py"], [place("sdk2"), HERE / "sdk_client.py"]]
    if server == "sdk2":
        clients.append([place("sdk2"), HERE / "sdk_modern.py"])
    with listening(words, port, tmp_path, PORT=str(port)) as url:
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            for client in clients:
                direct = heard([*client, url], tmp_path, calls)
                through = heard([*client, f"{str(gateway.call.base_url).rstrip('/')}/peer/mcp"], tmp_path, calls)
                assert through == direct
        finally:
            assert "Traceback" not in gateway.end()
