"""What callers pass, as values of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kaizen_security.client.arguments import plain
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.policy import Policy

_FIELDS = frozenset(Action.__dataclass_fields__)
_METADATA = ("arguments", "sensitive", "source")
MAX_TEXT = 4096
"""Characters of one field of an action."""
_TEXTS = _FIELDS - {"metadata", "at", "delegation", "seen_by"}
_worded = builder(Action)
"""The usual case, in a third of the time: some of the text fields, each with a text."""
_worded.__defaults__ = ("tool_call", "", "", "", "", {}, "", "", "", 0.0, "default", "", (), ())


def action_of(action: Action | Mapping[str, object] | None, fields: Mapping[str, object]) -> Action:
    """An action from an action, a mapping, keywords, or several of them; keywords win. Raises TypeError for an unknown field."""
    if action is None and _TEXTS.issuperset(fields):
        for value in fields.values():
            if type(value) is not str:
                break
        else:
            return _worded(metadata={}, **fields)
    stated = _stated(action, fields)
    metadata = stated.pop("metadata", None)
    known: dict[str, object] = dict(metadata) if isinstance(metadata, Mapping) else {}
    for name in _METADATA:
        if stated.get(name) is not None:
            known[name] = stated[name]
        stated.pop(name, None)
    for name in list(stated):
        if name not in _FIELDS:
            raise TypeError(
                f"an action has no field {name!r}; it has {', '.join(sorted(_FIELDS))} and {', '.join(_METADATA)}"
            )
        if stated[name] is None:
            del stated[name]
    return Action(metadata=known, **{name: _fitting(name, value) for name, value in stated.items()})  # type: ignore[arg-type]


def _stated(action: object, fields: Mapping[str, object]) -> dict[str, object]:
    """What was stated, by its name."""
    if action is None and "action" in fields:  # deployed code may give it by its name
        fields = dict(fields)
        action = fields.pop("action")
    if isinstance(action, Action):
        return {**{name: getattr(action, name) for name in _FIELDS}, **fields}
    if isinstance(action, Mapping):
        return {**action, **fields}
    if action is not None:
        raise TypeError(f"an action is an Action, a mapping or keywords, not {type(action).__name__}")
    return dict(fields)


def _fitting(name: str, value: object) -> object:
    """Text for a text field, whatever was passed; a list of texts for the two lists; seconds for ``at``."""
    if name in ("delegation", "seen_by"):
        several = value if isinstance(value, list | tuple) else (value,)
        return tuple(item if isinstance(item, str) else str(plain(item)) for item in several)
    if name == "at":
        return float(value) if isinstance(value, int | float) else 0.0
    return value if isinstance(value, str) else str(plain(value))


def completed(action: Action, metadata: Mapping[str, Json], *, id_: str, agent: str, at: float, run_id: str) -> Action:
    """``action`` with what its caller need not state, and with every field of the type that it should have."""
    return Action(
        kind=_text(action.kind) or "tool_call",
        tool=_text(action.tool),
        publisher=_text(action.publisher),
        target=_text(action.target),
        hash=_text(action.hash),
        metadata=metadata,
        id=_text(action.id) or id_,
        run_id=_text(action.run_id) or run_id,
        act_id=_text(action.act_id),
        at=action.at or at,
        agent=agent,
        delegation=tuple(map(_text, action.delegation or ())),
        seen_by=tuple(map(_text, action.seen_by or ())),
    )


def is_complete(action: Action, agent: str, run_id: str) -> bool:
    """Whether ``completed`` would give the same: an adapter states everything, and its actions are made once."""
    did = action
    # Compared one by one: less than half of what calls for all of them would take.
    if not (str is type(did.kind) is type(did.tool) is type(did.publisher) is type(did.target)):
        return False
    if not (str is type(did.hash) is type(did.id) is type(did.act_id) is type(did.run_id)):
        return False
    if not (did.kind and did.id and did.at and did.agent == agent and did.run_id == run_id):
        return False
    if len(did.tool) + len(did.target) + len(did.publisher) + len(did.act_id) + len(did.kind) > MAX_TEXT:
        return False
    if did.seen_by or did.hash or did.organisation or len(did.id) > MAX_TEXT:
        return False
    return not did.delegation or _is_chain(did.delegation)


def _is_chain(names: object) -> bool:
    return type(names) is tuple and all(type(name) is str and len(name) <= MAX_TEXT for name in names)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else str(plain(value))
    return text[:MAX_TEXT]


def policies_of(policies: Iterable[object] | None) -> tuple[Policy, ...]:
    """Policies, or mappings of their shape. Raises Misconfigured naming the one that is neither."""
    found = []
    for i, policy in enumerate(policies or ()):
        if isinstance(policy, Mapping):
            policy = _policy(policy, i)
        if not isinstance(policy, Policy):
            raise Misconfigured(
                f"policies[{i}] must be a Policy or a mapping with mode and rules, not {type(policy).__name__}"
            )
        found.append(policy)
    return tuple(found)


def _policy(document: Mapping[object, object], index: int) -> Policy:
    mode, rules = document.get("mode"), document.get("rules", {})
    name, enabled = document.get("name") or "", document.get("enabled", True)
    if not isinstance(mode, str) or not isinstance(rules, Mapping) or not isinstance(name, str):
        raise Misconfigured(f"policies[{index}]: mode and name must be text, rules a mapping")
    known: dict[str, Json] = {str(key): plain(value) for key, value in rules.items()}
    return Policy(mode, known, name, bool(enabled))


def declaration_of(
    tools: Iterable[str] | None,
    destinations: Iterable[str] | None,
    purpose: str | None,
    data: Iterable[str] | None = None,
) -> Declaration:
    """A declaration. Raises Misconfigured for what is no list of names."""
    return Declaration(
        tools=_names("tools", tools),
        destinations=_names("destinations", destinations),
        purpose=purpose if isinstance(purpose, str) else "",
        data=_names("data", data),
    )


def _names(what: str, names: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(names, str):
        raise Misconfigured(f"declare: {what} must be a list of names, not one text")
    found = tuple(names or ())
    for i, name in enumerate(found):
        if not isinstance(name, str):
            raise Misconfigured(f"declare: {what}[{i}] must be text, not {type(name).__name__}")
    return found
