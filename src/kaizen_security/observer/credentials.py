"""Credentials in a text, found in time that is linear in its length.

A text is split at signs that no token holds, and only its long words are looked at: does one of their parts begin as an
issuer's token does (``credential_rules``)? Private keys, addresses with a password and ``password = …`` are each found by one
word that has to stand in the text first. What is plainly a placeholder is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log2
from typing import NamedTuple

from kaizen_security.observer.credential_rules import BY_URL, RULES, Rule

SHORTEST = 16
"""Characters of the shortest token of a known issuer."""
MOST_HITS = 32

_HEADS: dict[str, list[Rule]] = {}
for _one in RULES:
    for _head in _one.heads:
        _HEADS.setdefault(_head[:2], []).append(_one)

_APART = str.maketrans(dict.fromkeys("\"'`,;{}[]()<>&?/|\\=@#*!$", " "))
_PART = re.compile(r"[A-Za-z0-9]{2,}")
_PRIVATE = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_USER = re.compile(r"[A-Za-z0-9._%+~-]{0,64}:([^\s/?#@\"'<>]{4,128})@[A-Za-z0-9\[]")
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|(?:api|access|private|secret|signing|account)[_ -]?key)"
    r"[a-z0-9_-]{0,16}[\"']?\s{0,4}(?::=|=>|[:=]|\bis\b)\s{0,4}[\"'`]?([^\s\"'`,;<>()\[\]{}&|]{6,200})"
)
_CALLED = (
    r"(?:passwor[dt]|passphrase|passcode|kennwort|contraseña|parola|senha|hasło|heslo|lösenord|wachtwoord|salasana|jelszó"
    r"|şifre|adgangskode|mot de passe|kata sandi|mật khẩu|пароль|лозинка|гасло|κωδικός|סיסמה|סיסמא|पासवर्ड|パスワード"
    r"|暗証番号|密码|密碼|口令|비밀번호|รหัสผ่าน|كلمة المرور|كلمة السر)"
)
"""What a password is called; others stand between that and the colon in most languages."""
_SAID = re.compile(_CALLED + r"[^\W\d_]{0,6}(?:\s[^\W\d_]{1,14}){0,3}\s{0,4}\Z")
_BEHIND = re.compile(r"[:\uff1a=]\s{0,4}[\"'`«„“]?([^\s\"'`,;<>()\[\]{}&|«»„“”、。\uff0c\uff1b]{8,200})")
_BEFORE = 80
"""Characters before a colon in which it is looked for what stands behind it."""
_STEMS = ("pass", "pwd", "secret", "token", "key", "credential")
_PLACEHOLDER = re.compile(
    r"example|changeme|change_me|placeholder|redacted|dummy|sample|your[_-]?|xxxx|\*\*\*|\.\.\.|0{8}|12345678|abcdefgh|environ|getenv|"
    r"process\.env|\$\{?|%s|secrets\.",
    re.IGNORECASE,
)


class Hit(NamedTuple):
    """``issued``: the format is an issuer's own, so the value says by itself what it is. ``value`` lives as long as the call."""

    name: str
    value: str
    issued: bool
    homes: tuple[str, ...] = ()


def find(text: str, longest: int | None = None) -> list[Hit]:
    """The credentials in ``text``, at most ``MOST_HITS``. ``longest``: characters of its longest word, where that is known."""
    found = [] if longest is not None and longest < SHORTEST else list(issued(text))
    if "PRIVATE KEY" in text and (key := _PRIVATE.search(text)):
        found.append(Hit("private key", text[key.start() : key.start() + 512], True))
    if "://" in text:
        found += _addresses(text)
    folded = text.lower()
    for stem in _STEMS:
        if stem in folded:
            found += _assigned(text, folded)
            break
    found += called(text)
    return found[:MOST_HITS]


def issued(text: str) -> Iterator[Hit]:
    """Those whose format is an issuer's own."""
    for word in text.translate(_APART).split():
        if len(word) >= SHORTEST:
            yield from _in_word(word)


def _in_word(word: str) -> Iterator[Hit]:
    after = 0
    for part in _PART.finditer(word):
        at = part.start()
        rules = _HEADS.get(word[at : at + 2])
        if rules is None or at < after:
            continue
        for rule in rules:
            match = rule.pattern.match(word, at) if word.startswith(rule.heads, at) else None
            if match is None or (rule.before is not None and not rule.before.search(word[max(0, at - 12) : at])):
                continue
            value = match.group()
            if (rule.check is None or rule.check(value)) and not _PLACEHOLDER.search(value) and entropy(value) > 2.8:
                yield Hit(rule.name, value, True, rule.homes)
                after = match.end()
                break


def _addresses(text: str) -> Iterator[Hit]:
    at = text.find("://")
    while at >= 0:
        for rule in BY_URL:
            if (match := rule.pattern.match(text, at + 3)) and not _PLACEHOLDER.search(match.group()):
                yield Hit(rule.name, match.group(), True, rule.homes)
        user = _USER.match(text, at + 3)
        if user and secretive(user.group(1)):
            yield Hit("password in an address", user.group(1), False)
        at = text.find("://", at + 3)


def called(text: str) -> Iterator[Hit]:
    """What stands behind a colon before which it is called a password, in one of many languages."""
    for match in _BEHIND.finditer(text):
        value = match[1].rstrip(".,;:!?")
        at = match.start()
        if secretive(value) and _SAID.search(text[max(0, at - _BEFORE) : at].lower()):
            yield Hit("value that is called a password", value, False)


def _assigned(text: str, folded: str) -> Iterator[Hit]:
    if len(folded) != len(text):
        return  # lower case of another length: the places would not fit
    for match in _ASSIGNED.finditer(folded):
        value = text[match.start(1) : match.end(1)].rstrip(".,;:!?")
        if secretive(value):
            yield Hit("value under a credential's name", value, False)


def secretive(value: str) -> bool:
    """Whether a value that is called a password could be one: no plain word, no name of a variable, no placeholder."""
    if not 8 <= len(value) <= 200 or _PLACEHOLDER.search(value):
        return False
    digits = sum(char.isdigit() for char in value)
    letters = sum(char.isalpha() for char in value)
    return digits > 0 and letters > 0 and entropy(value) >= 2.8


def entropy(value: str) -> float:
    """Bits for each character (Shannon 1948), from how often each occurs in ``value``."""
    size = len(value)
    counts = (value.count(char) for char in set(value))
    return -sum(count / size * log2(count / size) for count in counts)
