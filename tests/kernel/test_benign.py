"""Ordinary work of real tools, as an agent in enforce mode that declared what it needs: nothing is refused, and nothing is a gap.

The agent tells of each tool call as its client would; the joiner is told both, and must find no effect that nothing explains.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.step import Result
from kaizen_security.runtime.joining import Joiner
from tests.kernel.world import RESOLVER, resolver

HOST = "packages.example"
SERVER = """
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.6", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
HTTP_CLIENT = """
import asyncio, concurrent.futures, sys, threading, urllib.request
url = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(len(body) for body in pool.map(lambda n: opener.open(url).read(), range(24)))
async def many():
    async def one():
        reader, writer = await asyncio.open_connection(sys.argv[2], int(sys.argv[3]))
        writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n"); await writer.drain()
        assert await reader.read(); writer.close()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port); writer.close()
    process = await asyncio.create_subprocess_exec("true"); await process.wait()
    await asyncio.gather(*(one() for _ in range(16)))
asyncio.run(many())
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A server of the world outside: a git repository, a Python package, an npm package."""
    place = tmp_path_factory.mktemp("packages")
    with zipfile.ZipFile(place / "small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small/__init__.py", "value = 1\n")
        wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@example.org"]
    (place / "repo").mkdir()
    (place / "repo" / "file").write_text("x")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["update-server-info"]):
        subprocess.run([*git, *words], cwd=place / "repo", check=True, capture_output=True)
    package = place / "npm" / "package"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "small", "version": "1.0.0"}')
    subprocess.run(["tar", "czf", str(place / "small.tgz"), "-C", str(place / "npm"), "package"], check=True)
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(place)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdout is not None
    yield place, int(server.stdout.readline())
    server.kill()
    server.communicate()


def words_of(tool: str, url: str, port: int, folder: Path) -> list[str]:
    """The command of one tool."""
    (folder / "test_it.py").write_text("import socket, threading\n\ndef test_it(tmp_path):\n    socket.socketpair()\n")
    (folder / "Makefile").write_text("all: a b\na b:\n\t@echo $@ > $@; sleep 0.01\n")
    (folder / "fetch.py").write_text(HTTP_CLIENT)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-index",
        "--no-cache-dir",
    ]
    return {
        "git": ["git", "clone", "-q", f"{url}/repo/.git", str(folder / "clone")],
        "pip": [
            *pip,
            "--no-deps",
            "--target",
            str(folder / "target"),
            "--trusted-host",
            HOST,
            f"{url}/small-1.0-py3-none-any.whl",
        ],
        "npm": [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder / "npm"),
            f"{url}/small.tgz",
        ],
        "pytest": [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            str(folder / "test_it.py"),
        ],
        "curl": ["curl", "-sS", "--fail", f"{url}/small.tgz", "-o", str(folder / "small.tgz")],
        "make": ["make", "-s", "-j", "4", "-C", str(folder)],
        "python, threads and asyncio": [sys.executable, str(folder / "fetch.py"), f"{url}/small.tgz", HOST, str(port)],
    }[tool]


TOOLS = ("git", "pip", "npm", "pytest", "curl", "make", "python, threads and asyncio")


@pytest.mark.root
@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_is_refused_and_nothing_is_a_gap(agent, packages: tuple[Path, int], tmp_path: Path, tool: str):
    _, port = packages
    words = words_of(tool, f"http://{HOST}:{port}", port, tmp_path)
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    declared = compile_rules(Declaration(destinations=(f"{HOST}:{port}",)), (), also=(f"{RESOLVER}:53",), limited=True)
    Table(agent.collector, 0).put(declared, Agent.ENFORCE | Agent.QUIC_SHUT)
    joiner, ids = Joiner(time.time), count()
    joiner.note(Action(tool=tool, target=f"http://{HOST}:{port}/", id="call", run_id="r", agent="a", at=time.time()))
    with resolver({HOST: "127.0.0.6"}):
        done = in_own_names(agent, words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    joiner.note(Result(run_id="r", action_id="call", agent="a", at=time.time()))
    translator = Translator(
        agent="a", run_id="", ids=lambda: f"e{next(ids)}", name_of=agent.collector.name_of, resolve=False
    )
    told = [found for event in agent.events() if (found := translator.actions(event)) is not None]
    assert told
    notes = {
        (action.target, joined.note)
        for action, _ in told
        if action.kind != "exec" and (joined := joiner.see(action)).note
    }
    assert notes == set()
    assert [action.target for action, verdict in told if verdict.blocked] == []
    counted = agent.collector.counters()
    assert (counted["refused"], counted["lost_ring"], counted["lost_mark"]) == (0, 0, 0)
    reached = {
        action.target for action, _ in told if action.kind == "connect" and not action.target.startswith("unix:")
    }
    assert reached == (set() if tool in ("pytest", "make") else {f"{HOST}:{port}"})


def in_own_names(agent, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run with a resolv.conf of the test's own, in a mount namespace, and without the host's proxies."""
    names = folder / "resolv.conf"
    names.write_text(f"nameserver {RESOLVER}\noptions attempts:1 timeout:30\n")
    script = 'mount --bind "$1" "$(readlink -f /etc/resolv.conf)" && shift && exec "$@"'
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    outer = ["unshare", "--mount", "sh", "-c", script, "names", str(names), *words]
    return subprocess.run(
        outer,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=kept,
        preexec_fn=lambda: agent.collector.mark(os.getpid(), 0),
    )
