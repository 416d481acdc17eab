"""The authority that signs for every host that is opened: made here or brought along, and the certificates it mints.

RFC 5280 for what stands in them; hosts that the authority may sign for can be bounded by name constraints (section 4.2.1.10), which
every client that checks certificates honours.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kaizen_security.contract.errors import Misconfigured

LIFE = timedelta(days=2)
"""How long a minted certificate is good for. Nothing of it outlives the process."""
BEFORE = timedelta(hours=12)
"""Clocks of clients may be behind by this much."""
CA_LIFE = timedelta(days=825)
LONGEST_NAME = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""

_Signer = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


class Authority:
    """A certificate and its key; signs for one key of this process, which is never written anywhere."""

    def __init__(self, certificate: x509.Certificate, key: _Signer, *, chain: bytes = b"") -> None:
        self.certificate = certificate
        self._key = key
        self._chain = chain
        self._own = ec.generate_private_key(ec.SECP256R1())
        self.private_pem = self._own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def mint(self, host: str, now: datetime) -> bytes:
        """A certificate for ``host`` (a canonical name, or an address), with the chain that clients need: PEM."""
        issuer = self.certificate
        ends = min(now + LIFE, issuer.not_valid_after_utc)
        begins = max(now - BEFORE, issuer.not_valid_before_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(self._own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            # Without a subject the names have to be critical (section 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName([_name(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._own.public_key()), critical=False)
            .add_extension(_issued_by(issuer), critical=False)
        )
        return builder.sign(self._key, _digest(self._key)).public_bytes(serialization.Encoding.PEM) + self._chain


def load(cert: Path, key: Path, now: datetime) -> Authority:
    """The authority in two PEM files. The first certificate is the one that signs; what follows it is sent along.

    Raises Misconfigured naming what is wrong: not there, no authority, another's key, out of date, a key that everybody can read
    (its group may: that is how orchestrators mount secrets).
    """
    try:
        pem = cert.read_bytes()
        chain = x509.load_pem_x509_certificates(pem)
        certificate = chain[0]
    except OSError as err:
        raise Misconfigured(f"inspect.ca_cert: {cert}: {err.strerror} (make one: kaizen egress ca)") from err
    except ValueError as err:
        raise Misconfigured(f"inspect.ca_cert: {cert} holds no PEM certificate") from err
    signer = _key_in(key)
    if certificate.public_key() != signer.public_key():
        raise Misconfigured(f"inspect.ca_key: {key} is not the key of {cert}")
    with suppress(x509.ExtensionNotFound):
        if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            raise Misconfigured(f"inspect.ca_cert: {cert} may not sign certificates")
    try:
        may = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        may = False
    if not may:
        raise Misconfigured(f"inspect.ca_cert: {cert} is not the certificate of an authority")
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise Misconfigured(
            f"inspect.ca_cert: {cert} is not valid now (until {certificate.not_valid_after_utc:%Y-%m-%d})"
        )
    # A root is what clients hold already; one that another authority signed has to be sent along.
    below = [one for one in chain if one.subject != one.issuer]
    return Authority(certificate, signer, chain=b"".join(one.public_bytes(serialization.Encoding.PEM) for one in below))


def _key_in(path: Path) -> _Signer:
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as err:
        raise Misconfigured(f"inspect.ca_key: {path}: {err.strerror}") from err
    if os.name == "posix" and mode & 0o007:
        raise Misconfigured(f"inspect.ca_key: {path} can be read by everybody: chmod 600 it")
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as err:
        raise Misconfigured(f"inspect.ca_key: {path} holds no PEM key without a passphrase") from err
    if not isinstance(key, _Signer):
        raise Misconfigured(f"inspect.ca_key: {path} holds a key of a kind that does not sign certificates")
    return key


def create(cert: Path, key: Path, *, name: str, permitted: Sequence[str], now: datetime) -> None:
    """Make an authority: two new files, the key for its owner alone. ``permitted``: the domains and networks it may sign for, all
    when there are none. Raises Misconfigured; an existing file is left as it is.
    """
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise Misconfigured(
            f"--name must be 1 to {LONGEST_NAME} printable characters, as a certificate's common name is"
        )
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
    )
    if permitted:
        trees = [_subtree(one) for one in permitted]
        builder = builder.add_extension(x509.NameConstraints(trees, None), critical=True)
    made = builder.sign(secret, hashes.SHA256())
    private = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, private, 0o600)
    _write(cert, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
        except OSError:
            path.unlink(missing_ok=True)  # an empty one would be in the way of the next try
            raise
    except FileExistsError as err:
        raise Misconfigured(
            f"{path} is there already: clients may trust it; take it away yourself if none does"
        ) from err
    except OSError as err:
        raise Misconfigured(f"{path} cannot be written: {err.strerror}") from err


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subtree(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_network(text, strict=False))
    except ValueError:
        pass
    try:
        return x509.DNSName(text.removeprefix("*").removeprefix(".").encode("idna").decode("ascii"))
    except ValueError as err:
        raise Misconfigured(f"{text!r} is neither a domain nor a network") from err


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


def _digest(key: _Signer) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
