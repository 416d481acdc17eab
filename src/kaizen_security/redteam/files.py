"""Scenario files: TOML to values. An error names the file and the field.

The format is described in ``docs/reference/red-team.md``. A file of ``red-team/benign`` that says ``twin_of`` holds only what is
different from its attack, so a twin cannot differ anywhere else.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from kaizen_security.contract.action import Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.bundle import decode_policy
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import MAX_NAME, array, boolean, check_json, obj, plain, text, texts
from kaizen_security.redteam.computed import compute, fill
from kaizen_security.redteam.places import content, sources
from kaizen_security.redteam.scenario import Deed, Effect, Expected, Move, Say, Scenario, Session, Shelf

_TOP = frozenset("id attack title story rungs times agent policies randomise baseline sessions twin twin_story".split())
_TWIN = frozenset("twin_of story instead".split())
_AGENT = frozenset("name purpose tools destinations data".split())
_SESSION = frozenset("request agent after delegation moves for".split())
_DEED = frozenset("do tool target arguments name kind publisher hash source sensitive result injected expected".split())
_SAY = frozenset("say to name injected".split())
_EXPECTED = frozenset("detections bare block".split())
_HTTP = (Effect.HTTP_GET, Effect.HTTP_POST)
_FILE = (Effect.READ_FILE, Effect.WRITE_FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One scenario as it stands in its file, the twin's sessions merged in and templates filled; nothing computed yet."""

    shelf: Shelf
    path: Path
    data: dict[str, Json]


def read(place: Path | Sequence[Path]) -> tuple[Document, ...]:
    """Every scenario of a corpus, by shelf and file name. Raises Misconfigured naming file and field."""
    attacks: list[tuple[Shelf, Path, dict[str, Json]]] = []
    benign: list[tuple[Shelf, Path, dict[str, Json]]] = []
    twins: dict[str, tuple[Path, dict[str, Json]]] = {}
    for stands_on, path in sources(place):
        data = _load(path)
        shelf = stands_on or (Shelf.SCENARIOS if "attack" in data else Shelf.BENIGN)
        if "twin_of" in data:
            twins[str(data["twin_of"])] = (path, data)
        elif shelf is Shelf.BENIGN:
            benign.append((shelf, path, data))
        else:
            attacks.append((shelf, path, data))
    if not attacks and not (benign and all(shelf is None for shelf, _ in sources(place))):
        where = place if isinstance(place, Path) else ", ".join(map(str, place))
        raise Misconfigured(
            f"no scenario in {where}: it should hold scenarios/*.toml, or *.toml with an attack in them"
        )
    documents = [_paired(shelf, path, data, twins) for shelf, path, data in attacks]
    if twins:
        id_, (path, _) = twins.popitem()
        raise Misconfigured(f"{path}: twin_of: there is no scenario {id_!r}")
    documents += [_alone(shelf, path, data) for shelf, path, data in benign]
    _check_ids(documents)
    return tuple(documents)


def build(document: Document) -> Scenario:
    """The value of a document. Raises Misconfigured naming file and field."""
    try:
        return _scenario(document)
    except InvalidInput as err:
        raise Misconfigured(f"{document.path}: {err}") from err


