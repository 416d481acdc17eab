"""Marks: what one run has read, as fingerprints, so that it is recognised when it leaves.

Bounded for each run: ``MOST_COMMON`` fingerprints of ordinary results in two generations, ``MOST_SENSITIVE`` of sensitive ones
apart from them, so that reading a lot does not push out what matters. What had to go, or found no room, is counted in ``evicted``.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kaizen_security.contract.action import ARGUMENTS, Action, Json
from kaizen_security.contract.declaration import DataClass
from kaizen_security.observer.carried import for_credentials
from kaizen_security.observer.copies import distinct, rows, words
from kaizen_security.observer.credentials import Hit, called, find, secretive
from kaizen_security.observer.data import classes, many, people
from kaizen_security.observer.decode import rot13
from kaizen_security.observer.outline import LONGEST, SHORT, leaves
from kaizen_security.observer.personal import CODE, called_codes, codes, numbers

MOST_COMMON = 16_384
MOST_SENSITIVE = 8_192
MOST_CALLS = 64
MOST_SECRETS = 64
MOST_SPELLINGS = 4_096
"""Fingerprints of pieces of secrets, all spellings together."""
WHOLE = 1_024
"""Fingerprints taken of one ordinary result; of what is longer every fourth is kept."""
RECORD = 24
"""Lines up to which a text of short lines is a record, whose lines are told apart."""
RECENT = 6
"""Sources of which it is remembered, part by part, which words they hold: the latest."""
MOST_PARTS = 12
MOST_WORDS = 48
GRAM = 4
"""Characters of a piece of a secret."""

_CREDENTIAL_FILES = re.compile(
    r"(?:^|[/\\])(?:\.env(?:\.\w+)?|\.netrc|_netrc|\.pgpass|\.my\.cnf|\.npmrc|\.pypirc|\.git-credentials|\.htpasswd|shadow|gshadow|sam"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|authorized_keys|credentials(?:\.\w+)?|secrets?\.(?:ya?ml|json|toml|env|txt|ini)|wallet\.dat"
    r"|login data|key[34]\.db|logins\.json|service[_-]account[\w-]*\.json|[^/\\]+\.(?:pem|key|pfx|p12|jks|keystore|kdbx|ppk))\Z"
    r"|(?:^|[/\\])\.(?:ssh|aws|gnupg|kube|azure)[/\\]|\.docker[/\\]config\.json\Z|/gcloud/",
    re.IGNORECASE,
)

_KEPT_BY_BROWSERS = re.compile(r"\bdocument\s?\.\s?cookie\b|\b(?:local|session)Storage\b")
"""What a script in a page reads to be somebody else there."""

NUMBERS = "it holds numbers of cards, accounts or people"
CODES = "it holds a code for one time"


class Source(NamedTuple):
    """One result: ``tool`` brought it, as number ``number`` of the run; ``why`` it is sensitive, ``""`` when it is not."""

    tool: str
    number: int
    why: str


class Origin(NamedTuple):
    """Where fingerprints stand: in which part (a field's path, or a line) of which source."""

    source: Source
    part: str


@dataclass(slots=True)
class Secret:
    """A credential that the run has read. ``size``: characters of each spelling; ``name`` says what it is."""

    name: str
    origin: Origin
    sizes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Marks:
    """The index of one run. ``told`` are the rows of words and the values that the user said, ``asked`` his words.

    ``ledgers``  which characters of a secret went to a place; ``gone``: which rows of words went which way
    ``recent``  the words of each part of the latest sources, those of the user left out
    ``numbers``  numbers of cards, accounts or people were read, or codes; ``means_codes``: the user spoke of a code himself
    ``classes`` of data that were read, and where first; ``given``: those that the user brought himself; ``passed``: those after
    which an action was let through
    """

    told: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    recent: OrderedDict[Source, dict[str, set[int]]] = field(default_factory=OrderedDict)
    sources: int = 0
    sensitive: dict[int, Origin] = field(default_factory=dict)
    common: dict[int, Origin] = field(default_factory=dict)
    older: dict[int, Origin] = field(default_factory=dict)
    calls: OrderedDict[str, tuple[str, str]] = field(default_factory=OrderedDict)
    secrets: dict[int, Secret] = field(default_factory=dict)
    grams: dict[int, list[tuple[Secret, int, int]]] = field(default_factory=dict)
    ledgers: dict[tuple[str, int, int], set[int]] = field(default_factory=dict)
    gone: dict[int, set[int]] = field(default_factory=dict)
    numbers: bool = False
    means_codes: bool = False
    classes: dict[DataClass, Origin] = field(default_factory=dict)
    given: set[DataClass] = field(default_factory=set)
    passed: set[DataClass] = field(default_factory=set)
    evicted: int = 0

    # --- what arrives -------------------------------------------------------------------------------------------------

    def request(self, text: str) -> None:
        """What the user said is nobody's secret from whom he names."""
        text = text[:LONGEST]
        found, hits = words(text), find(text)
        self.given.update(classes(text, hits))
        # Who speaks of a code himself has something in mind for it.
        self.means_codes = self.means_codes or called_codes(text)
        if many(set(map(hash, people(text)))):
            self.given.add(DataClass.CONTACTS)
        told = [hash(hit.value) for hit in hits]
        told += [hash(word) for word in found if distinct(word)] + rows(found)
        self.told.update(told[: max(0, MOST_SENSITIVE - len(self.told))])
        self.asked.update(map(hash, found[: max(0, MOST_SENSITIVE - len(self.asked))]))

    def reading(self, action: Action) -> None:
        """A call is about to run. Its result is known by its id."""
        if not action.id:
            return
        why = "its reading was marked sensitive" if action.sensitive else ""
        if not why and opens_credentials(action):
            why = "it is made for credentials"
        self.calls[action.id] = (action.tool or action.kind, why)
        if len(self.calls) > MOST_CALLS:
            self.calls.popitem(last=False)
            self.evicted += 1

    def result(self, action_id: str, content: Json) -> int:
        """What a call brought back. Gives how many fingerprints had to go for it."""
        before = self.evicted
        tool, why = self.calls.pop(action_id, ("", ""))
        if content is None or content == "":
            return 0
        source = Source(tool, self.sources, why)
        self.sources += 1
        self.recent[source] = {}
        if len(self.recent) > RECENT:
            self.recent.popitem(last=False)
        room = MOST_SENSITIVE if why else WHOLE
        persons: set[int] = set()
        for leaf in leaves(content):
            name = leaf.path.rpartition(".")[2].strip("[]")
            for part, text in _parts(leaf.path, leaf.text):
                origin = Origin(source, part)
                room -= self._text(text, origin, room)
            self._credentials(leaf.text[:LONGEST], name, Origin(source, leaf.path))
            persons.update(map(hash, people(leaf.text[:LONGEST])) if not many(persons) else ())
        if isinstance(content, str):
            # Taken apart at a colon, what is called a password is no longer beside what it is called.
            for hit in called(content[:LONGEST]):
                self._secret(hit.value, hit.name, Origin(source, "$"))
        if many(persons):
            self.classes.setdefault(DataClass.CONTACTS, Origin(source, "$"))
        return self.evicted - before

    def _text(self, text: str, origin: Origin, room: int) -> int:
        found = words(text)
        self._hold(found, origin)
        marks = rows(found)
        if len(marks) > max(0, room) and not origin.source.why:
            marks = marks[: max(0, room)] + [mark for mark in marks[max(0, room) :] if not mark & 3]
        self._put(marks, origin)
        self._put([hash(word) for word in found if distinct(word)], origin)
        if origin.source.why:
            backwards = [word[::-1] for word in reversed(found)]
            self._put(rows(backwards), origin)
            self._put(rows(list(map(rot13, found))), origin)
        return len(marks)

    def _hold(self, found: list[str], origin: Origin) -> None:
        parts = self.recent[origin.source]
        if origin.part not in parts and len(parts) >= MOST_PARTS:
            return
        held = parts.setdefault(origin.part, set())
        for word in found[: MOST_WORDS - len(held)]:
            if len(word) > 2 and hash(word) not in self.asked:
                held.add(hash(word))

    def _put(self, marks: Iterable[int], origin: Origin) -> None:
        if origin.source.why:
            for mark in marks:
                if len(self.sensitive) >= MOST_SENSITIVE:
                    self.evicted += 1
                else:
                    self.sensitive.setdefault(mark, origin)
            return
        for mark in marks:
            if mark not in self.common:
                if len(self.common) >= MOST_COMMON // 2:
                    self.evicted += len(self.older)
                    self.older, self.common = self.common, {}
                self.common[mark] = origin

    # --- secrets ---------------------------------------------------------------------------------------------------------

    def _credentials(self, text: str, name: str, origin: Origin) -> None:
        hits = find(text)
        if for_credentials(name) and len(text) <= 200 and secretive(text.strip()):
            hits.append(Hit("value of a credential's field", text.strip(), False))
        for one in classes(text, hits):
            self.classes.setdefault(one, origin)
        for hit in hits:
            self._secret(hit.value, hit.name, origin)
        for number in numbers(text):
            self.numbers = True
            self._put([hash(number)], Origin(origin.source._replace(why=NUMBERS), origin.part + " (numbers)"))
        for code in () if self.means_codes else codes(text):
            self.numbers = True
            self._put([hash(CODE + code)], Origin(origin.source._replace(why=CODES), origin.part + " (codes)"))

    def _secret(self, value: str, name: str, origin: Origin) -> None:
        if hash(value) in self.secrets:
            return
        if len(self.secrets) >= MOST_SECRETS:
            self.evicted += 1
            return
        secret = self.secrets[hash(value)] = Secret(name, origin)
        for number, spelling in enumerate(_spellings(value[:128])):
            secret.sizes.append(len(spelling))
            for at in range(len(spelling) - GRAM + 1):
                if len(self.grams) >= MOST_SPELLINGS:
                    self.evicted += 1
                    return
                self.grams.setdefault(hash(spelling[at : at + GRAM]), []).append((secret, number, at))

    # --- what is asked ----------------------------------------------------------------------------------------------------

    def known(self, marks: list[int]) -> list[int]:
        """Those of the fingerprints that were read, in their order, each once."""
        tables = (self.common, self.older, self.sensitive)
        if all(table.keys().isdisjoint(marks) for table in tables if table):
            return []  # nearly always
        return [mark for mark in dict.fromkeys(marks) if any(mark in table for table in tables)]

    def origin(self, mark: int) -> Origin | None:
        """Where the fingerprint was read; None when it was not, or the user said it."""
        if mark in self.told:
            return None
        return self.sensitive.get(mark) or self.common.get(mark) or self.older.get(mark)


def opens_credentials(action: Action) -> bool:
    """Whether the target or an argument of an action names a file that is made for credentials, or what a browser keeps for one."""
    return any(_CREDENTIAL_FILES.search(text) or _KEPT_BY_BROWSERS.search(text) for text in _texts(action))


def _spellings(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "surrogatepass")
    yield value
    yield value[::-1]
    yield data.hex()
    for skipped in range(3):
        # What the neighbours of a value do not change of its base64.
        whole = base64.b64encode(b"\0" * skipped + data).decode().rstrip("=")
        yield whole[(0, 2, 3)[skipped] : len(whole) - (1 if (skipped + len(data)) % 3 else 0)]


def _texts(action: Action) -> Iterator[str]:
    yield action.target
    for key in ARGUMENTS:
        if key not in action.metadata:
            continue
        found = action.metadata[key]
        values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else (found,)
        for value in list(values)[:32]:
            if isinstance(value, str) and len(value) <= 1024:
                yield value


def _parts(path: str, text: str) -> Iterator[tuple[str, str]]:
    """A record's lines, each a part by its number; else the text as one part."""
    text = text[:LONGEST]
    lines = text.split("\n") if "\n" in text else ()
    if 1 < len(lines) <= RECORD and max(map(len, lines)) <= SHORT:
        for number, line in enumerate(lines):
            if line:
                yield f"{path}:{number}", line
    else:
        yield path, text
