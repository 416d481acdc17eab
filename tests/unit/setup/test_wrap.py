"""Other programs' configuration: what is found, wrapped, undone, and never shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.clients import Place, of, places, read, servers
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
    return {one.name: one for one in servers(place, read(place.path).document)}


def test_a_dry_run_changes_nothing(place):
    before = read(place.path).data
    change = wrapping(place, SHIM)
    assert [one.name for one in change.servers] == ["files"]
    assert [(one.name, why.partition(":")[0]) for one, why in change.left] == [
        ("web", "reached over HTTP"),
        ("odd", "nothing to start in it"),
    ]
    assert read(place.path).data == before


def test_wrapping_puts_the_shim_in_front_and_leaves_everything_else(place, tmp_path):
    write(wrapping(place, SHIM), kept(tmp_path))
    wrapped = entries(place)["files"].entry
    assert (wrapped["command"], wrapped["args"]) == (SHIM, ["--name", "files", "--", "npx", *ENTRY["args"]])
    assert (wrapped["env"], wrapped["disabled"]) == (ENTRY["env"], False)
    document = read(place.path).document
    assert (list(document), document["theme"]) == (["theme", "mcpServers"], "dark")
    assert (tmp_path / "mcp.json").stat().st_mode & 0o777 == 0o640
    assert wrapping(place, SHIM).servers == ()


def test_undo_gives_back_every_byte(place, tmp_path):
    before = read(place.path).data
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    assert entries(place)["files"].entry["env"]["KAIZEN_AGENT"] == "desk"
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    assert read(place.path).data == before
    [record] = (tmp_path / "kept").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("twice", [False, True])
def test_undo_of_a_file_that_was_edited_since_takes_out_only_what_was_put_in(place, tmp_path, twice):
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    document = json.loads(read(place.path).data)
    document["mcpServers"]["more"] = {"command": "more", "args": []}
    (tmp_path / "mcp.json").write_text(json.dumps(document))
    if twice:
        write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    after = entries(place)
    assert after["files"].entry == ENTRY
    assert after["more"].entry == {"command": "more", "args": []}


@pytest.mark.parametrize(
    "data",
    [
        b'{"mcpServers": {}',
        b'{"mcpServers": {}} /* no end',
        b'{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}',
        b"[]",
        b"\xff",
        b'{"mcpServers": ' + b"[" * 100_000,
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(tmp_path, data):
    file = tmp_path / "mcp.json"
    file.write_bytes(data)
    with pytest.raises(Misconfigured, match="left alone"):
        wrapping(Place("file", str(file)), SHIM)
    assert file.read_bytes() == data


COMMENTED = """// Servers of the team. Ask Ada before you add one.
{
  "servers": {
    /* the project's files */
    "files": {
      "type": "stdio",
      "command": "npx", // not yarn
      "args": [
        "-y", "files@1.2.3", // the version that we looked at
        "/srv/ä"
      ],
    },
    "clock": {"command": "clock"},
    "bare": {"command": "bare", "args": [ ], "env": {"TZ": "UTC" /* not local */}},
  },
}
"""
SAID = ("not yarn", "that we looked at", "not local")


def without_what_is_empty(entry):
    return {key: value for key, value in entry.items() if value not in ([], {})}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_comments_and_encodings_stay_as_they_are(tmp_path, encoding, ends):
    file = tmp_path / "mcp.json"
    before = COMMENTED.replace("\n", ends).encode(encoding)
    file.write_bytes(before)
    place = Place("VS Code", str(file), "servers")
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    found = entries(place)
    assert [found[name].entry["args"] for name in ("files", "clock", "bare")] == [
        ["--name", "files", "--", "npx", "-y", "files@1.2.3", "/srv/ä"],
        ["--name", "clock", "--", "clock"],
        ["--name", "bare", "--", "bare"],
    ]
    assert all(one.wrapped and one.entry["env"]["KAIZEN_AGENT"] == "desk" for one in found.values())
    wrapped = file.read_bytes()
    assert all(said in wrapped.decode(encoding) for said in ("Ask Ada", *SAID))
    assert wrapped.decode(encoding).count("\r\n") == (before.decode(encoding).count("\r\n"))
    # What somebody wrote meanwhile stays, and so do the comments.
    file.write_bytes(wrapped.decode(encoding).replace("Ask Ada", "Ask Eve").encode(encoding))
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    assert all(said in file.read_bytes().decode(encoding) for said in ("Ask Eve", *SAID))
    original = {one.name: without_what_is_empty(one.entry) for one in servers(place, of("x", before).document)}
    assert {name: without_what_is_empty(one.entry) for name, one in entries(place).items()} == original
    # Where nobody did, every byte comes back.
    file.write_bytes(before)
    write(wrapping(place, SHIM, agent="desk"), kept(tmp_path))
    write(unwrapping(place, kept(tmp_path)), kept(tmp_path), keep=False)
    assert file.read_bytes() == before


def test_a_link_stays_a_link_and_a_read_only_file_what_it_is(tmp_path):
    real, link = tmp_path / "dotfiles.json", tmp_path / "mcp.json"
    real.write_text(json.dumps({"mcpServers": {"files": ENTRY}}))
    link.symlink_to(real)
    write(wrapping(Place("file", str(link)), SHIM), kept(tmp_path))
    assert link.is_symlink()
    assert json.loads(real.read_text())["mcpServers"]["files"]["command"] == SHIM
    real.chmod(0o444)
    before = real.read_bytes()
    with pytest.raises(Misconfigured, match="read-only"):
        unwrapping(Place("file", str(link)), kept(tmp_path))
    with pytest.raises(Misconfigured, match="read-only"):
        wrapping(Place("file", str(link)), SHIM)
    assert real.read_bytes() == before


def test_arguments_that_are_no_text_are_not_lost(tmp_path):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"files": {"command": "files", "args": ["--port", 3000]}}}))
    change = wrapping(Place("file", str(file)), SHIM)
    assert change.servers == ()
    assert [why for _, why in change.left] == ["its arguments are not all text"]


def test_a_shim_that_starts_nothing_is_left_as_it_is(tmp_path):
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"files": {"command": SHIM, "args": ["--"]}}}))
    assert unwrapping(Place("file", str(file)), kept(tmp_path)).servers == ()


def test_in_the_home_folder_each_file_is_there_once():
    found = [place.path for place in places({"HOME": "/home/a"}, "/home/a")]
    assert found.count("/home/a/.cursor/mcp.json") == 1
    assert len(found) == len(places({"HOME": "/home/a"}, "/srv/p")) - 1


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
        ({"url": "http://[files.example/mcp"}, "its url cannot be read"),
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


def test_where_there_is_no_client_the_commands_say_where_they_looked(tmp_path):
    for words in (("wrap",), ("scan",)):
        status, text = kaizen(tmp_path, *words, "--folder", str(tmp_path))
        assert (status, text.count("\n")) == (0, 1)
        assert "Claude Desktop, Claude Code, Cursor or VS Code" in text


def test_the_commands_show_names_and_never_arguments_or_environments(place, tmp_path):
    said = ""
    for words in (("wrap",), ("wrap", "--write"), ("scan",), ("scan", "--json"), ("wrap", "--undo", "--write")):
        status, text = kaizen(tmp_path, *words, "--file", place.path)
        said += text
        assert status == (1 if words[0] == "scan" else 0)
    assert "files: would be wrapped" in said
    assert "1 server would be wrapped. --write does it." in said
    assert "files: wrapped" in said
    assert "1 server wrapped." in said
    assert "files: taken out" in said
    assert CANARY not in said
    assert entries(place)["files"].entry == ENTRY
