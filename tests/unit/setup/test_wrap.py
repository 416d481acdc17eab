"""Other programs' configuration: what is found, wrapped, undone, and never shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.clients import Place, places, read, servers
from kaizen_security.setup.look import amiss
from kaizen_security.setup.wrap import unwrapping, wrapping, write

CANARY = "CANARY-5d1f"
SHIM = "/opt/bin/kaizen-mcp"
ENTRY = {
    "command": "npx",
    "args": ["-y", "files@1.2.3", f"--key={CANARY}"],
    "env": {"API_TOKEN": CANARY},
    "disabled": False,
}


@pytest.fixture
def place(tmp_path):
    """A file in its owner's own manner: three blanks, no line end."""
    file = tmp_path / "mcp.json"
    document = {"theme": "dark", "mcpServers": {"files": ENTRY, "web": {"url": "https://web.example/mcp"}, "odd": {}}}
    file.write_text(json.dumps(document, indent=3, ensure_ascii=False))
    file.chmod(0o640)
    return Place("file", str(file))


def kept(tmp_path):
    return str(tmp_path / "kept")


def entries(place):
    return {one.name: one for one in servers(place, read(place.path)[1])}


def test_a_dry_run_changes_nothing(place):
    before = read(place.path)[0]
    change = wrapping(place, SHIM)
    assert [one.name for one in change.servers] == ["files"]
    assert [(one.name, why.partition(":")[0]) for one, why in change.left] == [
        ("web", "reached over HTTP"),
        ("odd", "nothing to start in it"),
    ]
    assert read(place.path)[0] == before


def test_wrapping_puts_the_shim_in_front_and_leaves_everything_else(place, tmp_path):
    write(wrapping(place, SHIM), kept(tmp_path))
    wrapped = entries(place)["files"].entry
    assert (wrapped["command"], wrapped["args"]) == (SHIM, ["--name", "files", "--", "npx", *ENTRY["args"]])
    assert (wrapped["env"], wrapped["disabled"]) == (ENTRY["env"], False)
    document = read(place.path)[1]
    assert (list(document), document["theme"]) == (["theme", "mcpServers"], "dark")
    assert (tmp_path / "mcp.json").stat().st_mode & 0o777 == 0o640
    assert wrapping(place, SHIM).servers == ()


def test_undo_gives_back_every_byte(place, tmp_path):
    before = read(place.path)[0]
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    assert entries(place)["files"].entry["env"]["KAIZEN_AGENT"] == "desk"
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    assert read(place.path)[0] == before
    [record] = (tmp_path / "kept").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("twice", [False, True])
def test_undo_of_a_file_that_was_edited_since_takes_out_only_what_was_put_in(place, tmp_path, twice):
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    data, document = read(place.path)
    document["mcpServers"]["more"] = {"command": "more", "args": []}
    (tmp_path / "mcp.json").write_text(json.dumps(document))
    if twice:
        write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    after = entries(place)
    assert after["files"].entry == ENTRY
    assert after["more"].entry == {"command": "more", "args": []}
    assert data


@pytest.mark.parametrize(
    "data", [b'{// a comment\n"mcpServers": {}}', b"[]", b"\xff", b'{"mcpServers": ' + b"[" * 100_000]
)
def test_a_file_that_is_not_understood_is_left_alone(tmp_path, data):
    file = tmp_path / "mcp.json"
    file.write_bytes(data)
    with pytest.raises(Misconfigured, match="left alone"):
        wrapping(Place("file", str(file)), SHIM)
    assert file.read_bytes() == data


def test_the_files_of_common_clients_are_known(tmp_path):
    found = places({"HOME": "/home/a"}, "/srv/p")
    assert {place.client for place in found} == {"Claude Desktop", "Claude Code", "Cursor", "VS Code"}
    assert "/srv/p/.vscode/mcp.json" in {place.path for place in found}
    code = next(place for place in found if place.path.endswith(".claude.json"))
    document = {"mcpServers": {"a": {"command": "x"}}, "projects": {"/p": {"mcpServers": {"b": {"command": "y"}}}}}
    assert [(one.name, one.where) for one in servers(code, document)] == [
        ("a", ("mcpServers", "a")),
        ("b", ("projects", "/p", "mcpServers", "b")),
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"command": "npx", "args": ["-y", "files"]}, "takes whatever version is newest"),
        ({"command": "npx", "args": ["-y", "@scope/files@latest"]}, "takes whatever version is newest"),
        ({"command": "bash", "args": ["-c", "curl x | sh"]}, "a shell starts it"),
        ({"url": "http://files.example/mcp"}, "plain HTTP"),
        ({"command": "files", "env": {"API_KEY": CANARY}}, "secrets stand in the file: API_KEY"),
        ({}, "cannot be understood"),
    ],
)
def test_what_is_amiss_is_said_without_any_value(place, entry, said):
    [server] = servers(place, {"mcpServers": {"one": entry}})
    found = list(amiss(server))
    assert any(said in sentence for sentence in found)
    assert CANARY not in str(found)


def test_what_is_well_is_not_complained_of(place):
    entry = {"command": SHIM, "args": ["--", "npx", "-y", "@scope/files@1.2.3"], "env": {"API_KEY": "${env:API_KEY}"}}
    [server] = servers(place, {"mcpServers": {"one": entry}})
    assert list(amiss(server)) == []


def kaizen(tmp_path, *words):
    environment = {"HOME": str(tmp_path / "home"), "KAIZEN_DATA": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", "mcp", *words], capture_output=True, text=True, env=environment
    )
    return done.returncode, done.stdout + done.stderr


def test_the_commands_show_names_and_never_arguments_or_environments(place, tmp_path):
    said = ""
    for words in (("wrap",), ("wrap", "--write"), ("scan",), ("scan", "--json"), ("wrap", "--undo", "--write")):
        status, text = kaizen(tmp_path, *words, "--file", place.path)
        said += text
        assert status == (1 if words[0] == "scan" else 0)
    assert "files: wrapped" in said
    assert "files: taken out" in said
    assert CANARY not in said
    assert entries(place)["files"].entry == ENTRY
