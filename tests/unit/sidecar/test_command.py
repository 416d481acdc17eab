"""``kaizen sidecar`` typed wrongly: one line that names the option, and nothing is started."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "99999"], "--port must be from 0 to 65535, or -1 for none"),
        (["--port", "-2"], "--port must be from 0 to 65535, or -1 for none"),
        (
            ["--api-url", "ftp://x"],
            "--api-url (or KAIZEN_API_URL): 'ftp://x' must start with http://, https:// or unix://",
        ),
        (["--api-url", "http://"], "--api-url (or KAIZEN_API_URL): 'http://' has no host"),
        (["--spool-mb", "0"], "--spool-mb must be from 1 to 1048576"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(words, message, tmp_path):
    command = [sys.executable, "-m", "kaizen_security.cli", "sidecar", "--data", str(tmp_path / "d"), *words]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert said.returncode == 1
    assert said.stderr.startswith(f"kaizen sidecar: {message}")
    assert said.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()
