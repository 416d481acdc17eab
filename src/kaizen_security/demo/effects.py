"""The deeds of the red-team corpus, done for real and harmlessly: every effect stays in its working directory or on loopback."""

from __future__ import annotations

import json
import subprocess
import sys

from kaizen_security.contract.action import Json
from kaizen_security.demo.tools import TIMEOUT, Bench, ToolFailed
from kaizen_security.redteam.scenario import Deed, Effect

_STAND_IN = "import sys; sys.stdout.write(sys.argv[1])"


def execute(bench: Bench, deed: Deed) -> Json:
    """Do one deed and give what it brought back. Raises ToolFailed.

    Requests go through the proxy to the demonstration's servers. Files lie under the working directory, whatever their path. A
    command is a real child process that gets the scenario's words but does nothing with them: a scenario may say ``rm -rf``.
    """
    match deed.effect:
        case Effect.HTTP_GET:
            return bench.request("GET", deed.target)
        case Effect.HTTP_POST:
            return bench.request("POST", deed.target, dict(deed.arguments))
        case Effect.READ_FILE:
            return _read(bench, deed)
        case Effect.WRITE_FILE:
            return _write(bench, deed)
        case Effect.RUN_COMMAND:
            return _run(bench, deed)
        case Effect.QUERY:
            return _query(bench, deed)
        case Effect.MESSAGE:
            return _message(bench, deed)


def _place(target: str) -> str:
    return "system/" + target.replace("~", "home").lstrip("/")


def _read(bench: Bench, deed: Deed) -> Json:
    path = bench.inside(_place(deed.target))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The scenario says what the file holds; putting it there is the play's work, reading it is the agent's.
        path.write_text(deed.result if isinstance(deed.result, str) else json.dumps(deed.result))
        return path.read_text()
    except OSError as err:
        raise ToolFailed(f"cannot be read: {err.strerror}") from err


def _write(bench: Bench, deed: Deed) -> Json:
    path = bench.inside(_place(deed.target))
    content = deed.arguments.get("content", "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_text(content if isinstance(content, str) else json.dumps(content))
    except OSError as err:
        raise ToolFailed(f"cannot be written: {err.strerror}") from err


def _run(bench: Bench, deed: Deed) -> Json:
    command = deed.arguments.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    answer = deed.result if isinstance(deed.result, str) else json.dumps(deed.result)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STAND_IN, answer, *words],
            cwd=bench.work,
            env=bench.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as err:
        raise ToolFailed(f"did not run: {err}") from err
    return done.stdout.decode(errors="replace")


def _query(bench: Bench, deed: Deed) -> Json:
    question = (deed.tool, json.dumps(dict(deed.arguments), sort_keys=True))
    with bench.database:
        bench.database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (*question, json.dumps(deed.result)))
    row = bench.database.execute("SELECT content FROM kept WHERE shelf = ? AND id = ?", question).fetchone()
    answer: Json = json.loads(row[0])
    return answer


def _message(bench: Bench, deed: Deed) -> Json:
    box = bench.inside("outbox.jsonl")
    with box.open("a") as out:
        out.write(json.dumps({"tool": deed.tool, **deed.arguments}) + "\n")
    return {"queued": True}
