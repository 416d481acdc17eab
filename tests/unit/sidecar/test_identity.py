"""Keys on loopback: who vouches for them, for how long, and what is remembered."""

from __future__ import annotations

import json

import pytest

from kaizen_security.contract.bundle import key_hash
from kaizen_security.contract.errors import Refused, Unreachable
from kaizen_security.sidecar.identity import FRESH, MOST, REFUSED, STALE, Identities, Unknown

OWN = "kz_live_" + "o" * 43
ONE = "kz_live_" + "1" * 43


class World:
    """A control plane's word on keys, and a clock, both turned by the test."""

    def __init__(self):
        self.at = 1_000_000_000.0
        self.up = True
        self.asked = 0
        self.keys = {
            OWN: {"organisation": "org", "scope": "observer", "agent": None},
            ONE: {"organisation": "org", "scope": "agent", "agent": "mine"},
        }

    def whoami(self, key):
        self.asked += 1
        if not self.up:
            raise Unreachable("down")
        if key not in self.keys:
            raise Refused("unknown", status=401)
        return self.keys[key]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def identities(world, tmp_path):
    return Identities(world.whoami, tmp_path / "identities.json", lambda: world.at, OWN)


def test_a_key_is_asked_about_once_and_then_remembered_for_a_while(world, identities):
    assert identities.remembered(ONE) is None
    assert identities.verify(ONE).agent == "mine"
    assert identities.remembered(ONE).agent == "mine"
    asked = world.asked
    identities.verify(ONE)
    assert world.asked == asked
    world.at += FRESH
    assert identities.remembered(ONE) is None
    identities.verify(ONE)
    assert world.asked > asked


def test_a_revoked_key_is_refused_when_it_is_asked_about_again(world, identities):
    identities.verify(ONE)
    del world.keys[ONE]
    world.at += FRESH
    with pytest.raises(Unknown):
        identities.verify(ONE)
    world.up = False
    world.at += REFUSED
    with pytest.raises(Unreachable):
        identities.verify(ONE)


def test_a_refused_key_does_not_make_us_ask_each_time(world, identities):
    for _ in range(5):
        with pytest.raises(Unknown):
            identities.verify("kz_live_" + "9" * 43)
    assert world.asked <= 2


@pytest.mark.parametrize("key", ["", "x", "kz_", "bearer " + "x" * 50, "kz_live_" + "x" * 500, "kz_live_ü" + "x" * 40])
def test_what_is_no_key_is_not_even_asked_about(world, identities, key):
    with pytest.raises(Unknown):
        identities.verify(key)
    assert world.asked == 0


def test_while_nobody_can_be_asked_a_known_key_works_and_an_unknown_does_not(world, identities, tmp_path):
    identities.verify(ONE)
    world.up = False
    world.at += FRESH + 1
    again = Identities(world.whoami, tmp_path / "identities.json", lambda: world.at, OWN)
    assert again.verify(ONE).agent == "mine"
    with pytest.raises(Unreachable):
        again.verify("kz_live_" + "2" * 43)
    world.at += STALE
    with pytest.raises(Unreachable):
        again.verify(ONE)


@pytest.mark.parametrize(
    "said",
    [
        {"organisation": "another", "scope": "agent", "agent": None},
        {"organisation": "org", "scope": "user", "agent": None},
        {"organisation": "org", "agent": None},
        {"scope": "agent"},
    ],
)
def test_another_organisation_s_key_or_a_person_s_is_refused_also_from_memory(world, identities, said):
    world.keys[ONE] = said
    for _ in range(2):
        with pytest.raises(Unknown):
            identities.verify(ONE)
        assert identities.remembered(ONE) is None


def test_two_organisations_of_one_name_are_two(world, identities):
    world.keys[OWN] |= {"organisation_id": "a" * 32}
    world.keys[ONE] |= {"organisation_id": "b" * 32}
    with pytest.raises(Unknown, match="another organisation"):
        identities.verify(ONE)
    assert identities.remembered(ONE) is None
    world.keys[ONE] |= {"organisation_id": "a" * 32, "organisation": "renamed meanwhile"}
    world.at += FRESH
    assert identities.verify(ONE).agent == "mine"
    assert identities.remembered(ONE) is not None


