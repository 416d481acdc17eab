"""How the demonstration agent plans: it follows references to earlier results, and whatever it is told by what it reads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from kaizen_security.contract.action import Json
from kaizen_security.demo.injected import SOCKET
from kaizen_security.demo.tasks import Call
from kaizen_security.demo.tools import TOOLS

_ORDER = re.compile(r"call (\S{1,64}) with (?=\{)")
_REFERENCE = re.compile(r"\$(\d+)(?:\.(\w+))?")


def orders_in(result: Json) -> Iterator[Call]:
    """The instructions in what was read: the agent's weakness, on purpose."""
    if isinstance(result, list):
        for item in result:
            yield from orders_in(item)
    elif isinstance(result, dict):
        for item in result.values():
            yield from orders_in(item)
    elif isinstance(result, str):
        for match in _ORDER.finditer(result):
            try:
                arguments, _ = json.JSONDecoder().raw_decode(result, match.end())
            except ValueError:
                continue
            if match[1] in TOOLS or match[1] == SOCKET:
                yield Call(tool=match[1], arguments=arguments)


def resolved(value: Json, results: list[Json]) -> Json:
    """An argument with its reference to an earlier result followed; what is not there is an empty text."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    number, name = int(match[1]), match[2]
    result = results[number] if number < len(results) else ""
    if name is None:
        return result
    return result.get(name, "") if isinstance(result, dict) else ""
