"""No detector knows a string of the corpus (pitfall 9)."""

from __future__ import annotations

import re

import pytest

from kaizen_security.redteam.corpus import folder
from kaizen_security.redteam.files import build, read
from tests.architecture.tree import name_of, sources

DECIDING = ("contract", "observer", "detections")


def strings():
    """Agents, tools, publishers, hosts and files of every scenario; not what a file keeps for its public meaning."""
    found = set()
    for document in read(folder()):
        scenario = build(document)
        kept = set(document.data.get("randomise", {}).get("keep", ()))
        names = {*scenario.agents, *scenario.declaration.tools, *scenario.declaration.destinations}
        for deed in scenario.deeds():
            names |= {deed.tool, deed.publisher, deed.hash}
            names |= set(re.findall(r"https?://([^/:]+)", deed.target)) or {deed.target}
        names |= set(document.data.get("randomise", {}).get("names", ()))
        names |= set(document.data.get("randomise", {}).get("values", ()))
        found |= names - kept - {""}
    return found


STRINGS = strings()
KNOWN = re.compile(r"(?<![\w.-])(?:" + "|".join(map(re.escape, sorted(STRINGS, key=len, reverse=True))) + r")(?![\w-])")


@pytest.mark.parametrize("path", list(sources(*DECIDING)), ids=name_of)
def test_no_string_of_the_corpus_occurs_in_what_decides(path):
    assert KNOWN.findall(path.read_text()) == []


def test_the_check_would_see_one():
    assert len(STRINGS) > 200
    assert KNOWN.findall('if tool == "ticket_reply" or host == "quickpaste.example":') == [
        "ticket_reply",
        "quickpaste.example",
    ]
