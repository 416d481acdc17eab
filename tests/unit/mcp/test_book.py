"""Whose session is whose, over a restart."""

from __future__ import annotations

import os

import pytest

from kaizen_security.mcp import book as module
from kaizen_security.mcp.book import Book


def test_what_was_opened_is_known_after_a_start_and_what_was_ended_is_not(tmp_path):
    folder = str(tmp_path / "a/b")
    book = Book(folder)
    book.opened("agent", "desk", "s1")
    book.opened("agent", "desk", "s2")
    book.ended("agent", "desk", "s2")
    assert not book.knows("agent", "desk", "s1"), "it is in the gateway's own memory"
    again = Book(folder)
    assert again.knows("agent", "desk", "s1")
    for other in (("agent", "desk", "s2"), ("other", "desk", "s1"), ("agent", "other", "s1"), ("agentd", "esk", "s1")):
        assert not again.knows(*other)
    again.ended("agent", "desk", "s1")
    assert not again.knows("agent", "desk", "s1")
    assert not Book(folder).knows("agent", "desk", "s1")
    assert os.stat(tmp_path / "a/b/sessions").st_mode & 0o077 == 0


def test_it_keeps_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX", 3)
    book = Book(str(tmp_path))
    for n in range(5):
        book.opened("a", "s", str(n))
    again = Book(str(tmp_path))
    assert [again.knows("a", "s", str(n)) for n in range(5)] == [False, False, True, True, True]
    assert len((tmp_path / "sessions").read_text().splitlines()) == 3


def test_its_file_stays_small_while_the_process_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX", 3)
    book = Book(str(tmp_path))
    for n in range(100):
        book.opened("a", "s", str(n))
        book.ended("a", "s", str(n))
    book.opened("a", "s", "last")
    assert len((tmp_path / "sessions").read_text().splitlines()) <= 2 * 3
    assert Book(str(tmp_path)).knows("a", "s", "last")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"nonsense\n" * 3, b"-\n-\n", b""])
def test_a_damaged_file_is_as_good_as_none(tmp_path, content):
    (tmp_path / "sessions").write_bytes(content)
    book = Book(str(tmp_path))
    assert not book.knows("a", "s", "1")
    book.opened("a", "s", "1")
    assert Book(str(tmp_path)).knows("a", "s", "1")


def test_without_a_folder_or_with_one_that_takes_nothing_it_only_knows_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("", str(tmp_path / "file")):
        book = Book(folder)
        book.opened("a", "s", "1")
        book.ended("a", "s", "1")
        assert not book.knows("a", "s", "1")