def _load(path: Path) -> dict[str, Json]:
    try:
        data: dict[str, Json] = tomllib.loads(content(path).decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as err:
        raise Misconfigured(f"{path}: is not a TOML file: {err}") from err
    try:
        check_json(data, "file", most=1 << 20)  # bounded by its bytes
        _only_json(data, "")
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err
    return data


def _only_json(value: object, field: str) -> None:
    """TOML has dates, times, nan and inf; JSON has not. Raises InvalidInput."""
    if isinstance(value, dict):
        for key, item in value.items():
            _only_json(item, f"{field}.{key}" if field else key)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _only_json(item, f"{field}[{i}]")
    elif not isinstance(value, bool | int | float | str):
        raise InvalidInput(field, "is a date or a time; write it in quotes")
    elif isinstance(value, float) and not isfinite(value):
        raise InvalidInput(field, "must be a number that JSON has")


def _check_ids(documents: Iterable[Document]) -> None:
    seen: dict[str, Path] = {}
    for document in documents:
        id_ = document.data.get("id")
        if id_ != document.path.stem:
            raise Misconfigured(f"{document.path}: id: must be {document.path.stem!r}, as the file is called")
        if id_ in seen:
            raise Misconfigured(f"{document.path}: id: is taken by {seen[id_]}")
        seen[id_] = document.path


# --- an attack and its twin -------------------------------------------------------------------------------------------------


def _paired(
    shelf: Shelf, path: Path, data: dict[str, Json], twins: dict[str, tuple[Path, dict[str, Json]]]
) -> Document:
    twin_path, twin = twins.pop(str(data.get("id")), (None, {}))
    if twin_path is None:
        raise Misconfigured(
            f"{path}: id: has no benign twin; write one in benign/ (or beside it) with twin_of = {data.get('id')!r}"
        )
    _no_unknown_in(path, data, _TOP - {"twin", "twin_story"})
    _no_unknown_in(twin_path, twin, _TWIN)
    try:
        data = _filled(data)
        # Checked before the twin is laid over them, so that what is wrong here is said of this file.
        for key in ("baseline", "sessions"):
            _sessions(data, key, "")
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err
    try:
        data["twin"] = _without_malice(data, twin)
        data["twin_story"] = text(twin, "story")
    except InvalidInput as err:
        raise Misconfigured(f"{twin_path}: {err}") from err
    return Document(shelf=shelf, path=path, data=data)


def _alone(shelf: Shelf, path: Path, data: dict[str, Json]) -> Document:
    """Benign work that is nobody's twin: its sessions are the work."""
    _no_unknown_in(path, data, _TOP - {"attack", "rungs", "twin", "twin_story"})
    try:
        data = _filled(data)
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err
    data["twin"] = data.pop("sessions", None)
    return Document(shelf=shelf, path=path, data=data)


def _filled(data: dict[str, Json]) -> dict[str, Json]:
    """Sessions with ``for`` unrolled: one session for each entry."""
    for key in ("baseline", "sessions"):
        unrolled: list[Json] = []
        for i, session in enumerate(array(data, key)):
            field = f"{key}[{i}]"
            rows = array(obj(session, field), "for", field + ".") or [{}]
            rest = {name: item for name, item in obj(session, field).items() if name != "for"}
            unrolled += [fill(rest, obj(row, f"{field}.for[{j}]"), field) for j, row in enumerate(rows)]
        data[key] = unrolled
    return data


def _malicious(move: Json) -> bool:
    return isinstance(move, dict) and ("expected" in move or move.get("injected") is True)


def _without_malice(data: dict[str, Json], twin: dict[str, Json]) -> Json:
    """The attack's sessions with every malicious move replaced, and no other. Raises InvalidInput."""
    instead: dict[str, dict[str, Json]] = {}
    for i, entry in enumerate(array(twin, "instead")):
        change = dict(obj(entry, f"instead[{i}]"))
        instead[plain(change.pop("of", None), f"instead[{i}].of")] = change
    sessions = copy.deepcopy(data["sessions"])
    for i, session in enumerate(array({"sessions": sessions}, "sessions")):
        moves = array(obj(session, f"sessions[{i}]"), "moves")
        for j, move in enumerate(moves):
            if _malicious(move):
                moves[j] = _replaced(obj(move, f"sessions[{i}].moves[{j}]"), instead)
    if instead:
        raise InvalidInput("instead.of", f"{min(instead)!r} names no malicious move of the attack")
    return sessions


def _replaced(move: dict[str, Json], instead: dict[str, dict[str, Json]]) -> dict[str, Json]:
    name = move.get("name")
    change = instead.pop(str(name), None)
    if change is None:
        raise InvalidInput("instead", f"has nothing in place of the attack's malicious move {name!r}")
    if {"expected", "injected", "name"} & set(change):
        raise InvalidInput("instead", f"{name!r}: a twin's move expects nothing, injects nothing, and keeps its name")
    return {key: item for key, item in move.items() if key not in ("expected", "injected")} | change


# --- documents to values ----------------------------------------------------------------------------------------------------


def _scenario(document: Document) -> Scenario:
    data = document.data
    agent = obj(data.get("agent"), "agent")
    _no_unknown(agent, _AGENT, "agent.")
    name = _required(agent, "name", "agent.")
    alone = document.shelf is Shelf.BENIGN
    attack = text(data, "attack")
    if not alone and attack not in ATTACKS:
        raise InvalidInput("attack", f"must be one of {', '.join(ATTACKS)}")
    scenario = Scenario(
        id=_required(data, "id"),
        shelf=document.shelf,
        title=_required(data, "title"),
        story=_required(data, "story"),
        agent=name,
        declaration=decode_declaration(agent, field="agent"),
        attack=attack,
        twin_story=text(data, "twin_story"),
        policies=tuple(decode_policy(item, field=f"policies[{i}]") for i, item in enumerate(array(data, "policies"))),
        baseline=_sessions(data, "baseline", name),
        times=_whole(data.get("times", 2), "times", most=20),
        sessions=() if alone else _sessions(data, "sessions", name),
        twin=_sessions(data, "twin", name),
        rungs=_rungs(data),
        path=str(document.path),
    )
    _check_whole(scenario)
    return scenario


def _check_whole(scenario: Scenario) -> None:
    if not scenario.twin:
        raise InvalidInput("sessions", "there must be at least one")
    if scenario.shelf is not Shelf.BENIGN and not scenario.attacks:
        raise InvalidInput("sessions", "no move has an expected: nothing here counts as an attack")
    if scenario.shelf is Shelf.BENIGN and any(_is_malicious(move) for s in scenario.twin for move in s.moves):
        raise InvalidInput("sessions", "benign work expects no detection and carries out no injection")
    names = [move.name for session in scenario.sessions for move in session.moves if _is_malicious(move)]
    if "" in names or len(set(names)) != len(names):
        raise InvalidInput("sessions", "every malicious move needs a name of its own")


def _is_malicious(move: Move) -> bool:
    return move.injected or (isinstance(move, Deed) and move.attacking)


def _rungs(data: dict[str, Json]) -> tuple[Rung, ...]:
    rungs = []
    for i, name in enumerate(texts(data, "rungs") or ("cooperative",)):
        if name.upper() not in Rung.__members__:
            raise InvalidInput(f"rungs[{i}]", f"must be one of {', '.join(Rung.__members__).lower()}")
        rungs.append(Rung[name.upper()])
    return tuple(rungs)


def _sessions(data: dict[str, Json], key: str, agent: str) -> tuple[Session, ...]:
    return tuple(_session(item, f"{key}[{i}]", agent) for i, item in enumerate(array(data, key)))


def _session(item: Json, field: str, agent: str) -> Session:
    doc = obj(item, field)
    path = field + "."
    _no_unknown(doc, _SESSION, path)
    moves = array(doc, "moves", path)
    if not moves:
        raise InvalidInput(path + "moves", "there must be at least one")
    after = doc.get("after", 60)
    if isinstance(after, bool) or not isinstance(after, int | float) or not 0 <= after <= 31_536_000:
        raise InvalidInput(path + "after", "must be seconds, from 0 to a year")
    return Session(
        agent=text(doc, "agent", path, limit=MAX_NAME) or agent,
        request=_required(doc, "request", path),
        moves=tuple(_move(move, f"{path}moves[{i}]") for i, move in enumerate(moves)),
        after=float(after),
        delegation=texts(doc, "delegation", path, limit=MAX_NAME),
    )


def _move(item: Json, field: str) -> Move:
    doc = obj(item, field)
    path = field + "."
    if "say" in doc:
        _no_unknown(doc, _SAY, path)
        said = compute(doc.get("say"), path + "say")
        return Say(
            text=plain(said, path + "say"),
            to=text(doc, "to", path, limit=MAX_NAME) or "user",
            name=text(doc, "name", path, limit=MAX_NAME),
            injected=boolean(doc, "injected", path),
        )
    _no_unknown(doc, _DEED, path)
    return _deed(doc, path)


def _deed(doc: dict[str, Json], path: str) -> Deed:
    effect = text(doc, "do", path)
    if effect not in {known.value for known in Effect}:
        raise InvalidInput(path + "do", f"must be one of {', '.join(Effect)}")
    deed = Deed(
        effect=Effect(effect),
        tool=_required(doc, "tool", path),
        target=plain(compute(doc.get("target", ""), path + "target"), path + "target"),
        arguments=obj(compute(doc.get("arguments", {}), path + "arguments"), path + "arguments"),
        name=text(doc, "name", path, limit=MAX_NAME),
        kind=text(doc, "kind", path, limit=MAX_NAME) or "tool_call",
        publisher=text(doc, "publisher", path, limit=MAX_NAME),
        hash=text(doc, "hash", path, limit=MAX_NAME),
        source=text(doc, "source", path, limit=MAX_NAME) or "sdk",
        sensitive=boolean(doc, "sensitive", path),
        result=compute(doc.get("result"), path + "result"),
        injected=boolean(doc, "injected", path),
        expected=_expected(doc["expected"], path + "expected") if "expected" in doc else None,
    )
    _check_executable(deed, path)
    return deed


def _check_executable(deed: Deed, path: str) -> None:
    """What the effect needs to be executed is there, and nothing that it would ignore."""
    if deed.effect in _HTTP and not deed.target.startswith(("https://", "http://")):
        raise InvalidInput(path + "target", f"must be an http or https URL for {deed.effect}")
    if deed.effect in _FILE and (not deed.target or "://" in deed.target):
        raise InvalidInput(path + "target", f"must be a path for {deed.effect}")
    if deed.effect not in (*_HTTP, *_FILE) and deed.target:
        raise InvalidInput(path + "target", f"{deed.effect} has none; say it in arguments")
    needs: dict[Effect, dict[str, type]] = {
        Effect.WRITE_FILE: {"content": str},
        Effect.RUN_COMMAND: {"command": list},
        Effect.MESSAGE: {"to": str, "text": str},
    }
    for key, type_ in needs.get(deed.effect, {}).items():
        if not isinstance(deed.arguments.get(key), type_):
            wanted = "a list of words" if type_ is list else "text"
            raise InvalidInput(f"{path}arguments.{key}", f"must be {wanted} for {deed.effect}")


def _expected(item: Json, field: str) -> Expected:
    doc = obj(item, field)
    _no_unknown(doc, _EXPECTED, field + ".")
    detections = texts(doc, "detections", field + ".", limit=MAX_NAME)
    if not detections:
        raise InvalidInput(field + ".detections", "must name at least one detection")
    return Expected(
        detections=detections,
        bare=texts(doc, "bare", field + ".", limit=MAX_NAME),
        block=boolean(doc, "block", field + "."),
    )


def _required(doc: dict[str, Json], key: str, path: str = "") -> str:
    value = text(doc, key, path)
    if not value:
        raise InvalidInput(path + key, "must be there and not be empty")
    return value


def _whole(value: Json, field: str, *, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidInput(field, f"must be a whole number from 1 to {most}")
    return value


def _no_unknown(doc: dict[str, Json], known: frozenset[str], path: str) -> None:
    unknown = sorted(set(doc) - known)
    if unknown:
        raise InvalidInput(path + unknown[0], f"is not known here; known are {', '.join(sorted(known))}")


def _no_unknown_in(path: Path, doc: dict[str, Json], known: frozenset[str]) -> None:
    try:
        _no_unknown(doc, known, "")
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err
