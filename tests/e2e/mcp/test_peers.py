"""Official peers with and without Kaizen between them: what they hear is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.mcp import official
from tests.e2e.mcp.shimmed import SHIM
from tests.e2e.mcp.talking import free_port, heard, listening
from tests.e2e.mcp.test_gateway import Gateway

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


TYPESCRIPT = [["add", {"a": 1, "b": 2}], ["echo", {"text": "é \u2028 x"}], ["greet_slowly", {}], ["add", {"a": "no"}]]


@pytest.fixture
def typescript2(place):
    """Words that run a script with the TypeScript SDK 2.x."""
    project = place("newer-node")

    def words(script):
        shutil.copy(HERE / script, project / script)
        return [official.runtime(project), project / script]

    return words


@pytest.mark.parametrize(("era", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_typescript_sdk_2_in_both_eras_over_standard_input_and_output(typescript2, tmp_path, era, version):
    client, server = [*typescript2("sdk2_client.mjs"), era], [*typescript2("sdk2_server.mjs"), "stdio"]
    direct, through = both(client, server, tmp_path, TYPESCRIPT)
    assert through == direct
    assert direct["version"] == version
    assert [one["content"][0]["text"] for one in direct["calls"][:3]] == ["3", "é \u2028 x", "Hello Ada"]


def test_the_typescript_sdk_2_in_both_eras_over_http(typescript2, tmp_path):
    port = free_port()
    with listening([*typescript2("sdk2_server.mjs"), str(port)], port, tmp_path) as url:
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            for era in ("auto", "legacy"):
                client = [*typescript2("sdk2_client.mjs"), era]
                direct = heard([*client, url], tmp_path, TYPESCRIPT)
                assert heard([*client, gateway.url("peer")], tmp_path, TYPESCRIPT) == direct
                assert direct["calls"][0]["structuredContent"] == {"result": 3}
        finally:
            assert "Traceback" not in gateway.end()


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
    project = place("node")
    shutil.copy(HERE / "sdk_client.mjs", project / "sdk_client.mjs")
    clients.append(["node", project / "sdk_client.mjs"])
    with listening(words, port, tmp_path, PORT=str(port)) as url:
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            for client in clients:
                direct = heard([*client, url], tmp_path, calls)
                through = heard([*client, gateway.url("peer")], tmp_path, calls)
                assert through == direct
        finally:
            assert "Traceback" not in gateway.end()
