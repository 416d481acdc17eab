"""Policies, a declaration, a baseline in files, as JSON or TOML. Everything raises Misconfigured naming the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import decode_policy
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import parse
from kaizen_security.contract.policy import Policy
from kaizen_security.observer.baseline import Baseline


def document(name: str) -> Json:
    """The document in a file."""
    try:
        data = Path(name).read_bytes()
        found: Json = tomllib.loads(data.decode()) if name.endswith(".toml") else parse(data, limit=64 << 20)
    except OSError as err:
        raise Misconfigured(f"{name} cannot be read: {err.strerror}") from err
    except (InvalidInput, tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{name}: {err}") from err
    return found


def policies_in(name: str) -> tuple[Policy, ...]:
    """``{"policies": [...]}``, a list of policies, or one policy."""
    doc = document(name)
    found = doc.get("policies", doc) if isinstance(doc, dict) else doc
    found = found if isinstance(found, list) else [found]
    try:
        return tuple(decode_policy(item, field=f"policies[{i}]") for i, item in enumerate(found))
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {err}") from err


def declaration_in(name: str) -> Declaration:
    """Tools, destinations, purpose."""
    try:
        return decode_declaration(document(name), field="declaration")
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {err}") from err


def baseline_in(name: str) -> Baseline:
    """An agent's baseline as it was exported, alone or under ``baseline``."""
    doc = document(name)
    found = doc.get("baseline", doc) if isinstance(doc, dict) else doc
    try:
        return Baseline.from_json(found)
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {err}") from err
