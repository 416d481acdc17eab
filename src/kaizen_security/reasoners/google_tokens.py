"""Tokens of Google Cloud for Vertex AI: a service account's key, the metadata server, workload identity federation.

Shapes: Google Identity, "Using OAuth 2.0 for server to server applications" (RFC 7523); Compute Engine, "metadata server"; IAM,
"Workload Identity Federation" (AIP-4117, RFC 8693) and ``generateAccessToken``. Settings have the names of Google's own libraries.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import obj, parse
from kaizen_security.net.outbound import Exchange
from kaizen_security.reasoners.tokens import Flow, Steps, checked_url, form, granted

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
METADATA = "http://metadata.google.internal"
LIFE = 3600
"""Seconds for which an assertion, and a token, is asked."""
KINDS = ("file", "metadata")
MAX_FILE = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    """``sign`` makes the RS256 signature of some bytes."""

    email: str
    key_id: str
    token_url: str
    sign: Callable[[bytes], bytes] = field(repr=False)

    @property
    def places(self) -> tuple[str, ...]:
        """One."""
        return (self.token_url,)

    def steps(self, now: float) -> Steps:
        """One request, with an assertion of our own."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": int(now),
            "exp": int(now) + LIFE,
        }
        signed = b".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        assertion = b".".join((signed, _base64(self.sign(signed)))).decode()
        fields = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return granted((yield form(self.token_url, fields)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The identity of the machine, or of the pod."""

    host: str = METADATA

    @property
    def places(self) -> tuple[str, ...]:
        """One."""
        return (self.host,)

    def steps(self, now: float) -> Steps:
        """One request."""
        url = f"{self.host}/computeMetadata/v1/instance/service-accounts/default/token"
        return granted((yield Exchange(url=url, body=b"", method="GET", headers={"Metadata-Flavor": "Google"})))


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """Workload identity federation: another provider's token, exchanged, and for a service account if one is named.

    ``subject``         the other provider's token, read each time
    ``impersonation``   ``generateAccessToken`` of a service account, or empty
    """

    audience: str
    subject_type: str
    token_url: str
    subject: Callable[[], str] = field(repr=False)
    impersonation: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """One or two."""
        return (self.token_url, self.impersonation) if self.impersonation else (self.token_url,)

    def steps(self, now: float) -> Steps:
        """One request or two."""
        fields = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": self.audience,
            "scope": SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": self.subject(),
            "subject_token_type": self.subject_type,
        }
        token = granted((yield form(self.token_url, fields)))
        if not self.impersonation:
            return token
        asked = json.dumps({"scope": [SCOPE], "lifetime": f"{LIFE}s"}).encode()
        headers = {"Authorization": f"Bearer {token.value}", "Content-Type": "application/json", "User-Agent": "kaizen"}
        document = yield Exchange(url=self.impersonation, body=asked, headers=headers)
        said = obj(document, "token").get("expireTime")
        try:
            until = datetime.fromisoformat(str(said)).timestamp()
        except ValueError as err:
            raise InvalidInput("expireTime", "is no time") from err
        return granted(document, "accessToken", seconds=max(1.0, until - now))


def flow(kind: str, environment: Mapping[str, str], read: Callable[[str], str]) -> Flow:
    """What the environment says, by the names of Google's libraries. ``kind`` is one of ``KINDS``, or ``auto``: what it holds.

    ``read`` gives a file's text. Raises Misconfigured naming file and field.
    """
    path = environment.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    if kind == "auto":
        kind = "file" if path else "metadata"
    if kind == "metadata":
        host = environment.get("GCE_METADATA_HOST", "")
        return Metadata(host=f"http://{host}" if host else METADATA)
    if not path:
        raise Misconfigured("the model's identity: GOOGLE_APPLICATION_CREDENTIALS is not set")
    try:
        document = obj(parse(read(path).encode(), limit=MAX_FILE), "credentials")
        match document.get("type"):
            case "service_account":
                return _service_account(document)
            case "external_account":
                return _external(document, read)
    except InvalidInput as err:
        raise Misconfigured(f"the model's identity: {path}: {err}") from err
    raise Misconfigured(f"the model's identity: {path}: type must be service_account or external_account")


def _service_account(document: dict[str, Json]) -> ServiceAccount:
    return ServiceAccount(
        email=_text(document, "client_email"),
        key_id=_text(document, "private_key_id"),
        token_url=checked_url(_text(document, "token_uri"), "token_uri"),
        sign=_signer(_text(document, "private_key")),
    )


def _signer(pem: str) -> Callable[[bytes], bytes]:
    try:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as err:
        raise Misconfigured("a service account's key needs the package cryptography: pip install '.[server]'") from err
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as err:
        raise InvalidInput("private_key", "is no private key") from err
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidInput("private_key", "is no RSA key")
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _external(document: dict[str, Json], read: Callable[[str], str]) -> External:
    source = obj(document.get("credential_source"), "credential_source")
    path = _text(source, "file", "credential_source.")
    shape = obj(source.get("format") or {}, "credential_source.format")
    name = _text(shape, "subject_token_field_name", "credential_source.format.") if shape.get("type") == "json" else ""
    said = document.get("service_account_impersonation_url")
    return External(
        audience=_text(document, "audience"),
        subject_type=_text(document, "subject_token_type"),
        token_url=checked_url(_text(document, "token_url"), "token_url"),
        subject=lambda: _subject(read(path), name),
        impersonation=checked_url(said, "service_account_impersonation_url") if isinstance(said, str) and said else "",
    )


def _subject(data: str, name: str) -> str:
    if not name:
        return data.strip()
    return _text(obj(parse(data.encode(), limit=MAX_FILE), "subject token"), name)


def _text(document: Mapping[str, Json], name: str, path: str = "") -> str:
    said = document.get(name)
    if not isinstance(said, str) or not said:
        raise InvalidInput(path + name, "must be stated")
    return said


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
