"""Rows of the control plane, over its API: the latest ones, oldest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from kaizen_security.client.config import load
from kaizen_security.client.dial import check_key_may_go
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused
from kaizen_security.contract.fields import instant, obj, rfc3339, text

DEADLINE = 30.0
"""Seconds for a page of rows."""
PAGE = 1000
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment(said: str, now: float, flag: str) -> float:
    """An RFC 3339 instant, or so long ago (``90m``, ``24h``, ``7d``), as Unix seconds. Raises Misconfigured naming the flag."""
    span = _SPAN.fullmatch(said)
    if span:
        return now - int(span[1]) * _SECONDS[span[2]]
    try:
        return instant({"at": said}, "at")
    except InvalidInput as err:
        raise Misconfigured(f"{flag} must be an RFC 3339 instant with its offset, or such as 90m, 24h, 7d") from err


class Served:
    """The rows of one organisation, for whoever owns the API key. Raises Misconfigured without one, Refused, Unreachable."""

    def __init__(self, url: str | None) -> None:
        settings = load({"base_url": url})
        check_key_may_go(settings.base_url, settings.api_key)
        if not settings.api_key:
            raise Misconfigured("set KAIZEN_API_KEY: the control plane shows verdicts to the owner of a key only")
        self.url = settings.base_url
        self._headers = {"Authorization": f"Bearer {settings.api_key}"}
        self._connection = Connection(self.url, max_bytes=64 << 20)

    def get(self, path: str, **query: str | int) -> Json:
        """One answer."""
        said = {name: value for name, value in query.items() if value != ""}
        where = f"{path}?{urlencode(said)}" if said else path
        return self._connection.json("GET", where, None, self._headers, DEADLINE)

    def rows(
        self, *, agent: str, since: float, until: float, most: int, progress: Callable[[int], None]
    ) -> Iterator[Json]:
        """At most ``most`` of the latest rows in that time, oldest first. ``since`` and ``until`` in Unix seconds, 0.0 for any."""
        pages: list[list[Json]] = []
        before, count = "", 0
        while count < most:
            page = self._page(agent, since, before, min(PAGE, most - count))
            if not page:
                break
            before = text(obj(page[-1], "verdicts"), "id")
            kept = [row for row in page if not until or instant(obj(row, "verdicts"), "created_at") < until]
            pages.append(kept)
            count += len(kept)
            progress(count)
        while pages:
            yield from reversed(pages.pop())

    def _page(self, agent: str, since: float, before: str, limit: int) -> list[Json]:
        answer = self.get("/v1/verdicts", agent=agent, since=rfc3339(since), before=before, limit=limit)
        rows = obj(answer, "answer").get("verdicts")
        if not isinstance(rows, list):
            raise Refused("the control plane's answer holds no verdicts", status=502)
        return rows

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