def _older_state(world, path):
    """The file of a sidecar that knew organisations by name only, written a moment ago."""
    rows = {key_hash(key): ["org", said["scope"], said["agent"] or "", world.at] for key, said in world.keys.items()}
    path.write_text(json.dumps(rows))


def test_what_an_older_sidecar_kept_is_asked_about_first_and_holds_while_nobody_can_be_asked(world, tmp_path):
    file = tmp_path / "identities.json"
    _older_state(world, file)
    world.up = False
    upgraded = Identities(world.whoami, file, lambda: world.at, OWN)
    assert upgraded.verify(ONE).agent == "mine"
    world.up = True
    world.keys[OWN] |= {"organisation_id": "a" * 32}
    world.keys[ONE] |= {"organisation_id": "b" * 32}
    assert upgraded.remembered(ONE) is None
    with pytest.raises(Unknown, match="another organisation"):
        upgraded.verify(ONE)


def test_no_hash_of_a_key_is_on_disk_where_it_would_sign_bundles(world, tmp_path):
    file = tmp_path / "identities.json"
    _older_state(world, file)
    assert key_hash(ONE) in file.read_text()
    identities = Identities(world.whoami, file, lambda: world.at, OWN)
    assert key_hash(ONE) not in file.read_text(), "what an older sidecar left is written anew at once"
    identities.verify(ONE)
    world.at += FRESH + 1
    identities.verify(ONE)
    kept = file.read_text()
    assert len(json.loads(kept)) == len(world.keys)
    assert not any(key_hash(key) in kept or key in kept for key in world.keys)


def test_a_name_and_an_id_say_nothing_of_each_other(world, tmp_path):
    file = tmp_path / "identities.json"
    _older_state(world, file)
    upgraded = Identities(world.whoami, file, lambda: world.at, OWN)
    world.keys[OWN] |= {"organisation_id": "a" * 32}
    upgraded.verify(OWN)
    world.up = False
    with pytest.raises(Unreachable):
        upgraded.verify(ONE)
    assert upgraded.remembered(ONE) is None


def test_what_is_kept_comes_back_with_its_organisation(world, tmp_path):
    world.keys[OWN] |= {"organisation_id": "a" * 32}
    world.keys[ONE] |= {"organisation_id": "a" * 32}
    Identities(world.whoami, tmp_path / "identities.json", lambda: world.at, OWN).verify(ONE)
    world.up = False
    again = Identities(world.whoami, tmp_path / "identities.json", lambda: world.at, OWN)
    assert again.verify(ONE).organisation_id == "a" * 32


@pytest.mark.parametrize("said", [None, [], "yes", {"organisation": ["org"], "scope": "agent"}])
def test_an_answer_that_is_not_understood_opens_nothing(world, identities, said):
    world.keys[ONE] = said
    with pytest.raises(Unreachable):
        identities.verify(ONE)


def test_no_key_stands_in_the_file_and_the_memory_is_bounded(world, identities, tmp_path):
    for n in range(MOST + 20):
        key = f"kz_live_{n:043}"
        world.keys[key] = world.keys[ONE]
        if n > MOST - 20 or n < 5:
            identities.verify(key)
        else:
            identities._known[str(n)] = identities._identity(OWN)
    assert len(identities._known) <= MOST
    assert "kz_" not in (tmp_path / "identities.json").read_text()


@pytest.mark.parametrize("kept", ["{", "[]", '{"x": [1]}', '{"x": ["org", "agent", "a", "late"]}'])
def test_a_broken_file_is_asked_for_again(world, tmp_path, kept):
    (tmp_path / "identities.json").write_text(kept)
    fresh = Identities(world.whoami, tmp_path / "identities.json", lambda: world.at, OWN)
    assert fresh.verify(ONE).agent == "mine"


def test_a_clock_that_is_set_back_does_not_keep_a_revoked_key_alive(world, identities):
    identities.verify(ONE)
    world.at -= 365 * 86_400
    del world.keys[ONE]
    assert identities.remembered(ONE) is None
    with pytest.raises(Unknown):
        identities.verify(ONE)
    world.keys[ONE] = {"organisation": "org", "scope": "agent", "agent": "mine"}
    world.at -= 86_400
    assert identities.verify(ONE).agent == "mine"
