"""Bundle: policy and declaration of one agent, versioned and signed, so that a client may keep it on disk and trust it later.

Signed with HMAC-SHA256 (RFC 2104) under a key derived from the API key. The control plane keeps only a hash of the API key, so the
signing key is derived from that hash: both sides can compute it, a thief of a bundle cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.codec import decode_action, decode_declaration, encode_action, encode_declaration
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, boolean, instant, obj, parse, plain, rfc3339, text, whole
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode

MAX_BUNDLE = 64 << 20
"""Bytes: 100,000 policy entries are about 3 MB."""
MAX_SUPPRESSED = 5000
MAX_FOLDED = 500
"""Of each, the newest are in a bundle."""
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """``version`` only ever grows; ``issued_at`` and ``expires_at`` are Unix seconds; ``paused`` means: record, do not flag.

    ``judge_enabled`` false: no model is asked about this agent.
    ``organisation`` is the id of the organisation whose policy it is (``organisation_id`` of ``GET /v1/whoami``), empty if unsaid.
    ``suppressed``   signatures of flags that a person called false positives (``contract.suppression``)
    ``epoch``        grows when a person has what the agent normally does forgotten: a baseline of an earlier epoch starts anew
    ``folded``       what a person called normal since then, the oldest first
    """

    agent: str
    version: int
    policies: tuple[Policy, ...] = ()
    declaration: Declaration = NOTHING_DECLARED
    mode: Mode = Mode.OBSERVE
    paused: bool = False
    judge_enabled: bool = True
    issued_at: float = 0.0
    expires_at: float = 0.0
    organisation: str = ""
    suppressed: tuple[str, ...] = ()
    epoch: int = 0
    folded: tuple[Fold, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """An action that a person called normal for its agent. ``number`` grows with each, over all epochs."""

    number: int
    action: Action


def key_hash(api_key: str) -> str:
    """What the control plane stores of an API key: SHA-256, hex. The key is 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def signing_key(api_key_hash: str) -> bytes:
    """The key under which bundles for the owner of that API key are signed."""
    return hmac.digest(api_key_hash.encode(), b"kaizen bundle v1", "sha256")


def seal(bundle: Bundle, key: bytes) -> bytes:
    """The bundle as a signed document: ``{"bundle": "<its JSON as text>", "signature": "<hex>"}``.

    The signature covers the very text that travels, so no two JSON encoders have to agree.
    """
    body = json.dumps(encode_bundle(bundle), ensure_ascii=False, separators=(",", ":"))
    return json.dumps({"bundle": body, "signature": hmac.digest(key, body.encode(), "sha256").hex()}).encode()


def unseal(data: bytes, key: bytes, *, agent: str, now: float, newest: int = 0) -> Bundle:
    """The bundle in a signed document.

    Raises InvalidInput naming the field when the signature is wrong, when it is another agent's, older than version ``newest``
    (a rollback), or expired at ``now``.
    """
    doc = obj(parse(data, limit=MAX_BUNDLE), "document")
    body = text(doc, "bundle", limit=MAX_BUNDLE)
    signature = text(doc, "signature", limit=128)
    if not hmac.compare_digest(hmac.digest(key, body.encode(), "sha256").hex().encode(), signature.encode()):
        raise InvalidInput("signature", "does not match: not signed for this API key, or changed on the way")
    bundle = decode_bundle(parse(body.encode(), limit=MAX_BUNDLE))
    if bundle.agent != agent:
        raise InvalidInput("bundle.agent", "is another agent's")
    if bundle.version < newest:
        raise InvalidInput("bundle.version", f"is {bundle.version}, but {newest} was seen already (rollback)")
    if bundle.expires_at <= now:
        raise InvalidInput("bundle.expires_at", "has passed")
    return bundle


def encode_policy(policy: Policy) -> dict[str, Json]:
    """``decode_policy`` gives it back."""
    return {"mode": policy.mode, "rules": dict(policy.rules), "name": policy.name, "enabled": policy.enabled}


def decode_policy(document: Json, *, field: str = "policy") -> Policy:
    """A policy's shape; whether its rules can be used is decided when they are compiled. Raises InvalidInput."""
    doc = obj(document, field)
    rules = doc.get("rules")
    return Policy(
        mode=text(doc, "mode", field + ".", limit=64),
        rules=obj({} if rules is None else rules, field + ".rules"),
        name=text(doc, "name", field + ".", limit=256),
        enabled=boolean(doc, "enabled", field + ".", default=True),
    )


def encode_bundle(bundle: Bundle) -> dict[str, Json]:
    """``decode_bundle`` gives it back."""
    return {
        "agent": bundle.agent,
        "version": bundle.version,
        "policies": [encode_policy(policy) for policy in bundle.policies],
        "declaration": encode_declaration(bundle.declaration),
        "mode": bundle.mode.value,
        "paused": bundle.paused,
        "judge_enabled": bundle.judge_enabled,
        "issued_at": rfc3339(bundle.issued_at),
        "expires_at": rfc3339(bundle.expires_at),
        "organisation": bundle.organisation,
        "suppressed": list(bundle.suppressed),
        "epoch": bundle.epoch,
        "folded": [{"number": fold.number, "action": encode_action(fold.action)} for fold in bundle.folded],
    }


def decode_bundle(document: Json) -> Bundle:
    """A bundle without its signature. Raises InvalidInput."""
    doc = obj(document, "bundle")
    mode = text(doc, "mode", "bundle.", limit=16)
    if mode not in ("observe", "enforce"):
        raise InvalidInput("bundle.mode", "must be observe or enforce")
    policies = array(doc, "policies", "bundle.")
    agent = plain(doc.get("agent"), "bundle.agent", limit=256)
    return Bundle(
        agent=agent,
        version=whole(doc.get("version"), "bundle.version"),
        policies=tuple(decode_policy(item, field=f"bundle.policies[{i}]") for i, item in enumerate(policies)),
        declaration=decode_declaration(doc.get("declaration"), field="bundle.declaration"),
        mode=Mode(mode),
        paused=boolean(doc, "paused", "bundle."),
        judge_enabled=boolean(doc, "judge_enabled", "bundle.", default=True),
        issued_at=instant(doc, "issued_at", "bundle."),
        expires_at=instant(doc, "expires_at", "bundle."),
        organisation=text(doc, "organisation", "bundle.", limit=64),
        suppressed=_suppressed(doc),
        epoch=whole(doc.get("epoch", 0), "bundle.epoch"),
        folded=tuple(
            _fold(item, agent, f"bundle.folded[{i}]")
            for i, item in enumerate(array(doc, "folded", "bundle.", limit=MAX_FOLDED))
        ),
    )


def _suppressed(doc: dict[str, Json]) -> tuple[str, ...]:
    found = []
    for i, value in enumerate(array(doc, "suppressed", "bundle.", limit=MAX_SUPPRESSED)):
        if not isinstance(value, str) or not _SIGNATURE.fullmatch(value):
            raise InvalidInput(f"bundle.suppressed[{i}]", "must be 64 hex digits")
        found.append(value)
    return tuple(found)


def _fold(document: Json, agent: str, field: str) -> Fold:
    doc = obj(document, field)
    action = decode_action(doc.get("action"), agent=agent, field=field + ".action")
    return Fold(number=whole(doc.get("number"), field + ".number"), action=action)
