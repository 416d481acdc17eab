"""What was told before its act was known is told again when it is: once, to whoever was told, and behind what is new."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kaizen_security.contract.verdict import Decision
from kaizen_security.exports.vault import Vault
from kaizen_security.runtime.clock import now
from kaizen_security.store.base import Origin, Status
from kaizen_security.store.exported import Export, Which
from kaizen_security.store.sqlite import SqliteStore
from tests.e2e.exports.receiving import Receiver, until
from tests.e2e.exports.test_outbox import delivering, make
from tests.unit.store.rows import DENIED, UNDECLARED, organisation, row


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore(tmp_path / "data")
    organisation(opened)
    yield opened
    opened.close()


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "enc.key")


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


def effect(name, *, act="", run="", **more):
    """What an observer reports of an effect: first under its own id, later under its call's."""
    seen = row(name, source="egress", origin=Origin.OBSERVER, run_id=run or name, **more)
    sources = ("sdk", "egress") if act else ()
    return seen._replace(action=replace(seen.action, act_id=act or name, seen_by=sources))


def put(store, *rows):
    return list(store.append(1, rows).result().ids)


def settled(store, export):
    """Nothing waits any more: how it is kept."""
    return until(lambda: store.exports.lag(store.exports.one(1, export.id)).pending == 0)


