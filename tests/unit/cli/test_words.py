"""Words that no command can use: one line says so, whatever the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kaizen_security.cli import COMMANDS


def kaizen(*words):
    command = [sys.executable, "-m", "kaizen_security.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("command", COMMANDS)
def test_bytes_that_are_no_text_are_refused_by_every_command(command):
    said = kaizen(command, "--name", b"\xff\xfe")
    assert said.returncode == 2
    assert said.stderr == f"kaizen {command}: the argument '\\udcff\\udcfe' is not UTF-8 text\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", ""], "--name must say what the key is for"),
        (["--name", "  "], "--name must say what the key is for"),
        (["--name", "n" * 300], "--name must be printable text of at most 256 characters"),
        (["--name", "\x1b[31mred"], "--name must be printable text of at most 256 characters"),
        (["--name", "x", "--agent", "a\nb"], "--agent must be printable text of at most 256 characters"),
    ],
)
def test_a_key_has_a_name_that_can_be_shown(words, message, tmp_path):
    said = kaizen("keys", "create", "--data", str(tmp_path), *words)
    assert (said.returncode, said.stderr) == (1, f"kaizen keys: {message}\n")
