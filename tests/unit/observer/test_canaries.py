"""Canaries: minted, kept as keyed hashes, found wherever they go; and the sidecar's file."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from kaizen_security.cli.canary import FORMS, mint, read_canaries
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.observer.canaries import Canaries, from_json, row
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector

KEY = bytes(range(32))
VALUE = "Zq81mVtk20LxRw7uHcPe"
KNOWN = from_json({"key": KEY.hex(), "canaries": [row(KEY, "payroll share", VALUE)]})


def verdict(target="https://site.example/x", kind="tool_call", **arguments):
    inspector = Inspector(Agents(canaries=KNOWN))
    return inspector.inspect(
        Action(kind=kind, tool="t", target=target, metadata={"source": "sdk", "arguments": arguments})
    )


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        f"use {VALUE}, please",
        f"x{VALUE}y",
        VALUE.lower(),
        VALUE[::-1],
        VALUE.encode().hex(),
        base64.b64encode(f"key: {VALUE}".encode()).decode(),
    ],
)
def test_a_canary_blocks_wherever_it_is_sent_and_is_not_shown(text):
    for found in (
        verdict(text=text),
        verdict(password=text),
        verdict(target="/srv/notes.txt", kind="file", text=text),
        verdict(target=f"https://site.example/?q={text}"),
    ):
        assert found.blocked
        (one,) = [one for one in found.evidence if one.kind == "canary"]
        assert "payroll share" in one.observed
        assert VALUE not in repr([getattr(one, name) for name in one.__slots__])


def test_other_values_are_no_canaries():
    assert verdict(text=VALUE[:-1] + "f").allowed
    assert verdict(text="3f786850e387550fdab836ed7e6dc881de23001b").allowed
    assert Canaries().find(VALUE) == ""


def test_a_canary_can_be_read_and_named_without_its_value():
    document = json.dumps({"key": KEY.hex(), "canaries": [row(KEY, "x", VALUE)]})
    assert VALUE not in document
    assert VALUE.lower() not in document


@pytest.mark.parametrize("value", ["short", "with-signs-in-it-that-split", "é" * 20, "a" * 65])
def test_a_value_that_would_not_be_found_is_refused(value):
    with pytest.raises(InvalidInput, match="canary"):
        row(KEY, "x", value)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "canaries"),
        ({"key": "zz"}, "key"),
        ({"key": "00"}, "key"),
        ({"key": KEY.hex(), "canaries": [{}]}, r"canaries\[0\].length"),
        ({"key": KEY.hex(), "canaries": [{"length": 20, "digest": "x"}]}, r"canaries\[0\].digest"),
    ],
)
def test_a_broken_document_is_refused_by_field(document, field):
    with pytest.raises(InvalidInput, match=field):
        from_json(document)


def kaizen(*words):
    command = [sys.executable, "-m", "kaizen_security.cli", "canary", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("form", FORMS)
def test_a_canary_is_minted_once_and_kept_as_a_hash(tmp_path, form):
    path = tmp_path / "canaries.json"
    first = kaizen("new", "--file", str(path), "--name", "in the wiki", "--like", form).stdout.strip()
    second = kaizen("new", "--file", str(path), "--name", "in the vault").stdout.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert first not in path.read_text()
    known = read_canaries(str(path))
    assert [known.find(value) for value in (first, second, mint(form))] == ["in the wiki", "in the vault", ""]
    assert kaizen("list", "--file", str(path)).stdout.split("\n")[:2] == ["in the wiki", "in the vault"]


def test_the_command_says_what_is_wrong(tmp_path):
    said = kaizen("new", "--file", str(tmp_path / "c.json"))
    assert (said.returncode, said.stderr) == (
        1,
        "kaizen canary: --name must be printable text of at most 128 characters\n",
    )
    (tmp_path / "c.json").write_text("{}")
    assert "is no file of canaries" in kaizen("list", "--file", str(tmp_path / "c.json")).stderr
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_canaries(str(tmp_path / "none.json"))
    assert read_canaries("").names == {}
