"""Secrets on disk: sealed, bound to their place, and readable only with the key."""

from __future__ import annotations

import base64
import os

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.exports.vault import Vault


def test_what_is_sealed_can_be_opened_in_its_place_and_nowhere_else(tmp_path):
    vault = Vault(tmp_path / "enc.key")
    sealed = vault.seal(b"secret", place="export 1 a")
    assert b"secret" not in sealed
    assert Vault(tmp_path / "enc.key").open(sealed, place="export 1 a") == b"secret"
    with pytest.raises(Misconfigured, match="cannot be opened"):
        vault.open(sealed, place="export 2 a")
    assert vault.seal(b"secret", place="export 1 a") != sealed


def test_a_changed_byte_is_noticed(tmp_path):
    vault = Vault(tmp_path / "enc.key")
    sealed = bytearray(vault.seal(b"secret", place="p"))
    sealed[-1] ^= 1
    with pytest.raises(Misconfigured):
        vault.open(bytes(sealed), place="p")
    with pytest.raises(Misconfigured):
        vault.open(b"", place="p")


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "enc.key"
    vault = Vault(path)
    assert not path.exists(), "no key before there is a secret"
    vault.seal(b"x", place="p")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["enc.key"]
    kept = path.read_bytes()
    vault.seal(b"x", place="p")
    assert path.read_bytes() == kept


def test_a_key_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "enc.key"
    Vault(path).seal(b"x", place="p")
    path.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        Vault(path).seal(b"x", place="p")


def test_a_given_key_seals_and_the_older_ones_still_open(tmp_path):
    old, new = (base64.urlsafe_b64encode(os.urandom(32)).decode(), os.urandom(32).hex())
    sealed = Vault(tmp_path / "enc.key", said=old).seal(b"x", place="p")
    assert not (tmp_path / "enc.key").exists()
    both = Vault(tmp_path / "enc.key", said=f"{new}, {old}")
    assert both.open(sealed, place="p") == b"x"
    with pytest.raises(Misconfigured):
        Vault(tmp_path / "enc.key", said=new).open(sealed, place="p")


@pytest.mark.parametrize("said", ["short", "x" * 64, "=" * 44, "ä" * 44, base64.b64encode(b"1" * 31).decode()])
def test_a_key_that_is_none_is_refused_at_the_start_without_being_repeated(tmp_path, said):
    with pytest.raises(Misconfigured, match="32 bytes") as err:
        Vault(tmp_path / "enc.key", said=said)
    assert said not in str(err.value)
