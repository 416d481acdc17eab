"""``kaizen attach``: other programs' configuration is edited so that it can be undone to the byte."""

from __future__ import annotations

import json
import stat

import pytest

from kaizen_security.cli import main
from kaizen_security.setup.hooks import ASSISTANTS, MARK

OWN = {
    "claude-code": {
        "model": "x",
        "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}]},
    },
    "codex": {"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}]}},
    "copilot-cli": {"version": 1, "hooks": {"PreToolUse": [{"type": "command", "bash": "mine"}]}},
    "cursor": {"version": 1, "hooks": {"beforeShellExecution": [{"command": "mine"}]}},
    "gemini-cli": {
        "theme": "x",
        "hooks": {"BeforeTool": [{"matcher": "*", "hooks": [{"type": "command", "command": "mine"}]}]},
    },
}


@pytest.fixture
def attach(tmp_path, monkeypatch):
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))
    project = tmp_path / "project"

    def run(assistant, *flags):
        return main(["attach", assistant, "--folder", str(project), *flags])

    run.path = lambda assistant: project / ASSISTANTS[assistant].project
    return run


@pytest.fixture(params=sorted(ASSISTANTS))
def assistant(request):
    return request.param


def given(path, document, mode=0o640):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=3) + "\n")
    path.chmod(mode)
    return path.read_bytes()


def test_without_write_nothing_is_written_and_the_change_is_shown(attach, assistant, capsys):
    before = given(attach.path(assistant), OWN[assistant])
    assert attach(assistant) == 0
    assert attach.path(assistant).read_bytes() == before
    shown = capsys.readouterr().out
    assert MARK in shown
    assert "Nothing was written" in shown


@pytest.mark.parametrize("flags", [(), ("--enforce",)])
def test_in_enforce_cursor_is_told_that_a_hook_which_breaks_is_a_denial_where_ours_always_decides(attach, flags):
    assert attach("cursor", "--write", *flags) == 0
    hooks = json.loads(attach.path("cursor").read_text())["hooks"]
    closed = {event for event, entries in hooks.items() if entries[0].get("failClosed")}
    assert closed == ({"beforeShellExecution", "beforeMCPExecution", "beforeReadFile"} if flags else set())


def test_our_hook_stands_before_those_that_are_there_and_undo_is_to_the_byte(attach, assistant, capsys):
    path = attach.path(assistant)
    before = given(path, OWN[assistant])
    assert attach(assistant, "--write", "--enforce") == 0
    hooks = json.loads(path.read_text())["hooks"]
    assert set(ASSISTANTS[assistant].events) <= set(hooks)
    for event in ASSISTANTS[assistant].events:
        assert MARK in json.dumps(hooks[event][0])
        assert "--mode enforce" in json.dumps(hooks[event][0])
    event, (own,) = next(iter(OWN[assistant]["hooks"].items()))
    assert hooks[event][1:] == [own]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    capsys.readouterr()
    there = path.read_bytes()
    assert attach(assistant, "--undo") == 0
    assert path.read_bytes() == there
    shown = capsys.readouterr().out
    assert "Nothing was written" in shown
    assert "takes it back" not in shown
    assert attach(assistant, "--undo", "--write") == 0
    assert path.read_bytes() == before


def test_attaching_twice_leaves_one_hook(attach, assistant):
    path = attach.path(assistant)
    given(path, OWN[assistant])
    attach(assistant, "--write")
    attach(assistant, "--write", "--enforce")
    event = ASSISTANTS[assistant].events[0]
    assert json.dumps(json.loads(path.read_text())["hooks"][event]).count(MARK) == 1
    attach(assistant, "--undo", "--write")
    assert json.loads(path.read_text()) == OWN[assistant]


def test_a_file_that_was_edited_since_keeps_what_was_edited(attach, assistant):
    path = attach.path(assistant)
    given(path, OWN[assistant])
    attach(assistant, "--write")
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": True}))
    attach(assistant, "--undo", "--write")
    assert json.loads(path.read_text()) == {**OWN[assistant], "new": True}


def test_a_file_that_was_not_there_goes_away_again(attach, assistant):
    path = attach.path(assistant)
    assert attach(assistant, "--write") == 0
    assert MARK in path.read_text()
    assert attach(assistant, "--undo", "--write") == 0
    assert not path.exists()
    assert attach(assistant, "--undo", "--write") == 0


@pytest.mark.parametrize("text", ["// a comment\n{}", "[]", '{"hooks": []}', '{"hooks": {"%s": 1}}'])
def test_a_file_that_is_not_understood_is_left_alone(attach, assistant, text, capsys):
    path = attach.path(assistant)
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("%s", ASSISTANTS[assistant].events[0]))
    before = path.read_bytes()
    assert attach(assistant, "--write") == 1
    assert path.read_bytes() == before
    said = capsys.readouterr().err
    assert "left alone" in said
    assert "servers" not in said


@pytest.mark.parametrize("flags", [("--write",), ("--write", "--undo")])
def test_a_project_that_links_its_settings_elsewhere_does_not_choose_what_is_written(
    attach, assistant, tmp_path, flags, capsys
):
    path = attach.path(assistant)
    other = given(tmp_path / "home" / "other.json", {"mine": 1})
    path.parent.mkdir(parents=True)
    for target in (tmp_path / "home" / "other.json", tmp_path / "home" / "not-there.json"):
        path.symlink_to(target)
        assert attach(assistant, *flags) == 1
        assert "outside of the project" in capsys.readouterr().err
        path.unlink()
    assert (tmp_path / "home" / "other.json").read_bytes() == other
    assert sorted(one.name for one in (tmp_path / "home").iterdir()) == ["other.json"]


def test_a_link_that_stays_in_the_project_is_followed(attach, assistant):
    path = attach.path(assistant)
    given(path.parent / "shared.json", OWN[assistant])
    path.symlink_to("shared.json")
    assert attach(assistant, "--write") == 0
    assert path.is_symlink()
    assert MARK in (path.parent / "shared.json").read_text()


def test_what_stands_in_a_projects_file_neither_drives_the_terminal_nor_hides(attach, assistant, capsys):
    path = attach.path(assistant)
    path.parent.mkdir(parents=True)
    path.write_text('{"model": "\u009b2J\u202egnihton"}', encoding="utf-8")
    assert attach(assistant) == 0
    shown = capsys.readouterr().out
    assert "<009b>2J<202e>gnihton" in shown
    assert all(line.replace("\t", "").isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("value", ["1e400", '"\\ud800"'])
def test_a_file_that_could_not_be_written_as_it_was_read_is_left_alone(attach, assistant, capsys, value):
    path = attach.path(assistant)
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"model": {value}}}')
    assert attach(assistant, "--write") == 1
    assert "it is left alone" in capsys.readouterr().err
    assert path.read_text() == f'{{"model": {value}}}'
