"""Calls: what a client's request does, as actions. Which methods only look, which act, and what is not understood.

A method that is not in the tables is judged under its own name: an extension that the agent never declared is an undeclared tool.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.fields import MAX_NAME, MAX_TEXT
from kaizen_security.mcp.frames import Message
from kaizen_security.mcp.runs import META_ACT, said

LOOKS = frozenset(
    """
    initialize ping server/discover tools/list resources/list resources/templates/list prompts/list logging/setLevel
    tasks/get tasks/result tasks/list tasks/cancel subscriptions/listen resources/unsubscribe
    """.split()
)
"""Requests of a client that reach nothing by themselves: they pass unasked. ``tasks/*`` answer calls that were judged."""

ACTS = frozenset("tools/call resources/read resources/subscribe prompts/get completion/complete".split())
"""Requests of a client that are judged before the server sees them."""

FROM_SERVER = frozenset(
    "ping roots/list sampling/createMessage elicitation/create tasks/get tasks/result tasks/list tasks/cancel".split()
)
"""Requests that a server may send (up to 2025-11-25)."""


def _letters(method: str) -> str:
    """A method's name as the most lenient reader could take it: without case, signs and what nobody sees."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", method).casefold()))


_FOLDED = frozenset(map(_letters, (*LOOKS, *ACTS)))
_SPECIAL = re.compile(r"(?:https?|wss?|ftp):", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^:]{1,16}:[\\/]*[^\\/?#]+[\\/?#]")
_LISTED = re.compile(r"(?:https?|wss|ftp|s3|gs)://", re.IGNORECASE)
"""How each of a list of URLs begins: with what, joined to the one before it, is the end of no host's name."""
_GONE = str.maketrans("", "", "\t\n\r")
_AROUND = "".join(map(chr, range(0x21)))
"""Signs that browsers and Node leave out at a URL's beginning and end."""
_FOR_URLS = ("url", "uri", "href", "link", "endpoint", "webhook", "callback", "src")
"""How the names of arguments end that are for URLs, in the singular."""
MAX_PLACES = 8
"""Further places in the arguments of one call that are judged one by one."""


_made = builder(Action)
"""In the order of its fields: one is made for each call."""


class NotUnderstood(ValueError):
    """A request that acts, and whose parameters do not say on what."""


def actions_of(message: Message, *, server: str, run_id: str, ids: Callable[[], str]) -> tuple[Action, ...]:
    """What a request does: the call itself, then one action for each further place that its arguments name.

    Empty for a request that only looks. ``server``: who publishes the tool; ``ids`` gives each its id. Raises NotUnderstood.
    """
    if message.method in LOOKS:
        return ()
    act = said(message, META_ACT)
    found = _actions_of(message, server, run_id, ids)
    return tuple(replace(action, act_id=act) for action in found) if act else found


def one_folded(message: Message) -> frozenset[str]:
    """Arguments of which a decoder that folds case makes one of several: it would take the last, and what was judged be another."""
    arguments = message.params.get("arguments") if isinstance(message.params, dict) else None
    if not isinstance(arguments, dict) or len({*map(str.casefold, arguments)}) == len(arguments):
        return frozenset()
    times = Counter(name.casefold() for name in arguments)
    return frozenset(name for name in arguments if times[name.casefold()] > 1)


def _actions_of(message: Message, server: str, run_id: str, ids: Callable[[], str]) -> tuple[Action, ...]:
    params = message.params
    if message.method not in ACTS:
        if _letters(message.method) in _FOLDED:
            raise NotUnderstood("the method is another one's name in other letters")
        return (_action(message.method, params, server, run_id, ids(), method=message.method),)
    if not isinstance(params, dict):
        raise NotUnderstood(f"{message.method} has no params that are an object")
    if message.method == "tools/call":
        return _tool_call(params, server, run_id, ids)
    if message.method in ("resources/read", "resources/subscribe"):
        uri = _text(params, "uri", message.method, limit=MAX_TEXT)
        return (
            _action(
                message.method, {"uri": uri}, server, run_id, ids(), kind=_kind(uri), target=uri, method=message.method
            ),
        )
    name = _text(params, "name", message.method) if message.method == "prompts/get" else _reference(params)
    document: Json = {"name": name, "arguments": params.get("arguments", params.get("argument"))}
    return (_action(message.method, document, server, run_id, ids(), method=message.method),)


def _tool_call(params: Mapping[str, Json], server: str, run_id: str, ids: Callable[[], str]) -> tuple[Action, ...]:
    tool = _text(params, "name", "tools/call")
    arguments = params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise NotUnderstood("tools/call has arguments that are no object")
    known: dict[str, Json] = dict(arguments or {})
    answers = params.get("inputResponses")
    if answers:
        # 2026-07-28: the answers to what the server asked travel with the call that it asked them for.
        known["inputResponses"] = answers
    places = [*_places(known)]
    if len(places) > MAX_PLACES + 1:
        raise NotUnderstood(f"tools/call names more than {MAX_PLACES + 1} hosts")
    return tuple(
        [_action(tool, known, server, run_id, ids(), target=place, method="tools/call") for place in places or ("",)]
    )


def _action(
    tool: str,
    arguments: Json,
    server: str,
    run_id: str,
    id_: str,
    *,
    method: str,
    kind: str = "tool_call",
    target: str = "",
) -> Action:
    metadata: dict[str, Json] = {"source": "mcp", "method": method, "arguments": arguments}
    return _made(kind, tool, server, target, "", metadata, id_, run_id, "", 0.0, "default", "", (), ())


def _text(params: Mapping[str, Json], key: str, method: str, *, limit: int = MAX_NAME) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value or len(value) > limit or "\0" in value:
        raise NotUnderstood(f"{method} has no {key} that is text of 1 to {limit} characters")
    return value


def _reference(params: Mapping[str, Json]) -> str:
    ref = params.get("ref")
    if not isinstance(ref, dict):
        raise NotUnderstood("completion/complete has no ref that is an object")
    return _text(ref, "uri" if "uri" in ref else "name", "completion/complete", limit=MAX_TEXT)


def _kind(uri: str) -> str:
    scheme = uri.partition(":")[0].lower()
    return {"file": "file", "http": "http", "https": "http"}.get(scheme, "tool_call")


def _places(value: Json) -> Iterator[str]:
    """Places that stand as whole values anywhere in the arguments, one for each host."""
    seen: set[str] = set()
    level = [("", value)]
    while level:
        below: list[tuple[str, Json]] = []
        for key, one in level:
            if isinstance(one, str):
                if ":" in one[:MAX_TEXT]:
                    for text in _urls(key, one):
                        if (host := _host(text)) and host not in seen:
                            seen.add(host)
                            yield text
            elif isinstance(one, dict):
                below += one.items()
            elif isinstance(one, list):
                below += [(key, entry) for entry in one]
        level = below


def _urls(key: str, text: str) -> Iterable[str]:
    """The URLs that a value is: one, a list of some, or, in an argument for a URL, whatever its reader makes one of."""
    text = text.strip(_AROUND)
    if len(text) > MAX_TEXT and not _is_url(text[:64].translate(_GONE)):
        return ()  # a long text, which is not taken apart for nothing
    words = text.split()
    if len(words) > 1 and not all(map(_LISTED.match, words)):
        # A browser and Node take tabs and line ends out of a URL, and code a space in it.
        is_one = key.lower().rstrip("s").endswith(_FOR_URLS) or all(map(_is_url, words))
        words = [text.translate(_GONE)] if is_one else words
    return map(_beginning, words) if all(map(_is_url, words)) else ()


def _beginning(url: str) -> str:
    """What of a long one there is room for in an action's target: it says where it goes, and the arguments hold the rest."""
    if len(url) <= MAX_TEXT:
        return url
    if not _AUTHORITY.match(url, 0, MAX_TEXT):
        raise NotUnderstood("a URL in the arguments has no end of its host within its first 4,096 signs")
    return url[:MAX_TEXT]


def _is_url(word: str) -> bool:
    return "://" in word[:16] or _SPECIAL.match(word) is not None


def _host(text: str) -> str:
    special = _SPECIAL.match(text) is not None
    try:
        # A backslash is a slash after these schemes: of https://host\@other the host is the first.
        found = urlsplit(text.replace("\\", "/") if special else text).netloc.rpartition("@")[2].lower()
    except ValueError:
        # What we cannot take apart the policy still has to see.
        return text
    # Browsers and Node need no slashes after these schemes: https:host, https:/host.
    return found or (canonical.target(text).host if special else "")
