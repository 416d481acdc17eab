"""Files that are opened below a folder, seen by the real inotify."""

from __future__ import annotations

import os

import pytest

from kaizen_security.collectors.files import Files
from kaizen_security.contract.errors import Misconfigured


@pytest.fixture
def watched(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_text("x")
    files = Files((str(tmp_path),))
    yield tmp_path, files
    files.close()


def test_reads_and_changes_are_told_apart(watched):
    root, files = watched
    (root / "a" / "f").read_text()
    assert list(files.touched()) == [(str(root / "a/f"), False)]
    (root / "a" / "g").write_text("x")
    assert (str(root / "a/g"), True) in list(files.touched())
    (root / "a" / "g").unlink()
    assert list(files.touched()) == [(str(root / "a/g"), True)]


def test_a_folder_that_is_made_later_is_watched_with_what_is_in_it(watched):
    root, files = watched
    (root / "b" / "c").mkdir(parents=True)
    list(files.touched())
    (root / "b" / "c" / "f").write_text("x")
    assert str(root / "b/c/f") in dict(files.touched())


def test_a_folder_that_is_listed_is_no_file(watched):
    root, files = watched
    os.listdir(root / "a")
    assert list(files.touched()) == []


@pytest.mark.parametrize("root", ["relative", "/does/not/exist", "/etc/passwd"])
def test_what_is_no_folder_is_refused(root):
    with pytest.raises(Misconfigured, match="only a folder"):
        Files((root,))
