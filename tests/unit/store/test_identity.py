"""Organisations, people, sessions, links, keys, agents, policies."""

from __future__ import annotations

import pytest

from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.store.base import Key, Role, Scope
from tests.unit.store.rows import NOW, organisation


def key(acme, name="k", hash_="h", id_="1"):
    return Key(
        id=id_,
        organisation=acme,
        name=name,
        prefix="kz_live_abcd",
        hash=hash_,
        scope=Scope.OBSERVER,
        agent="billing",
        created_at=NOW,
    )


def test_a_person_is_found_by_name_and_a_name_is_taken_once(store):
    acme = organisation(store)
    made = store.create_user(acme, "ann", role=Role.ADMIN, password="record", at=NOW)
    assert store.user("ann") == made == store.users(acme)[0]
    assert store.user("bob") is None
    with pytest.raises(InvalidInput) as raised:
        store.create_user(acme, "ann", role=Role.VIEWER, password="", at=NOW)
    assert raised.value.field == "name"


@pytest.mark.parametrize("role", ["", "owner", "ADMIN", "administrator"])
def test_a_role_that_is_not_known_is_never_an_administrators(store, role):
    acme = organisation(store)
    store.create_user(acme, "ann", role=Role.ADMIN, password="", at=NOW)
    driver = store._transaction._driver
    store._write(lambda _: driver.execute("UPDATE users SET role = ?", (role,)))
    assert store.user("ann").role is Role.VIEWER


def test_a_session_ends_by_time_by_signing_out_and_by_a_new_password(store):
    acme = organisation(store)
    ann = store.create_user(acme, "ann", role=Role.ADMIN, password="", at=NOW)
    for token in "abc":
        store.create_session(ann.id, token, at=NOW, expires_at=NOW + 10)
    assert store.session("a", now=NOW + 9).user == ann
    assert store.session("a", now=NOW + 10) is None
    store.delete_session("a")
    assert store.session("a", now=NOW) is None
    store.set_password(ann.id, "other")
    assert store.session("b", now=NOW) is None
    assert store.user("ann").password == "other"


def test_a_link_works_once_and_in_time(store):
    acme = organisation(store)
    ann = store.create_user(acme, "ann", role=Role.ADMIN, password="", at=NOW)
    store.create_link(ann.id, "l", expires_at=NOW + 600)
    assert store.use_link("other", now=NOW) is None
    assert store.use_link("l", now=NOW) == ann
    assert store.use_link("l", now=NOW) is None
    store.create_link(ann.id, "late", expires_at=NOW + 600)
    assert store.use_link("late", now=NOW + 600) is None


def test_a_key_is_found_by_its_hash_and_revoked_once_by_its_own_organisation(store):
    acme, other = organisation(store), organisation(store, "other")
    store.create_key(key(acme))
    assert store.key_by_hash("h") == key(acme) == store.keys(acme)[0]
    assert store.key_by_hash("x") is None
    assert store.keys(other) == ()
    assert not store.revoke_key(other, "1", at=NOW)
    store.key_used("1", at=NOW + 60)
    assert store.key_by_hash("h").last_used_at == NOW + 60
    assert store.revoke_key(acme, "1", at=NOW + 70)
    assert not store.revoke_key(acme, "1", at=NOW + 80)
    assert store.key_by_hash("h").revoked_at == NOW + 70


def test_a_replacing_key_revokes_the_ones_of_its_name(store):
    acme = organisation(store)
    store.create_key(key(acme, hash_="1", id_="1"))
    store.create_key(key(acme, hash_="2", id_="2", name="other"))
    store.create_key(key(acme, hash_="3", id_="3"), replace=True)
    assert {one.id for one in store.keys(acme) if not one.revoked_at} == {"2", "3"}


def test_an_agent_is_declared_set_and_reset(store):
    acme = organisation(store)
    declared = Declaration(tools=("a",), destinations=("api.example",), purpose="Bills é")
    made = store.declare(acme, "b/c d", declared, at=NOW)
    assert made.declaration == declared
    assert (made.rung, made.mode, made.paused, made.first_seen) == (None, Mode.OBSERVE, False, 0.0)
    changed = store.settings(acme, "b/c d", at=NOW, mode=Mode.ENFORCE, paused=True)
    assert (changed.mode, changed.paused, changed.judge_enabled) == (Mode.ENFORCE, True, True)
    assert changed.declaration == declared
    assert changed.revision > made.revision
    assert store.settings(acme, "new", at=NOW).mode is Mode.OBSERVE
    store.save_baselines([(acme, "b/c d", b"{}"), (acme, "new", b"[]")], at=NOW)
    store.save_baselines([(acme, "b/c d", b"{1}")], at=NOW)
    assert store.baseline(acme, "b/c d") == b"{1}"
    assert store.baseline(acme, "none") is None
    assert store.reset(acme, "b/c d", at=NOW)
    assert store.baseline(acme, "b/c d") is None
    assert store.baseline(acme, "new") == b"[]"
    assert store.agent(acme, "b/c d").declaration == declared
    assert not store.reset(acme, "none", at=NOW)


def test_policies_are_kept_by_name_and_every_change_is_a_new_revision(store):
    acme, other = organisation(store), organisation(store, "other")
    revisions = [store.organisation(acme).revision]
    hosts = Policy("blocklist", {"domains": ["é.example"]}, "hosts")
    store.put_policy(acme, hosts, at=NOW)
    revisions.append(store.organisation(acme).revision)
    store.put_policy(acme, Policy("blocklist", {}, "hosts", False), at=NOW)
    assert store.policies(acme) == (Policy("blocklist", {}, "hosts", False),)
    assert store.policies(other) == ()
    assert not store.delete_policy(other, "hosts")
    assert store.delete_policy(acme, "hosts")
    assert not store.delete_policy(acme, "hosts")
    revisions.append(store.organisation(acme).revision)
    assert store.org_policy(acme) == {}
    store.set_org_policy(acme, {"mode": "off"})
    assert store.org_policy(acme) == {"mode": "off"}
    revisions.append(store.organisation(acme).revision)
    assert revisions == sorted(set(revisions))
    assert store.organisation(other).revision == 1
