"""The plan of the house matches the house."""

from __future__ import annotations

import ast
import configparser
import tomllib

from tests.architecture.tree import PACKAGE, ROOT, name_of, parsed, sources


def floors() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    layers = config["importlinter:contract:floors"]["layers"]
    return {room.strip() for line in layers.splitlines() for room in line.split("|") if room.strip()}


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == floors()


def test_there_is_no_room_for_odds_and_ends():
    names = {path.stem for path in sources()} | {path.parent.name for path in sources()}
    assert names & {"utils", "util", "helpers", "misc", "common"} == set()


def test_every_module_says_what_it_is():
    assert [
        name_of(path) for path in sources() if not ast.get_docstring(parsed(path)) and path.read_text().strip()
    ] == []


def test_every_public_class_and_function_says_what_it_does():
    silent = []
    for path in sources():
        for node in parsed(path).body:
            public = isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                silent.append(f"{name_of(path)}:{node.name}")
    assert silent == []


def test_every_command_exists_and_every_file_is_a_command():
    from kaizen_security.cli import COMMANDS

    files = {path.stem for path in (PACKAGE / "cli").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(COMMANDS)


def test_what_an_agent_installs_has_no_dependencies():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"] == []


def test_lock_files_pin_by_hash_and_name_no_host():
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
