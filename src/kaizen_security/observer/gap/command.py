"""What the words of a command say of where it goes and what it sends. No shell: what is not plain is not understood. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

LAUNCHERS = frozenset(
    "sh bash dash ash zsh ksh busybox env timeout nice nohup setsid stdbuf time xargs sudo flock tini".split()
)
"""Programs that do nothing themselves: what they start has to be told of all the same."""
_FETCHERS = frozenset("curl wget aria2c lynx w3m".split())
"""Programs that go where their command says, and where they are sent on to from there."""
_LOCAL = frozenset(
    "awk base64 basename cat cd chmod cp cut date diff dirname echo false file find grep gunzip gzip head jq ls mkdir mv printf "
    "pwd rm sed sha256sum sleep sort tail tar tee test touch tr true uniq unzip wc xz yq zcat".split()
)
"""Programs that go nowhere."""
_READING = frozenset("describe diff get head info list log logs ls search show status top version view".split())
"""Verbs of commands that ask and send nothing of their own (``kubectl get``, ``git log``, ``aws s3 ls``)."""
_VERBS = 3
"""First words among which the verb is: some tools are the program themselves and are told its verb only."""
_PLAIN = frozenset("env nice nohup setsid stdbuf sudo time timeout".split())
"""Launchers whose own words are options, numbers and assignments only."""

_WORD = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[;&|\n]+|(?:[^\s;&|\"'\\]|\\.)+")
_FOREIGN = re.compile(r"\$\(|`|<\(|<<")
"""What makes a command say more than its words do."""
_SENDS = re.compile(r"-[A-Za-z]*[dFTK]|--(?:data|form|upload|json|post|body|config|input)[\w-]*(?:=.*)?|<|@.*")
"""Options and signs with which a program is given something to send."""


def direct(text: str) -> bool:
    """Whether every program of the command goes where the command says, or nowhere, and one of them goes somewhere."""
    parts = list(_parts(text))
    known = all(part and part[0] in _FETCHERS | _LOCAL for part in parts)
    return known and any(part[0] in _FETCHERS for part in parts)


def reads(text: str) -> bool:
    """Whether every program of the command only asks: none is given anything to send."""
    parts = list(_parts(text))
    return bool(parts) and all(_reads(part) for part in parts)


def _reads(part: list[str]) -> bool:
    if not part or any(_SENDS.fullmatch(word) for word in part[1:]):
        return False
    if part[0] in _FETCHERS | _LOCAL:
        return True
    said = [word for word in part if not word.startswith("-")]
    return any(word in _READING for word in said[:_VERBS])


def _parts(text: str) -> Iterator[list[str]]:
    """Each program with its words, without its folder and what launches it; an empty list for what is not understood."""
    if _FOREIGN.search(text):
        yield []
        return
    part: list[str] = []
    for word in _WORD.findall(text):
        if word[0] in ";&|\n":
            if part:
                yield _launched(part)
            part = []
        else:
            part.append(word)
    if part:
        yield _launched(part)


def _launched(part: list[str]) -> list[str]:
    for at, word in enumerate(part):
        name = word.rpartition("/")[2]
        if name not in _PLAIN and not re.fullmatch(r"-.*|[0-9.]+[smhd]?|\w+=.*", word):
            return [name, *part[at + 1 :]]
    return []
