"""The outbox over a real store and a real receiver, with short back-off: refusals, busy receivers, order, disabling."""

from __future__ import annotations

import contextlib
import json

import pytest

from kaizen_security.contract.verdict import Decision
from kaizen_security.exports import destinations
from kaizen_security.exports.vault import Vault
from kaizen_security.runtime.clock import new_id, now
from kaizen_security.runtime.outbox import BELIEVED, TRIES, Outbox
from kaizen_security.store.base import LimitReached, Status
from kaizen_security.store.exported import MAX_EXPORTS, MAX_PARKED, Export, Which
from kaizen_security.store.sqlite import SqliteStore
from tests.e2e.exports.receiving import Receiver, until
from tests.unit.store.rows import DENIED, UNDECLARED, organisation, row


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore(tmp_path / "data")
    organisation(opened)
    yield opened
    opened.close()


@pytest.fixture
def receiver():
    with Receiver() as made:
        yield made


def make(store, vault, receiver, *, which=Which.FLAGS, kind="webhook", owner=1):
    said = {"url": f"http://127.0.0.1:{receiver.port}/", "kind": kind}
    made = destinations.read_destination(said, number=new_id())
    sealed = destinations.seal(made, vault, organisation=owner)
    export = Export(id=made.id, organisation=owner, name="d", kind=kind, which=which, sealed=sealed, created_at=now())
    return store.exports.create(export)


@contextlib.contextmanager
def delivering(store, vault, *, backoff=0.01):
    outbox = Outbox(store.exports, vault, clock=now, permitted=["127.0.0.1"], backoff=backoff, deadline=30.0)
    outbox.changed()
    try:
        yield outbox
    finally:
        outbox.close()


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "enc.key")


def flags(store, outbox, count, *, owner=1):
    ids = store.append(owner, [row(evidence=(UNDECLARED,), reason=f"r{i}") for i in range(count)]).result().ids
    outbox.wake(owner)
    return list(ids)


def test_a_row_that_is_refused_is_put_aside_with_its_reason_and_comes_when_it_is_asked_for_again(
    store, vault, receiver
):
    export = make(store, vault, receiver)
    bad = []
    receiver.answer = lambda path, headers, body: (422 if headers["X-Kaizen-Delivery"] in bad else 200, {})
    with delivering(store, vault) as outbox:
        receiver.down()
        ids = flags(store, outbox, 5)
        bad.append(ids[2])
        receiver.up()
        until(lambda: len(receiver.taken()) == 4)
        assert receiver.deliveries() == [ids[0], ids[1], ids[3], ids[4]]
        assert len([entry for entry in receiver.seen if entry[3] == 422]) == TRIES
        [aside] = store.exports.parked(1, export.id, limit=10)
        assert (aside.verdict_id, aside.reason) == (ids[2], "the receiver answered 422")
        bad.clear()
        assert store.exports.unpark(1, export.id) == 1
        outbox.changed()
        until(lambda: len(receiver.taken()) == 5)
        after = until(lambda: (e := store.exports.one(1, export.id)).parked == 0 and e)
        assert (after.delivered, after.problem) == (5, "")


