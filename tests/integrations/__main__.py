"""``python -m tests.integrations a b``: set up the frameworks' environments side by side, and run each one's tests in it.

What was shown is kept in ``tests/integrations/shown/ENVIRONMENT.json``, of which ``docs/reference/integrations.md`` is made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {
    "a": (
        "openai_agents",
        "openai_agents_hostile",
        "openai_agents_hosted",
        "langchain",
        "langchain_hostile",
        "langchain_hosted",
        "pydantic_ai",
        "pydantic_ai_hostile",
        "claude_agent",
        "claude_agent_hosts",
        "otel",
        "otel_hosts",
        "pairs",
        "pairs_mcp",
        "auto",
        "programs",
        "examples",
    ),
    "b": (
        "crewai",
        "crewai_hostile",
        "crewai_hosted",
        "pairs_crewai",
        "semantic_kernel",
        "google_adk",
        "google_adk_live",
        "google_adk_hosted",
        "llamaindex",
        "bedrock",
        "bedrock_hostile",
        "conversations",
        "otel_instrumented",
        "auto",
        "programs",
        "examples",
    ),
    "lowest": (
        "openai_agents",
        "openai_agents_hostile",
        "openai_agents_hosted",
        "langchain",
        "langchain_hostile",
        "langchain_hosted",
        "pydantic_ai",
        "pydantic_ai_hostile",
        "claude_agent",
        "claude_agent_hosts",
        "otel",
        "otel_hosts",
        "examples",
    ),
    "lowest-b": (
        "google_adk",
        "google_adk_live",
        "google_adk_hosted",
        "llamaindex",
        "bedrock",
        "bedrock_hostile",
        "conversations",
        "examples",
    ),
    "lowest-c": ("crewai", "crewai_hostile", "crewai_hosted", "semantic_kernel", "conversations", "examples"),
}
"""Environment (``requirements/frameworks-NAME.lock``) to the adapters that are tested in it."""
LONG = "--long"
"""Also what takes minutes: processes that end and fork, sidecars that are sick in every way, a thousand calls at once."""


def environment(name: str) -> Path:
    """Its Python, with what the lock file says; set up when it is not there, or the lock has changed."""
    lock = ROOT / "requirements" / f"frameworks-{name}.lock"
    home = ROOT / f".venv-frameworks-{name}"
    stamp = home / ".kaizen"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    uv = str(ROOT / ".venv" / "bin" / "uv")
    if not Path(uv).exists():
        uv = shutil.which("uv") or "uv"
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
    subprocess.run([uv, "pip", "sync", "-q", "--require-hashes", "--python", str(python), str(lock)], check=True)
    stamp.write_text(wanted)
    return python


def tested(name: str, more: list[str]) -> int:
    """Run its tests; their exit status."""
    places = (ROOT / "tests" / "integrations" / f"test_{adapter}.py" for adapter in ENVIRONMENTS[name])
    files = [str(place) for place in places if place.exists()]
    if not files:
        return 0
    python = environment(name)
    shown = ROOT / "tests" / "integrations" / "shown" / f"{name}.json"
    shown.parent.mkdir(exist_ok=True)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    settings |= {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "KAIZEN_SHOWN": str(shown)}
    if LONG in more:
        settings["KAIZEN_LONG"] = "1"
        more = [word for word in more if word != LONG]
    command = [str(python), "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"]
    # Warnings of ours are errors here too; the frameworks' own are theirs.
    command += ["-o", "addopts=", "-o", "filterwarnings=error:::kaizen_security", *more]
    return subprocess.run([*command, *files], cwd=ROOT, env=settings).returncode


def main(argv: list[str]) -> int:
    """The named environments at the same time; 0 when all of them passed."""
    names = [name for name in argv if name in ENVIRONMENTS] or ["a", "b"]
    more = [word for word in argv if word not in ENVIRONMENTS]
    with ThreadPoolExecutor(len(names)) as pool:
        return max(pool.map(lambda name: tested(name, more), names))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
