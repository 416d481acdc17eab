"""Every flag that a page gives to a command of ours is one that the command has."""

from __future__ import annotations

import argparse
import importlib
import re
from functools import cache

import pytest

from kaizen_security.cli import COMMANDS
from tests.architecture.tree import ROOT
from tests.docs.test_prose import PAGES

CALL = re.compile(rf"kaizen ({'|'.join(COMMANDS)})\b([^`|;&\n]*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def flags_of(parser: argparse.ArgumentParser) -> set[str]:
    """Of a command and of all below it."""
    found: set[str] = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*(flags_of(below) for below in action.choices.values()))
    return found


@cache
def flags(command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"kaizen_security.cli.{command}").add_arguments(parser)
    return flags_of(parser)


def unknown(text: str) -> list[str]:
    """What stands behind `` -- `` is another program's."""
    return [
        f"{command} {flag}"
        for command, words in CALL.findall(text)
        for flag in FLAG.findall(words.split(" -- ")[0])
        if flag not in flags(command)
    ]


def test_a_flag_that_there_is_not_is_found():
    assert unknown("`kaizen run --agent a --no-such -- python --help`") == ["run --no-such"]
    assert unknown("kaizen mcp wrap --undo --write") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_flags_that_there_are(page):
    assert unknown(page.read_text()) == []