def test_busy_is_waited_for_as_long_as_the_receiver_asks(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (429, {"Retry-After": "1800"})
    with delivering(store, vault) as outbox:
        flags(store, outbox, 1)
        found = until(lambda: (e := store.exports.one(1, export.id)).attempts and e)
        assert 1700 < found.next_at - now() <= 1800
        assert found.problem == "the receiver answered 429"
        receiver.answer = lambda path, headers, body: (200, {})
        # A change by a person is tried at once.
        store.exports.change(1, export.id, enabled=True)
        outbox.changed()
        until(receiver.taken)
    assert store.exports.parked(1, export.id, limit=10) == ()


def test_busy_is_never_put_aside(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (503, {})
    with delivering(store, vault, backoff=0.001) as outbox:
        [one] = flags(store, outbox, 1)
        until(lambda: len(receiver.seen) > TRIES + 2)
        assert store.exports.parked(1, export.id, limit=10) == ()
        receiver.answer = lambda path, headers, body: (200, {})
        until(lambda: receiver.deliveries() == [one])


def answers_to_tests(receiver):
    with receiver.lock:
        return [status for _, headers, _, status in receiver.seen if headers["X-Kaizen-Delivery"].startswith("test-")]


def test_a_receiver_that_refuses_everything_is_waited_for_and_nothing_is_put_aside(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (404, {})
    with delivering(store, vault, backoff=0.001) as outbox:
        ids = flags(store, outbox, 3)
        found = until(lambda: (e := store.exports.one(1, export.id)).attempts > TRIES + 2 and e)
        assert found.problem == "the receiver answered 404; it refuses a test too, so verdicts wait for it"
        assert (found.parked, store.exports.lag(found).pending) == (0, 3)
        with receiver.lock:
            offered = {headers["X-Kaizen-Delivery"] for _, headers, _, _ in receiver.seen}
        assert {one for one in offered if not one.startswith("test-")} == {ids[0]}
        receiver.answer = lambda path, headers, body: (200, {})
        until(lambda: receiver.deliveries() == ids)
        after = until(lambda: (e := store.exports.one(1, export.id)).delivered == 3 and e)
        assert (after.problem, after.attempts) == ("", 0)


def test_verdicts_that_are_refused_one_after_the_other_hold_up_none_behind_them(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (403 if b'"r9"' in body else 200, {})
    with delivering(store, vault, backoff=0.001) as outbox:
        refused = [row(evidence=(UNDECLARED,), reason="r9") for _ in range(2 * BELIEVED)]
        store.append(1, refused).result()
        [good] = flags(store, outbox, 1)
        until(lambda: good in receiver.deliveries())
        assert store.exports.one(1, export.id).parked == 2 * BELIEVED
        assert answers_to_tests(receiver) == [200] * 2


def test_a_redirect_is_not_followed_and_says_so(store, vault, receiver):
    export = make(store, vault, receiver)
    receiver.answer = lambda path, headers, body: (302, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})
    with delivering(store, vault) as outbox:
        flags(store, outbox, 1)
        found = until(lambda: (e := store.exports.one(1, export.id)).attempts >= TRIES and e)
    assert "never followed" in found.problem
    assert {path for path, _, _, _ in receiver.seen} == {"/"}


def test_one_bad_row_of_a_bundle_does_not_take_the_others_with_it(store, vault, receiver):
    export = make(store, vault, receiver, kind="otlp")
    receiver.answer = lambda path, headers, body: (400 if b'"r3"' in body else 200, {})
    with delivering(store, vault) as outbox:
        ids = flags(store, outbox, 6)
        until(lambda: store.exports.one(1, export.id).parked == 1 and store.exports.one(1, export.id).delivered == 5)
        [aside] = store.exports.parked(1, export.id, limit=10)
    assert aside.verdict_id == ids[3]


def test_each_destination_gets_what_it_asked_for(store, vault):
    with Receiver() as blocks, Receiver() as all_:
        make(store, vault, blocks, which=Which.BLOCKS)
        make(store, vault, all_, which=Which.ALL)
        with delivering(store, vault) as outbox:
            rows = [row(), row(evidence=(UNDECLARED,)), row(evidence=(DENIED,), decision=Decision.BLOCK)]
            ids = list(store.append(1, rows).result().ids)
            outbox.wake(1)
            until(lambda: len(all_.taken()) == 3 and blocks.taken())
        assert all_.deliveries() == ids
        assert [json.loads(body)["event"] for _, _, body, _ in all_.taken()] == [
            "verdict.allow",
            "anomaly",
            "verdict.block",
        ]
        assert blocks.deliveries() == ids[2:]


def test_another_organisations_rows_are_not_sent(store, vault, receiver):
    other = organisation(store, "other")
    make(store, vault, receiver)
    with delivering(store, vault) as outbox:
        flags(store, outbox, 3, owner=other)
        ids = flags(store, outbox, 1)
        until(receiver.taken)
    assert receiver.deliveries() == ids


def test_what_is_switched_off_keeps_its_place(store, vault, receiver):
    export = make(store, vault, receiver)
    with delivering(store, vault) as outbox:
        store.exports.change(1, export.id, enabled=False)
        outbox.changed()
        ids = flags(store, outbox, 2)
        assert store.exports.lag(export).pending == 2
        store.exports.change(1, export.id, enabled=True)
        outbox.changed()
        until(lambda: receiver.deliveries() == ids)


def test_a_false_positive_is_not_told_unless_all_is_asked_for(store, vault, receiver):
    make(store, vault, receiver)
    first, second = store.append(1, [row(evidence=(UNDECLARED,)) for _ in range(2)]).result().ids
    store.set_status(1, first, Status.FALSE_POSITIVE, at=now())
    with delivering(store, vault):
        until(receiver.taken)
    assert receiver.deliveries() == [second]


def test_a_destination_whose_key_is_gone_waits_and_says_why(store, vault, receiver, tmp_path):
    export = make(store, vault, receiver)
    (tmp_path / "enc.key").unlink()
    with delivering(store, vault) as outbox:
        flags(store, outbox, 1)
        found = until(lambda: (e := store.exports.one(1, export.id)).problem and e)
    assert "cannot be opened" in found.problem
    assert store.exports.lag(found).pending == 1
    assert receiver.seen == []


def test_a_destination_that_turned_inward_is_not_reached(store, vault, receiver):
    export = make(store, vault, receiver)
    outbox = Outbox(store.exports, vault, clock=now)
    outbox.changed()
    try:
        flags(store, outbox, 1)
        found = until(lambda: (e := store.exports.one(1, export.id)).problem and e)
    finally:
        outbox.close()
    assert "not a public address" in found.problem
    assert receiver.seen == []


def test_there_are_no_more_destinations_than_may_be(store, vault, receiver):
    for _ in range(MAX_EXPORTS):
        make(store, vault, receiver)
    with pytest.raises(LimitReached):
        make(store, vault, receiver)


def test_when_too_much_is_put_aside_it_waits_instead(store, vault, receiver):
    export = make(store, vault, receiver)
    ids = store.append(1, [row(evidence=(UNDECLARED,)) for _ in range(MAX_PARKED + 1)]).result().ids
    assert store.exports.park(export.id, ids[:MAX_PARKED], reason="no", at=1.0)
    assert not store.exports.park(export.id, ids[MAX_PARKED:], reason="no", at=1.0)
    assert store.exports.lag(store.exports.one(1, export.id)).pending == 1
