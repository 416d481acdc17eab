"""A running control plane, called as a person who is signed in (``KAIZEN_TOKEN``)."""

from __future__ import annotations

import json
import os

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError, Misconfigured, Refused

_DEADLINE = 10.0


class Remote:
    """Calls the server at ``url``. Raises Misconfigured without a token in the environment."""

    def __init__(self, url: str) -> None:
        from kaizen_security.client.http import Connection

        self._token = os.environ.get("KAIZEN_TOKEN", "")
        if not self._token:
            raise Misconfigured("set KAIZEN_TOKEN to a session's token (POST /v1/sessions gives one)")
        self._connection = Connection(url)

    def call(
        self, method: str, path: str, document: dict[str, Json] | None = None, *, deadline: float = _DEADLINE
    ) -> dict[str, Json]:
        """One call; ``deadline`` in seconds. Raises Refused with the server's own words, Unreachable, KaizenError."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        status, _, data = self._connection.request(method, path, body, headers=headers, deadline=deadline)
        try:
            answer = json.loads(data)
        except ValueError as err:
            raise KaizenError(f"the server answered {status} and no JSON: is it a Kaizen control plane?") from err
        if status >= 400 or not isinstance(answer, dict):
            said = answer.get("error", {}) if isinstance(answer, dict) else {}
            message = f"{said.get('message', 'no message')} (HTTP {status})"
            raise Refused(message, status=status, field=str(said.get("field", "")))
        return answer

    def close(self) -> None:
        """End the connection."""
        self._connection.close()
