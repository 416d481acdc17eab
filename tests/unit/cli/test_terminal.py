"""Nothing that an agent, a server or a project's author wrote drives the terminal that it is read on."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path

import pytest

from kaizen_security.cli import main
from kaizen_security.cli.terminal import paint
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.verdict import Decision, Verdict

CLI = Path(paint.__file__).parents[1]
NASTY = "a\x1b]52;c;eA==\x07\x9b2J\x85\u202egpj.\u2066\x7f\ud800\U000e0041 grün 東京"
ELSEWHERE = {
    "baseline.py",  # counts bytes
    "redteam.py",  # a file for GitHub
    "holds.py",  # in ``plain``
    "server.py",  # the API's description, of nobody's making but ours
    "recorded/gate.py",  # a file of our own
}


@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_the_same_document_and_moves_no_cursor(indent):
    text = paint.json_text({NASTY: [NASTY]}, indent=indent)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == {NASTY: [NASTY]}
    assert "grün 東京" in text, "what can be read is left as it is"


def test_a_servers_own_words_in_an_error_keep_their_lines_and_nothing_else():
    said = paint.told(KaizenError(f"one\n{NASTY}"))
    assert said.startswith("one\n")
    assert all(line.isprintable() for line in said.split("\n"))


def test_every_command_writes_json_by_the_one_function():
    found = set()
    for path in sorted(CLI.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "json.dumps":
                found |= {str(path.relative_to(CLI)) for word in call.keywords if word.arg == "ensure_ascii"}
    assert found == ELSEWHERE | {"terminal/paint.py"}


@pytest.mark.parametrize("words", [["scan"], ["wrap"]])
def test_names_in_a_projects_list_of_servers_are_shown_and_not_obeyed(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))
    env = {"API_KEY\x1b]0;x\x07": "v"}
    servers = {"\x1b]52;c;eA==\x07\x9b2J": {"command": "npx", "args": ["x"], "env": env}}
    (tmp_path / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    main(["mcp", *words, "--folder", str(tmp_path), "--file", str(tmp_path / ".mcp.json")])
    out = capsys.readouterr().out
    assert "]52;c;eA==" in out
    assert all(line.isprintable() for line in out.split("\n"))


def test_a_file_that_an_agent_names_does_not_drive_the_live_view(monkeypatch):
    console = pytest.importorskip("rich.console")
    from kaizen_security.launch import view

    monkeypatch.setattr("rich.live.Live.start", lambda self: None)
    monkeypatch.setattr("rich.live.Live.stop", lambda self: None)
    monkeypatch.setattr("rich.live.Live.update", lambda self, *_, **__: None)
    shown = view.View("a", "output.log")
    try:
        verdict = Verdict(decision=Decision.BLOCK, reason=f"no {NASTY}")
        shown.report(Action(kind="file", target=f"/tmp/{NASTY}", at=1.0), verdict)
        out = io.StringIO()
        console.Console(file=out, width=200, color_system=None).print(shown._drawn())
    finally:
        shown.close()
    assert "]52;c;eA==" in out.getvalue()
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
