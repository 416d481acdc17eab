"""What sidecars say of an agent: the latest of each, of so many sidecars, and gone with the agent and with a reset."""

from __future__ import annotations

from kaizen_security.contract.declaration import Declaration
from kaizen_security.store.profiles import MOST, Profile
from kaizen_security.store.sqlite import SqliteStore
from tests.unit.store.rows import NOW, organisation


def said(sidecar, at=NOW, **document):
    return Profile(sidecar=sidecar, at=at, document=document)


def test_the_latest_of_each_sidecar_is_kept(tmp_path):
    store = SqliteStore(tmp_path)
    number = organisation(store)
    assert store.profiles.put(number, "a", said("one")) is False
    store.declare(number, "a", Declaration(tools=("t",)), at=NOW)
    assert store.profiles.put(number, "a", said("one", seen=1))
    assert store.profiles.put(number, "a", said("two", NOW + 1, seen=2))
    assert store.profiles.put(number, "a", said("one", NOW + 2, seen=3))
    assert store.profiles.of(number, "a") == (said("one", NOW + 2, seen=3), said("two", NOW + 1, seen=2))
    for i in range(MOST + 3):
        store.profiles.put(number, "a", said(f"more {i}", NOW + 10 + i))
    kept = [one.sidecar for one in store.profiles.of(number, "a")]
    assert kept == [f"more {i}" for i in range(MOST + 2, 2, -1)]
    store.close()


def test_it_goes_with_a_reset_and_with_the_agent_and_is_nobody_elses(tmp_path):
    store = SqliteStore(tmp_path)
    number, other = organisation(store), organisation(store)
    for name in ("a", "b"):
        store.declare(number, name, Declaration(tools=("t",)), at=NOW)
        store.profiles.put(number, name, said("one"))
    assert store.profiles.of(other, "a") == ()
    assert store.reset(number, "a", at=NOW)
    assert store.delete_agent(number, "b") is not None
    assert (store.profiles.of(number, "a"), store.profiles.of(number, "b")) == ((), ())
    store.close()
