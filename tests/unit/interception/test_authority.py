"""Authorities and what they sign, checked by OpenSSL."""

from __future__ import annotations

import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.interception import trust
from kaizen_security.interception.authority import create, load
from kaizen_security.interception.interceptor import server_context

NOW = datetime.now(UTC)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    create(tmp_path / "ca.pem", tmp_path / "ca.key", name="ours", permitted=(), now=NOW)
    return tmp_path / "ca.pem", tmp_path / "ca.key"


def verified(ca: Path, leaf: bytes, folder: Path, *words: str) -> str:
    (folder / "leaf.pem").write_bytes(leaf)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", ca, *words, folder / "leaf.pem"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


def test_the_key_is_its_owners_alone_and_nothing_is_overwritten(made, tmp_path: Path):
    key = made[1]
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    with pytest.raises(Misconfigured, match="there already"):
        create(tmp_path / "new.pem", key, name="ours", permitted=(), now=NOW)
    assert key.read_bytes() == before
    assert not (tmp_path / "new.pem").exists()


@pytest.mark.parametrize("host", ["api.example", "127.0.0.1", "::1", "xn--bcher-kva.example"])
def test_what_it_signs_holds_for_that_host_and_no_other(made, tmp_path: Path, host: str):
    leaf = load(*made, NOW).mint(host, NOW)
    flag = "-verify_ip" if host[0].isdigit() or ":" in host else "-verify_hostname"
    assert not verified(made[0], leaf, tmp_path, flag, host, "-purpose", "sslserver")
    assert verified(made[0], leaf, tmp_path, "-verify_hostname", "other.example")


def test_what_it_signs_signs_nothing_and_ends_soon(made):
    from cryptography import x509

    one = x509.load_pem_x509_certificate(load(*made, NOW).mint("a.example", NOW))
    assert not one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert one.not_valid_after_utc - NOW <= timedelta(days=2)


def test_names_that_it_may_not_sign_for_are_refused_by_clients(tmp_path: Path):
    create(tmp_path / "ca.pem", tmp_path / "ca.key", name="x", permitted=("*.corp.example", "10.0.0.0/8"), now=NOW)
    authority = load(tmp_path / "ca.pem", tmp_path / "ca.key", NOW)
    for host, holds in (("a.corp.example", True), ("10.1.2.3", True), ("bank.example", False), ("11.1.2.3", False)):
        assert (not verified(tmp_path / "ca.pem", authority.mint(host, NOW), tmp_path)) is holds, host


def test_what_cannot_be_used_is_named(made, tmp_path: Path):
    cert, key = made
    create(tmp_path / "b.pem", tmp_path / "b.key", name="other", permitted=(), now=NOW)
    leaf = tmp_path / "leaf.pem"
    authority = load(cert, key, NOW)
    leaf.write_bytes(authority.mint("a.example", NOW))
    (tmp_path / "leaf.key").write_bytes(authority.private_pem)
    (tmp_path / "leaf.key").chmod(0o600)
    (tmp_path / "empty.pem").write_text("")
    for files, said in (
        ((cert, tmp_path / "b.key"), "not the key"),
        ((tmp_path / "none.pem", key), "kaizen egress ca"),
        ((tmp_path / "empty.pem", key), "no PEM certificate"),
        ((leaf, tmp_path / "leaf.key"), "may not sign"),
    ):
        with pytest.raises(Misconfigured, match=said):
            load(*files, NOW)
    with pytest.raises(Misconfigured, match="not valid now"):
        load(cert, key, NOW + timedelta(days=5000))
    key.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        load(cert, key, NOW)


def test_a_store_that_is_not_found_is_not_replaced_by_ours(made, tmp_path: Path):
    names = ssl.get_default_verify_paths()
    nowhere = {names.openssl_cafile_env: str(tmp_path / "no"), names.openssl_capath_env: str(tmp_path / "none")}
    with pytest.raises(Misconfigured, match="no store"):
        trust.bundle(made[0], nowhere)


def test_a_store_of_the_owners_is_added_to(made, tmp_path: Path):
    create(tmp_path / "b.pem", tmp_path / "b.key", name="other", permitted=(), now=NOW)
    env = {ssl.get_default_verify_paths().openssl_cafile_env: str(tmp_path / "b.pem")}
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(trust.bundle(made[0], env))
    assert len(ssl.create_default_context(cafile=str(bundle)).get_ca_certs()) == 2
    # Made again on top of itself it does not grow.
    env = {ssl.get_default_verify_paths().openssl_cafile_env: str(bundle)}
    assert trust.bundle(made[0], env) == bundle.read_text()


def test_an_authority_below_the_owners_root_is_sent_along(tmp_path: Path):
    """RSA above, as companies have it; a client that knows the root alone shakes hands with what is minted below."""
    import trustme

    root = trustme.CA(key_type=trustme.KeyType.RSA)
    below = root.create_child_ca(key_type=trustme.KeyType.RSA)
    (tmp_path / "ca.pem").write_bytes(below.cert_pem.bytes() + root.cert_pem.bytes())
    (tmp_path / "ca.key").write_bytes(below.private_key_pem.bytes())
    (tmp_path / "ca.key").chmod(0o640)
    server_side = server_context(load(tmp_path / "ca.pem", tmp_path / "ca.key", NOW), "api.example", NOW)
    client_side = ssl.create_default_context()
    root.configure_trust(client_side)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(down, up, server_hostname="api.example")
    server = server_side.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for one in (client, server):
            with suppress(ssl.SSLWantReadError):
                one.do_handshake()
    assert client.getpeercert()["subjectAltName"] == (("DNS", "api.example"),)
