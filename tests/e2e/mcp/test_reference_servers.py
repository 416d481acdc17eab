"""The reference servers of npm and PyPI, spoken to line by line: what comes through the shim are the very bytes that they wrote."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.mcp.shimmed import SHIM, bare

PAGE = "<html><body><h1>Prices</h1><p>Apples cost 3 €, {hidden}pears 4 €.</p></body></html>".replace("{hidden}", "é ")


class _Page(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        body = PAGE.encode() if self.path == "/page" else b"nothing"
        self.send_response(200 if self.path == "/page" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def page():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "repository"
    place.mkdir()
    (place / "one.txt").write_text("one\n")
    fixed = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Tests")
    fixed |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "tests@example.org")
    fixed |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    git = functools.partial(subprocess.run, check=True, capture_output=True, cwd=place, env={**os.environ, **fixed})
    git(["git", "init", "-q", "-b", "main"])
    git(["git", "add", "."])
    git(["git", "commit", "-q", "-m", "One"])
    (place / "one.txt").write_text("two\n")
    return str(place)


def lines(command, tmp_path, asked, **more):
    """The lines that a server writes for requests that are sent one after the other, as bytes; its notifications left out."""
    opening = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    requests = [("initialize", opening), ("tools/list", {}), *asked]
    found = []
    environment = bare(tmp_path, HOME=str(tmp_path), **more)
    with subprocess.Popen(
        [*map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=tmp_path,
    ) as process:
        for id_, (method, params) in enumerate(requests):
            message = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            while (line := process.stdout.readline()) and json.loads(line).get("id") != id_:
                pass
            found.append(line)
            if method == "initialize":
                process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.stdin.close()
        process.stdout.read()
        process.wait(20)
    assert all(found), "the server answered everything"
    return found


def call(tool, **arguments):
    return ("tools/call", {"name": tool, "arguments": arguments})


def same(command, tmp_path, asked, **more):
    """The lines that the server wrote, which are the same with the shim and without it."""
    direct = lines(command, tmp_path, asked, **more)
    assert lines([*SHIM, "--name", "peer", "--", *command], tmp_path, asked, **more) == direct
    return [json.loads(line)["result"] for line in direct]


def test_everything(place, tmp_path):
    command = [place("node") / "node_modules/.bin/mcp-server-everything"]
    asked = [
        call("echo", message="é \u2028 x"),
        call("get-sum", a=1, b=2),
        call("get-tiny-image"),
        call("get-structured-content", location="Chicago"),
        call("get-annotated-message", messageType="error", includeImage=True),
        call("get-resource-links", count=3),
        ("resources/list", {}),
        ("resources/templates/list", {}),
        ("resources/read", {"uri": "demo://resource/static/document/architecture.md"}),
        ("prompts/list", {}),
        ("prompts/get", {"name": "args-prompt", "arguments": {"city": "Oslo"}}),
        (
            "completion/complete",
            {
                "ref": {"type": "ref/prompt", "name": "completable-prompt"},
                "argument": {"name": "department", "value": "E"},
            },
        ),
        ("logging/setLevel", {"level": "debug"}),
        ("ping", {}),
    ]
    results = same(command, tmp_path, asked)
    assert results[2]["content"][0]["text"] == "Echo: é \u2028 x"


def test_filesystem(place, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.txt").write_text("eins ⚙\n")
    command = [place("node") / "node_modules/.bin/mcp-server-filesystem", folder]
    asked = [
        call("list_directory", path=str(folder)),
        call("read_text_file", path=str(folder / "one.txt")),
        call("read_text_file", path="/etc/passwd"),
        call("write_file", path=str(folder / "two.txt"), content="zwei"),
        call("edit_file", path=str(folder / "two.txt"), edits=[{"oldText": "zwei", "newText": "zwei"}], dryRun=True),
        call("search_files", path=str(folder), pattern="*.txt"),
        call("directory_tree", path=str(folder)),
    ]
    (folder / "two.txt").write_text("zwei")
    results = same(command, tmp_path, asked)
    assert "eins ⚙" in results[3]["content"][0]["text"]


def test_memory(place, tmp_path):
    command = [place("node") / "node_modules/.bin/mcp-server-memory"]
    entity = {"name": "Ada", "entityType": "person", "observations": ["counts"]}
    asked = [
        call("create_entities", entities=[entity]),
        call("add_observations", observations=[{"entityName": "Ada", "contents": ["writes"]}]),
        call("search_nodes", query="Ada"),
        call("read_graph"),
        call("delete_entities", entityNames=["Ada"]),
    ]
    results = same(command, tmp_path, asked, MEMORY_FILE_PATH=str(tmp_path / "memory.jsonl"))
    assert "counts" in results[4]["content"][0]["text"]


def test_fetch(place, tmp_path, page):
    command = [place("sdk2"), "-m", "mcp_server_fetch", "--ignore-robots-txt", "--allow-private-ips"]
    asked = [call("fetch", url=page), call("fetch", url=page, raw=True), call("fetch", url=f"{page}/none")]
    results = same(command, tmp_path, asked)
    assert "pears 4 €" in results[2]["content"][0]["text"]


def test_time(place, tmp_path):
    command = [place("sdk2"), "-m", "mcp_server_time", "--local-timezone", "Europe/Oslo"]
    noon = {"source_timezone": "Europe/Oslo", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    results = same(command, tmp_path, [call("convert_time", **noon), call("convert_time", **{**noon, "time": "no"})])
    assert "Asia/Tokyo" in results[2]["content"][0]["text"]


def test_git(place, tmp_path, repository):
    command = [place("sdk2"), "-m", "mcp_server_git", "--repository", repository]
    asked = [
        call("git_status", repo_path=repository),
        call("git_diff_unstaged", repo_path=repository),
        call("git_log", repo_path=repository),
        call("git_show", repo_path=repository, revision="HEAD"),
        call("git_status", repo_path=str(tmp_path)),
    ]
    results = same(command, tmp_path, asked)
    assert "+two" in results[3]["content"][0]["text"]
