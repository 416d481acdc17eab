"""Files are there whole or not at all, and what is written goes into a file of our own."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from pathlib import Path

import pytest

import kaizen_security
from kaizen_security.client import files
from kaizen_security.client.files import LEFT, write_first, write_whole

SOURCE = Path(kaizen_security.__file__).parent


def beside(path: Path) -> Path:
    """Where what replaces it is written first."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


@pytest.mark.parametrize("write", [write_whole, write_first])
def test_what_is_there_already_is_not_written_through(tmp_path, write):
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    path = tmp_path / "policy.json"
    made = beside(path)
    for plant in (lambda: made.symlink_to(theirs), lambda: os.link(theirs, made), lambda: made.write_text("half")):
        plant()
        write(path, b"ours")
        assert theirs.read_text() == "mine"
        assert path.read_text() == "ours"
        assert not path.is_symlink()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not os.path.lexists(made)
        path.unlink()


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "pins.json"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (write_whole, write_first):
        with pytest.raises(OSError, match="No space"):
            write(path, b"new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("pins.json", "old")]


def test_a_folder_in_the_place_of_the_file_is_an_error_and_nothing_stays_beside_it(tmp_path):
    (tmp_path / "policy.json").mkdir()
    with pytest.raises(OSError, match=r"policy\.json"):
        write_whole(tmp_path / "policy.json", b"new")
    assert [one.name for one in tmp_path.iterdir()] == ["policy.json"]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_that_write_first_one_stays(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.delattr(os, "link")
    path = tmp_path / "boundary.key"
    write_first(path, b"one")
    write_first(path, b"other")
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["boundary.key"]


def test_nothing_else_writes_into_a_file_of_a_foreseeable_name_or_puts_one_in_the_place_of_another():
    assert places_of(r"O_CREAT \| os\.O_TRUNC") == {"client/audit.py"}, "which only compares flags"
    assert places_of(r"os\.replace\(|os\.rename\(") == {"client/files.py"}


def places_of(pattern: str) -> set[str]:
    return {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("write", [write_whole, write_first])
def test_what_a_killed_writer_left_beside_the_file_goes_when_it_is_old_and_nothing_else_does(
    tmp_path, monkeypatch, write
):
    monkeypatch.setattr(files, "_swept", set())  # other tests of this process have written files too
    path = tmp_path / "bundle.json"
    old = [".bundle.json.7.140", ".bundle.json.123456.9", ".bundle.json.7.x", ".other.json.7.140", "bundle.json.7.140"]
    for name in [*old, ".bundle.json.8.140"]:
        (tmp_path / name).write_text("half")
    (tmp_path / ".bundle.json.9.9").mkdir()
    for name in [*old, ".bundle.json.9.9"]:
        long_ago = path.parent.stat().st_mtime - LEFT - 60
        os.utime(tmp_path / name, (long_ago, long_ago))
    write(path, b"new")
    assert {one.name for one in tmp_path.iterdir()} == {
        *old[2:],
        ".bundle.json.8.140",
        ".bundle.json.9.9",
        "bundle.json",
    }


def test_it_is_looked_for_once_around_a_file_and_around_a_bounded_number_of_them(tmp_path, monkeypatch):
    looked = []

    def unreadable(folder):
        looked.append(folder)
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "_swept", set())
    monkeypatch.setattr(os, "scandir", unreadable)
    for number in range(files.SWEPT + 10):
        for _ in range(2):
            write_whole(tmp_path / str(number), b"new")
    assert len(looked) == files.SWEPT
