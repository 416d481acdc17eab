"""The data directory: atomic, private, forgiving about what it cannot read, honest about what it cannot write."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.sidecar.shelf import DiskShelf

KEY = "kz_live_" + "k" * 43
HERE = AgentKey("", "an agent / with ../ a name")


@pytest.fixture
def shelf(tmp_path):
    return DiskShelf(tmp_path / "data", KEY)


def baseline():
    one = Baseline()
    one.learn(features(Action(tool="search")))
    return one.to_json()


def sealed(agent=HERE.agent, key=KEY, **changes):
    made = Bundle(agent=agent, version=3, issued_at=1.0, expires_at=2.0)
    return seal(replace(made, **changes), signing_key(key_hash(key)))


def test_a_baseline_comes_back(shelf):
    assert shelf.load(HERE) is None
    shelf.save(HERE, baseline())
    assert shelf.load(HERE) == baseline()
    assert (shelf.place(HERE.agent) / "name").read_text() == HERE.agent


def test_an_agent_s_name_never_leaves_the_directory(shelf):
    assert shelf.place("../../etc").parent == shelf.data / "agents"


def test_the_last_good_bundle_comes_back_also_when_it_has_expired(shelf):
    shelf.keep_bundle(HERE.agent, sealed())
    assert shelf.bundle(HERE).version == 3


@pytest.mark.parametrize("kept", [b"{", sealed(agent="another"), sealed(key="kz_live_" + "z" * 43), b""])
def test_a_bundle_that_is_not_ours_is_set_aside(shelf, kept):
    shelf.keep_bundle(HERE.agent, kept)
    assert shelf.bundle(HERE) is None
    assert shelf.broken == 1
    assert (shelf.place(HERE.agent) / "bundle.broken").exists()
    assert shelf.bundle(HERE) is None
    assert shelf.broken == 1


def test_a_baseline_that_cannot_be_read_is_set_aside(shelf):
    shelf.save(HERE, {"format": 1, "learners": {"told.tool": 7}})
    assert shelf.load(HERE) is None
    assert shelf.broken == 1


def test_everything_is_for_its_owner_only(shelf):
    shelf.save(HERE, baseline())
    for path in shelf.data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_its_name_and_its_secret_stay_the_same(shelf):
    again = DiskShelf(shelf.data, KEY)
    assert (again.replica, again.boundary_secret) == (shelf.replica, shelf.boundary_secret)


def test_a_write_that_fails_leaves_the_old_file_and_is_said(shelf):
    shelf.save(HERE, baseline())
    place = shelf.place(HERE.agent)
    other = AgentKey("", "other")
    shelf.place(other.agent).write_text("a file where a directory belongs")
    shelf.save(other, baseline())
    assert shelf.problem
    shelf.save(HERE, baseline())
    assert shelf.problem == ""
    assert sorted(path.name for path in place.iterdir()) == ["baseline.json", "name"]


def test_a_declaration_that_changed_meanwhile_is_not_dropped(shelf):
    shelf.keep_manifest("a", {"tools": ["one"]})
    shelf.keep_manifest("a", {"tools": ["two"]})
    shelf.drop_manifest("a", {"tools": ["one"]})
    assert shelf.manifest("a") == {"tools": ["two"]}
    shelf.drop_manifest("a", {"tools": ["two"]})
    assert shelf.manifest("a") is None
