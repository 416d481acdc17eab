"""The protocol's own conformance suite, and its inspector, with and without Kaizen between them: they come to the same results."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.mcp import official
from tests.e2e.mcp.shimmed import SHIM, bare
from tests.e2e.mcp.talking import free_port, listening
from tests.e2e.mcp.test_gateway import Gateway

HERE = Path(__file__).parent
REBOUND = "dns-rebinding-protection"
PACKAGES = Path("node_modules/@modelcontextprotocol")


@pytest.fixture
def run(place, tmp_path):
    """What a command of the newer project prints, by the script's path in the project."""
    project = place("newer-node")

    def run(script, *words):
        done = subprocess.run(
            [str(official.runtime(project)), str(project / PACKAGES / script), *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=bare(tmp_path, HOME=str(tmp_path), NO_COLOR="1"),
            timeout=90,
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


@pytest.fixture
def conformance(run, tmp_path):
    """Every check of every scenario of the server suite against a URL: name of the scenario, of the check, and its status."""

    def checks(url):
        out = tmp_path / f"results-{len(list(tmp_path.glob('results-*')))}"
        run("conformance/dist/index.js", "server", "--suite", "all", "--url", url, "-o", out)
        # A folder's name is the scenario's and the time's.
        found = {
            re.sub(r"-\d{4}-\d\d-\d\dT.*", "", file.parent.name): json.loads(file.read_text())
            for file in out.rglob("checks.json")
        }
        return sorted((scenario, one["id"], one["status"]) for scenario, checks in found.items() for one in checks)

    return checks


def settled(found):
    """Without checks that count events or time, which differ from run to run."""
    return [one for one in found if one[2] in ("SUCCESS", "FAILURE", "WARNING")]


@pytest.mark.parametrize("server", ["suite's own", "everything"])
def test_the_conformance_suite_comes_to_the_same_results_through_the_gateway(place, conformance, tmp_path, server):
    port, node = free_port(), place("node")
    if server == "everything":
        words = [node / "node_modules/.bin/mcp-server-everything", "streamableHttp"]
    else:
        shutil.copy(HERE / "conformance_server.mjs", node / "conformance_server.mjs")
        words = ["node", node / "conformance_server.mjs", port]
    with listening(words, port, tmp_path, PORT=str(port)) as url:
        direct = conformance(url)
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            through = conformance(gateway.url("peer"))
        finally:
            assert "Traceback" not in gateway.end()
    direct, through = settled(direct), settled(through)
    assert [one for one in through if REBOUND not in one[0]] == [one for one in direct if REBOUND not in one[0]]
    # The gateway itself refuses what a page sends that was rebound to it, also where the server does not.
    assert {one[2] for one in through if REBOUND in one[0]} == {"SUCCESS"}
    if server != "everything":
        assert len([one for one in through if one[2] == "SUCCESS"]) >= 40
        assert [one for one in through if one[2] == "FAILURE"] == []


def test_the_conformance_suite_passes_against_a_server_that_the_gateway_starts(place, conformance, tmp_path):
    """The suite speaks HTTP only; so a server over standard input and output is measured by it as well."""
    shutil.copy(HERE / "conformance_server.mjs", place("node") / "conformance_server.mjs")
    settings = tmp_path / "gateway.toml"
    command = json.dumps(["node", str(place("node") / "conformance_server.mjs"), "stdio"])
    settings.write_text(f"[servers.peer]\ncommand = {command}\n")
    gateway = Gateway(tmp_path, "--config", str(settings))
    try:
        found = settled(conformance(gateway.url("peer")))
    finally:
        assert "Traceback" not in gateway.end()
    assert [one for one in found if one[2] == "FAILURE"] == []
    assert len([one for one in found if one[2] == "SUCCESS"]) >= 40


METHODS = [
    ["--method", "tools/list"],
    ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hi"],
    ["--method", "tools/call", "--tool-name", "get-structured-content", "--tool-arg", "location=Chicago"],
    ["--method", "resources/list"],
    ["--method", "prompts/get", "--prompt-name", "args-prompt", "--prompt-args", "city=Oslo"],
]


def test_the_inspector_sees_the_same_through_the_shim(place, run):
    server = [place("node") / "node_modules/.bin/mcp-server-everything"]
    for method in METHODS[::2]:
        direct = run("inspector/clients/launcher/build/index.js", "--cli", *server, *method)
        assert json.loads(direct[direct.index("{") :])
        shimmed = [*SHIM, "--name", "everything", "--", *server]
        assert run("inspector/clients/launcher/build/index.js", "--cli", *shimmed, *method) == direct


def test_the_inspector_sees_the_same_through_the_gateway(place, run, tmp_path):
    port = free_port()
    words = [place("node") / "node_modules/.bin/mcp-server-everything", "streamableHttp"]
    with listening(words, port, tmp_path, PORT=str(port)) as url:
        gateway = Gateway(tmp_path, "--server", f"peer={url}")
        try:
            for method in METHODS[:3]:
                seen = [
                    run("inspector/clients/launcher/build/index.js", "--cli", one, "--transport", "http", *method)
                    for one in (url, gateway.url("peer"))
                ]
                assert seen[0] == seen[1]
                assert json.loads(seen[0][seen[0].index("{") :])
        finally:
            assert "Traceback" not in gateway.end()
