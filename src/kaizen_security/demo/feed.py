"""Reads what the line says: verdicts from the control plane as they arrive, and the counts of the demonstration's servers."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import array, obj
from kaizen_security.demo.account import Row, row
from kaizen_security.demo.services import CONTROL

PAGE = 500
"""Rows asked for at once."""


class Feed:
    """The rows of ``GET /v1/verdicts``, each once, oldest first. An API key may read them."""

    def __init__(self, url: str, key: str, *, since: str) -> None:
        """``since`` (RFC 3339): rows from before do not count."""
        self._connection = Connection(url)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._start = self._since = since
        self._seen: set[str] = set()

    def new(self) -> list[Row]:
        """Rows that have not been given before. Raises KaizenError when the control plane does not answer."""
        fresh: list[tuple[str, Row]] = []
        offset = 0
        while True:
            path = f"/v1/verdicts?since={quote(self._since)}&limit={PAGE}&offset={offset}"
            page = array(obj(self._connection.json("GET", path, headers=self._headers), "answer"), "verdicts")
            documents = [obj(item, f"verdicts[{i}]") for i, item in enumerate(page)]
            unseen = [document for document in documents if str(document.get("id")) not in self._seen]
            fresh += [(str(document.get("created_at")), row(document)) for document in unseen]
            self._seen.update(str(document.get("id")) for document in unseen)
            # Newest first: once a page held something known, everything after it is known too, unless rows came in between.
            if len(page) < PAGE:
                break
            offset += PAGE
        if fresh:
            self._since = max(self._since, *(created for created, _ in fresh))
        return [entry for _, entry in reversed(fresh)]

    def rewind(self) -> None:
        """Look at everything once more: a row may be committed after one that is stamped later."""
        self._since = self._start

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class Servers:
    """The control of ``demo.services``, straight and not through the proxy."""

    def __init__(self, port: int) -> None:
        self._connection = Connection(f"http://{CONTROL}:{port}")

    def place(self, pages: Mapping[str, Json]) -> None:
        """Put pages in place."""
        self._connection.json("POST", "/", dict(pages), idempotent=True)

    def received(self) -> dict[str, int]:
        """Bytes that each host has received."""
        answer = obj(self._connection.json("GET", "/"), "answer")
        counts = {host: obj(entry, host) for host, entry in answer.items()}
        return {host: int(str(entry.get("bytes", 0))) for host, entry in counts.items()}

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
