"""``/v1/score``: one agent's declaration, its own account and what the network saw, compared on the spot. Keeps and learns nothing.

The three texts come in whatever form their owner has: JSON (objects, lists, one document a line) or prose. Places on a network and
names of tools are taken out of them; what is judged is only what was done, never how it is worded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.verdict import Decision, Verdict

GAP_CONFIDENCE = 0.95
"""Of a gap against what the network saw: the most that ground truth is worth."""
UNDECLARED_CONFIDENCE = 0.6
"""Of what only the agent's own account says: the most that its word is worth."""
MAX_TEXT = 256 << 10
_NAMED = 5
_TARGET_KEYS = frozenset(
    "target destination destinations host hostname domain url uri address endpoint server sni".split()
)
_TOOL_KEYS = frozenset({"tool", "tool_name", "tools", "function", "action"})
_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|]{3,2048}")


@dataclass(frozen=True, slots=True)
class Account:
    """What a text speaks of: canonical hosts and tools, in order."""

    hosts: tuple[str, ...]
    tools: tuple[str, ...]


def score(declaration: str, trace: str, egress: str, feed: str) -> Verdict:
    """The verdict on a run. ``feed``: ``egress`` judges what the network saw, ``content`` only the agent's own account.

    Raises InvalidInput when the declaration is one that cannot be used.
    """
    declared = _declaration(declaration)
    said = account(trace)
    seen = account(egress) if feed == "egress" else Account((), ())
    hosts = tuple(dict.fromkeys((*seen.hosts, *said.hosts)))
    hidden = [host for host in seen.hosts if host not in said.hosts and trace.strip()]
    beyond = [host for host in hosts if not declared.destination(host)]
    tools = [tool for tool in said.tools if not declared.tool(tool)]
    # Somebody who declares nothing hides nothing by that alone; but what is neither told nor declared was hidden.
    gap = [host for host in hidden if host in beyond or not _declares(declaration)]
    if gap:
        reason = (
            f"Trace-vs-egress gap: the agent reported only {_list(said.hosts)}, but the real egress shows {_list(gap)}."
        )
        return Verdict(decision=Decision.BLOCK, reason=reason, confidence=GAP_CONFIDENCE)
    if beyond or tools:
        reason = reasons.undeclared(tool=", ".join(tools[:_NAMED]), destination=", ".join(beyond[:_NAMED]))
        sure = GAP_CONFIDENCE if any(host in seen.hosts for host in beyond) else UNDECLARED_CONFIDENCE
        return Verdict(decision=Decision.BLOCK, reason=reason, confidence=sure)
    compared = _declares(declaration) or trace.strip()
    return Verdict(decision=Decision.ALLOW, reason=reasons.OK if compared else reasons.NOTHING_COMPARED)


def _list(hosts: tuple[str, ...] | list[str]) -> str:
    return ", ".join(hosts[:_NAMED]) or "no destination"


def _declares(declaration: str) -> bool:
    return bool(declaration.strip())


def _declaration(text: str) -> CompiledDeclaration:
    document = _json(text)
    if isinstance(document, dict):
        tools = tuple(name for name in _texts(document.get("tools")) if name.strip())
        places = tuple(place for place in _texts(document.get("destinations")) if place.strip())
    else:
        # Prose: the places that it names are the places that it declares; tools cannot be told from other words.
        tools, places = (), account(text).hosts
    try:
        return compile_declaration(Declaration(tools=tools, destinations=places))
    except Misconfigured as err:
        raise InvalidInput("declaration", str(err)) from err


def _texts(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def account(text: str) -> Account:
    """The hosts and tools that a text speaks of."""
    hosts: dict[str, None] = {}
    tools: dict[str, None] = {}
    for part in _documents(text):
        if isinstance(part, str):
            for word in _WORD.findall(part):
                _host(hosts, "tool_call", word.rstrip(".:!?"))
        else:
            for key, value in _walk(part, "", 0):
                if key in _TARGET_KEYS:
                    _host(hosts, "connect", value)
                elif key in _TOOL_KEYS:
                    tools.setdefault(value)
                else:
                    _host(hosts, "tool_call", value)
    return Account(tuple(hosts), tuple(tools))


def _host(hosts: dict[str, None], kind: str, said: str) -> None:
    place = canonical.destination(kind, said[:4096])
    if place is not None and place.host:
        hosts.setdefault(place.host)


def _documents(text: str) -> Iterator[Json]:
    whole = _json(text)
    if isinstance(whole, dict | list):
        yield whole
        return
    for line in text.splitlines():
        document = _json(line)
        yield document if isinstance(document, dict | list) else line


def _json(text: str) -> Json:
    try:
        document: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document


def _walk(value: Json, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 32:
        return
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(below, name.lower(), depth + 1)
    elif isinstance(value, list):
        for below in value:
            yield from _walk(below, key, depth + 1)