def test_a_row_that_is_joined_after_it_was_told_is_told_again_once_with_its_act(store, vault, receiver):
    export = make(store, vault, receiver)
    with delivering(store, vault) as outbox:
        [one] = put(store, effect("e1", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 1)
        settled(store, export)
        for _ in range(2):
            assert put(store, effect("e1", act="call_7", run="run-1", evidence=(UNDECLARED,))) == [one]
            outbox.wake(1)
            until(lambda: len(receiver.taken()) == 2)
            settled(store, export)
        put(store, effect("e2", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 3)
    first, again, _ = receiver.documents()
    assert (first["event"], again["event"]) == ("anomaly", "verdict.joined")
    assert first["data"]["action"]["act_id"] == "e1"
    action = {**first["data"]["action"], "act_id": "call_7", "run_id": "run-1", "seen_by": ["sdk", "egress"]}
    assert again["data"] == {**first["data"], "action": action}
    names = receiver.deliveries()
    assert names[0] == one
    assert names[1].startswith(f"{one}-"), "a receiver that knows what it had must not take it for the same"


def test_what_is_joined_before_it_is_told_is_told_once(store, vault, receiver):
    export = make(store, vault, receiver)
    put(store, effect("e1", evidence=(UNDECLARED,)), effect("e1", act="call_7", evidence=(UNDECLARED,)))
    with delivering(store, vault):
        until(receiver.taken)
        settled(store, export)
    [told] = receiver.documents()
    assert (told["event"], told["data"]["action"]["act_id"]) == ("anomaly", "call_7")


@pytest.mark.parametrize("kind", ["webhook", "otlp"])
def test_what_is_joined_while_it_is_being_told_is_told_again(store, vault, receiver, kind):
    export = make(store, vault, receiver, kind=kind)
    acts = ["call_8", "call_7"]

    def meanwhile(path, headers, body):
        # Joined during its first telling, and to yet another while that is being told.
        if path != "/v1/traces" and acts:
            put(store, effect("e1", act=acts.pop(), evidence=(UNDECLARED,)))
        return 200, {}

    receiver.answer = meanwhile
    with delivering(store, vault) as outbox:
        put(store, effect("e1", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: not acts and receiver.taken() and b"call_8" in receiver.taken()[-1][2])
        settled(store, export)
    told = [body for path, _, body, _ in receiver.taken() if path != "/v1/traces"]
    assert [next(act for act in (b"call_8", b"call_7", b"e1") if act in body) for body in told][-1] == b"call_8"


def test_a_collector_gets_the_same_span_and_a_record_that_says_so(store, vault, receiver):
    export = make(store, vault, receiver, kind="otlp")
    with delivering(store, vault) as outbox:
        [one] = put(store, effect("e1", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 2)
        settled(store, export)
        put(store, effect("e1", act="call_7", run="run-1", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 4)
    for kind, scope, name in (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")):
        first, again = (document[kind][0][scope][0][name][0] for document in receiver.documents() if kind in document)
        assert first["spanId"] == again["spanId"]
        said = [
            {pair["key"]: pair["value"].get("stringValue") for pair in told["attributes"]} for told in (first, again)
        ]
        names = ("kaizen.id", "kaizen.event", "kaizen.act_id", "kaizen.run_id")
        assert [tuple(one.get(name) for name in names) for one in said] == [
            (one, "anomaly", "e1", "e1"),
            (one, "verdict.joined", "call_7", "run-1"),
        ]


def test_only_whoever_was_told_and_still_wants_it_is_told_again(store, vault):
    def kept(name, which, kind="webhook"):
        made = Export(id=name, organisation=1, name=name, kind=kind, which=which, sealed=b"", created_at=now())
        return store.exports.create(made)

    exports = [kept("all", Which.ALL), kept("flags", Which.FLAGS), kept("blocks", Which.BLOCKS)]
    exports.append(kept("slack", Which.ALL, "slack"))
    rows = {
        "plain": effect("plain"),
        "flag": effect("flag", evidence=(UNDECLARED,)),
        "wrong": effect("wrong", evidence=(UNDECLARED,)),
        "block": effect("block", evidence=(DENIED,), decision=Decision.BLOCK),
    }
    ids = dict(zip(rows, put(store, *rows.values()), strict=True))
    for export in exports:
        told = [due.row for due in store.exports.waiting(export, limit=9)]
        store.exports.delivered(export.id, told, at=now())
    store.set_status(1, ids["wrong"], Status.FALSE_POSITIVE, at=now())
    exports.append(kept("late", Which.ALL))
    again = [one._replace(action=replace(one.action, act_id="call")) for one in rows.values()]
    put(store, *again)
    found = {
        export.id: [(due.row.action_id, due.joined) for due in store.exports.waiting(export, limit=9)]
        for export in [store.exports.one(1, made.id) for made in exports]
    }
    assert found == {
        "all": [(name, True) for name in rows],
        "flags": [("flag", True), ("block", True)],
        "blocks": [("block", True)],
        "slack": [],
        "late": [],
    }
    put(store, effect("new", evidence=(UNDECLARED,)))
    [first, *rest] = store.exports.waiting(store.exports.one(1, "flags"), limit=9)
    assert (first.row.action_id, first.joined, len(rest)) == ("new", False, 2), "what is new comes first"
    assert store.exports.lag(store.exports.one(1, "flags")).pending == 3
    store.delete_agent(1, "billing")
    assert [store.exports.lag(export).pending for export in exports] == [0] * len(exports)


def test_a_receiver_that_takes_no_such_event_does_not_fall_behind(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (422 if b"verdict.joined" in body else 200, {})
    with delivering(store, vault, backoff=60.0) as outbox:
        put(store, effect("e1", evidence=(UNDECLARED,)), effect("e2", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 2)
        settled(store, export)
        put(store, *(effect(name, act="call_7", evidence=(UNDECLARED,)) for name in ("e1", "e2")))
        outbox.wake(1)
        settled(store, export)
        assert len(receiver.seen) == 4
        assert outbox.outcomes["webhook", "not joined"] == 2
        put(store, effect("e3", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: len(receiver.taken()) == 3)
    kept = store.exports.one(1, export.id)
    assert (kept.parked, kept.attempts, kept.problem) == (0, 0, "")


def test_what_was_not_told_again_yet_is_after_the_next_start(store, vault, receiver):
    export = make(store, vault, receiver)
    with delivering(store, vault) as outbox:
        put(store, effect("e1", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(receiver.taken)
        settled(store, export)
        receiver.down()
        put(store, effect("e1", act="call_7", evidence=(UNDECLARED,)))
        outbox.wake(1)
        until(lambda: store.exports.one(1, export.id).attempts)
    receiver.up()
    with delivering(store, vault):
        until(lambda: len(receiver.taken()) == 2)
        settled(store, export)
    assert json.loads(receiver.taken()[-1][2])["data"]["action"]["act_id"] == "call_7"
