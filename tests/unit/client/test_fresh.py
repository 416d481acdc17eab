"""What is written beside a file goes into a file of our own."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import kaizen_security
from kaizen_security.client.fresh import fresh

SOURCE = Path(kaizen_security.__file__).parent


def test_what_is_there_already_is_not_written_through(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    made = tmp_path / "policy.json.new"
    for plant in (lambda: made.symlink_to(theirs), lambda: os.link(theirs, made), lambda: made.write_text("half")):
        plant()
        with open(fresh(made), "w") as file:
            file.write("ours")
        assert theirs.read_text() == "mine"
        assert made.read_text() == "ours"
        assert not made.is_symlink()
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
        made.unlink()


def test_nothing_else_writes_into_a_file_of_a_foreseeable_name():
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"O_CREAT \| os\.O_TRUNC", path.read_text(encoding="utf-8"))
    }
    assert found == {"client/audit.py"}, "which only compares flags"
