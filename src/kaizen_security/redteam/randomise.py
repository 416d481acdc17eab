"""The same scenario under other names: agents, tools, hosts, paths, accounts and wording are replaced, consistently, from a seed.

What is left is the structure: which value came from where and went where. A detector that knew a string of the corpus loses it.
Single words that a tool is called with (``grapes``, ``reader``) stay, in requests too: they are what the task is about.
A scenario may keep strings that carry public meaning (``keep``: a platform's host, a well-known path).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import array, obj, text, texts
from kaizen_security.redteam.files import Document
from kaizen_security.redteam.wording import CLOSERS, NAMES, OPENERS, SYNONYMS, TLDS

_SETTINGS = frozenset("keep names values".split())
_HOST = re.compile(r"(?<![\w.@%-])(?:[a-z0-9-]+\.)+(?:" + "|".join(TLDS) + r")(?![\w@-])")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}")
_URL_HOST = re.compile(r"https?://([^/:?#\s\"']+)")
_URL = re.compile(r"https?://[^\s\"']+")
_PATH = re.compile(r"(?<![\w./:~-])(?:~|/[\w.-]+)(?:/[\w.-]+)+")
_ROOT = re.compile(r"/(?:etc|home|opt|srv|tmp|usr|var)/")
"""Where every machine keeps its files; the name says nothing."""
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_GROUP = {word: group for group in SYNONYMS for word in group}


def randomise(document: Document, seed: int) -> Document:
    """The document under other names. The same seed gives the same document. Raises Misconfigured naming file and field."""
    try:
        data = _Names(document.data, random.Random(f"{seed}/{document.data.get('id')}")).everywhere()  # noqa: S311 -- no secret
    except InvalidInput as err:
        raise Misconfigured(f"{document.path}: {err}") from err
    return replace(document, data=data)


class _Names:
    """The dictionary of one document: old string to new, made once, used everywhere."""

    def __init__(self, data: dict[str, Json], chance: random.Random) -> None:
        settings = obj(data.get("randomise", {}), "randomise")
        unknown = sorted(set(settings) - _SETTINGS)
        if unknown:
            raise InvalidInput(f"randomise.{unknown[0]}", f"is not known; known are {', '.join(sorted(_SETTINGS))}")
        self._data = data
        self._chance = chance
        self._pool = list(NAMES)
        chance.shuffle(self._pool)
        self._tlds = chance.sample(TLDS, len(TLDS))
        self._parts: dict[str, str] = {}
        self._keep = frozenset(texts(settings, "keep", "randomise."))
        self._words = {group: chance.choice(group) for group in SYNONYMS}
        self._new: dict[str, str] = {}
        self._requests: dict[str, str] = {}
        self._fixed: frozenset[str] = frozenset()
        self._named(settings)
        self._fixed = frozenset(_lone_words(self._moves(), set(self._new)))
        self._found()
        ordered = sorted(self._new, key=len, reverse=True)
        # What may stand inside a longer name must not be cut out of it: only whole strings are replaced.
        self._known = re.compile(r"(?<![A-Za-z0-9_])(?:" + "|".join(map(re.escape, ordered)) + r")(?![A-Za-z0-9_])")

    # --- collecting ---------------------------------------------------------------------------------------------------------

    def _named(self, settings: dict[str, Json]) -> None:
        """What the file says by itself: listed values and names, agents, tools, publishers, digests."""
        agent = obj(self._data.get("agent"), "agent")
        moves = list(self._moves())
        self._add(texts(settings, "values", "randomise."), self._same_shape)
        names = (text(agent, "name"), *texts(settings, "names", "randomise."))
        self._add((name for name in names if "@" in name), self._mail)
        self._add((name for name in names if "@" not in name), self._name)
        self._add([*texts(agent, "tools"), *(text(move, "tool") for move in moves)], self._tool)
        self._add((text(move, "publisher") for move in moves), self._name)
        self._add((text(move, "hash") for move in moves), self._same_shape)

    def _found(self) -> None:
        """What stands in targets and texts: mail addresses, hosts, paths of files."""
        said = list(_strings([self._data.get(key) for key in ("agent", "policies", "baseline", "sessions", "twin")]))
        self._add((mail for line in said for mail in _MAIL.findall(line)), self._mail)
        self._add((host.split("@")[-1] for line in said for host in _URL_HOST.findall(line)), self._host)
        declared = texts(obj(self._data.get("agent"), "agent"), "destinations")
        self._add((host.removeprefix("*.") for host in declared), self._host)
        self._add((host for line in said for host in _HOST.findall(line)), self._host)
        self._add((text(move, "target") for move in self._moves() if text(move, "do").endswith("_file")), self._path)
        # The path of a URL stays: what it names is what the tool was asked for.
        self._add((path for line in said for path in _PATH.findall(_URL.sub(" ", line))), self._path)

    def _moves(self) -> Iterator[dict[str, Json]]:
        for key in ("baseline", "sessions", "twin"):
            for i, session in enumerate(array(self._data, key)):
                for j, move in enumerate(array(obj(session, f"{key}[{i}]"), "moves")):
                    yield obj(move, f"{key}[{i}].moves[{j}]")

    def _add(self, olds: Iterable[str], make: Callable[[str], str]) -> None:
        for old in dict.fromkeys(olds):
            if not old or old in self._new or old in self._keep:
                continue
            new = make(old)
            while new in self._new.values():
                new += self._chance.choice(NAMES)
            self._new[old] = new

    # --- making -------------------------------------------------------------------------------------------------------------

    def _part(self, old: str) -> str:
        """Another word for one part of a name; numbers keep their shape."""
        if old in self._keep or old in self._fixed or not any(letter.isalpha() for letter in old):
            return old
        if old not in self._parts:
            self._parts[old] = self._pool.pop() if self._pool else f"{self._chance.choice(NAMES)}{len(self._parts)}"
        return self._parts[old]

    def _name(self, old: str) -> str:
        # The letters between the parts stay, so "worker-1" and "worker-2" are still two of a kind.
        new = re.sub(r"[A-Za-z]+", lambda found: self._part(found[0].lower()), old)
        return new.title() if old[:1].isupper() else new

    def _tool(self, old: str) -> str:
        words = [self._words.get(_GROUP[word], word) if word in _GROUP else word for word in old.split("_")]
        words = [part for word in words for part in word.split("-")]
        if words == old.split("_"):
            words.append(self._chance.choice(NAMES))
        style = self._chance.randrange(3)
        if style == 0:
            return "_".join(words)
        if style == 1:
            return words[0] + "".join(word.title() for word in words[1:])
        return f"{self._chance.choice(NAMES)}_" + "_".join(words)

    def _host(self, old: str) -> str:
        if old in self._keep:
            return old
        *labels, tld = old.split(".")
        if not labels:
            return self._part(old)
        return ".".join([*(self._part(label) for label in labels), self._tld(tld)])

    def _tld(self, old: str) -> str:
        key = "." + old
        if key not in self._parts:
            self._parts[key] = self._tlds.pop() if self._tlds else old
        return self._parts[key]

    def _mail(self, old: str) -> str:
        local, _, host = old.partition("@")
        return f"{self._name(local)}@{self._host(host)}"

    def _path(self, old: str) -> str:
        if old in self._keep:
            return old
        root = _ROOT.match(old)
        steps = [root[0]] if root else []
        for step in old[len(root[0]) if root else 0 :].split("/"):
            stem, dot, extension = step.rpartition(".")
            steps.append(self._stem(stem) + dot + extension if dot and stem else self._stem(step))
        return "".join(steps[:1]) + "/".join(steps[1:]) if root else "/".join(steps)

    def _stem(self, stem: str) -> str:
        return stem if stem in self._fixed else self._name(stem.lower())

    def _same_shape(self, old: str) -> str:
        """Other letters and digits in their places; a prefix of letters stays (``DE``, ``tok-``), since it says what it is."""
        head = re.match(r"[A-Za-z]*-?", old)
        kept = head[0] if head and len(head[0]) < len(old) else ""
        digits, small, capital = "0123456789", "abcdefghkmnpqrstuvwxyz", "ABCDEFGHKLMNPQRSTUVWXYZ"
        if re.fullmatch(r"[0-9a-f]+", old):
            return "".join(self._chance.choice("0123456789abcdef") for _ in old)
        new = []
        for letter in old[len(kept) :]:
            kind = (
                digits if letter.isdigit() else small if letter.islower() else capital if letter.isupper() else letter
            )
            new.append(self._chance.choice(kind))
        return kept + "".join(new)

    # --- using --------------------------------------------------------------------------------------------------------------

    def everywhere(self) -> dict[str, Json]:
        """The document with everything replaced where it may be; what gives the document its form stays."""
        data = dict(self._data)
        agent = dict(obj(data["agent"], "agent"))
        data["agent"] = {
            key: self._renamed(value) if key != "purpose" else self._reworded(value) for key, value in agent.items()
        }
        data["policies"] = [
            {**obj(policy, "policies"), "rules": self._renamed(obj(policy, "policies").get("rules"))}
            for policy in array(data, "policies")
        ]
        for key in ("baseline", "sessions", "twin"):
            if key in data:
                data[key] = [self._session(obj(session, key)) for session in array(data, key)]
        return data

    def _session(self, session: dict[str, Json]) -> dict[str, Json]:
        new = dict(session)
        for key in ("agent", "delegation"):
            if key in new:
                new[key] = self._renamed(new[key])
        new["request"] = self._asked(text(session, "request"))
        new["moves"] = [self._move(obj(move, "moves")) for move in array(session, "moves")]
        return new

    def _asked(self, request: str) -> str:
        # An attack and its twin are asked the same, in the same words.
        if request not in self._requests:
            asked = self._sentence(request)
            self._requests[request] = f"{self._chance.choice(OPENERS)}{asked}{self._chance.choice(CLOSERS)}"
        return self._requests[request]

    def _move(self, move: dict[str, Json]) -> dict[str, Json]:
        new = dict(move)
        for key in ("tool", "target", "publisher", "hash", "to"):
            if key in new:
                new[key] = self._renamed(new[key])
        for key in ("arguments", "result", "say"):
            if key in new:
                new[key] = self._reworded(new[key])
        return new

    def _renamed(self, value: Json) -> Json:
        return _mapped(value, lambda line: self._known.sub(lambda found: self._new[found[0]], line))

    def _reworded(self, value: Json) -> Json:
        """Names replaced, and in sentences other words as well. A lone word is a value, not a sentence."""
        return _mapped(value, self._sentence)

    def _sentence(self, line: str) -> str:
        pieces: list[str] = []
        end = 0
        for found in self._known.finditer(line):
            pieces += [self._prose(line[end : found.start()], line), self._new[found[0]]]
            end = found.end()
        return "".join([*pieces, self._prose(line[end:], line)])

    def _prose(self, piece: str, line: str) -> str:
        return _WORD.sub(self._synonym, piece) if " " in line else piece

    def _synonym(self, found: re.Match[str]) -> str:
        word = found[0]
        if word in self._keep or word.lower() in self._fixed or word.lower() not in _GROUP:
            return word
        new = self._words[_GROUP[word.lower()]]
        return new.capitalize() if word[0].isupper() else new


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        # ``encoded`` names an encoding; all else in such a table is content.
        return {key: item if key == "encoded" else _mapped(item, change) for key, item in value.items()}
    return value


def _lone_words(moves: Iterable[dict[str, Json]], named: set[str]) -> Iterator[str]:
    """Values of arguments that are one word, and the parts of such a word; not those that are names."""
    for move in moves:
        for line in _strings(move.get("arguments")):
            if " " not in line and "/" not in line and line not in named:
                yield line.lower()
                yield from re.findall(r"[a-z]+", line.lower())


def _strings(value: Json | Iterable[Json]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
