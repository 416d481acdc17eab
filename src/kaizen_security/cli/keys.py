"""``kaizen keys``: make, list and revoke API keys, in a data directory or on a server. A key is shown once, when it is made."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

from kaizen_security.cli.server import data_directory, opened_store
from kaizen_security.cli.terminal.paint import plain
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError, Misconfigured, Refused
from kaizen_security.contract.fields import MAX_NAME

_DEADLINE = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="list|create|revoke", required=True)
    listing = actions.add_parser("list", help="the keys that there are, without the keys themselves")
    create = actions.add_parser("create", help="make a key and print it, this once")
    create.add_argument("--name", required=True, help="what it is for")
    create.add_argument(
        "--scope",
        default="agent",
        choices=("agent", "sdk", "collector", "observer"),
        help="(%(default)s; docs/reference/api.md)",
    )
    create.add_argument("--agent", default="", help="the one agent that it may speak for (any, when not given)")
    create.add_argument(
        "--replace", action="store_true", help="revoke the live keys of that name (data directory only)"
    )
    revoke = actions.add_parser("revoke", help="end a key")
    revoke.add_argument("id", help="its id, or the first characters of the key that are shown")
    for command in (listing, create, revoke):
        command.add_argument(
            "--data", type=Path, help="the server's data directory (KAIZEN_DATA, else below ~/.local/share)"
        )
        command.add_argument(
            "--api-url", help="a server instead of a data directory; needs a session's token in KAIZEN_TOKEN"
        )
        command.add_argument("--json", action="store_true", help="for machines")


def run(args: argparse.Namespace) -> int:
    """0 when it was done, 1 when there was nothing to revoke."""
    if args.action == "create":
        for option, said in (("--name", args.name), ("--agent", args.agent)):
            if len(said) > MAX_NAME or not said.isprintable():
                raise Misconfigured(f"{option} must be printable text of at most {MAX_NAME} characters")
        if not args.name.strip():
            raise Misconfigured("--name must say what the key is for")
    place = _Remote(args.api_url) if args.api_url else _Directory(data_directory(args.data))
    try:
        if args.action == "list":
            return _list(place.known(), as_json=args.json)
        if args.action == "create":
            return _created(place.create(args.name, args.scope, args.agent, replace=args.replace), as_json=args.json)
        return _revoked(place, args.id, as_json=args.json)
    finally:
        place.close()


class _Directory:
    """A server's data directory; the server may be running."""

    def __init__(self, directory: Path) -> None:
        self._store = opened_store(directory)
        found = self._store.organisations()
        if not found:
            self._store.close()
            raise Misconfigured(f"the database in {directory} has no organisation yet: start the server once")
        self._organisation = found[0].id

    def known(self) -> list[dict[str, Json]]:
        from kaizen_security.server.api import documents

        return [documents.key(key) for key in self._store.keys(self._organisation)]

    def create(self, name: str, scope: str, agent: str, *, replace: bool) -> dict[str, Json]:
        from kaizen_security.contract.bundle import key_hash
        from kaizen_security.server.api import documents
        from kaizen_security.server.setup import mint_key

        token = mint_key(self._store, name=name, scope=scope, agent=agent or None, replace=replace)
        made = self._store.key_by_hash(key_hash(token))
        assert made is not None
        return {**documents.key(made), "key": token}

    def revoke(self, key_id: str) -> bool:
        from kaizen_security.runtime.clock import now

        return self._store.revoke_key(self._organisation, key_id, at=now())

    def close(self) -> None:
        self._store.close()


class Remote:
    """A running control plane, called as a person who is signed in. Raises Misconfigured without a token in the environment."""

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


class _Remote(Remote):
    """A running server, as a person who is signed in."""

    def known(self) -> list[dict[str, Json]]:
        found = self.call("GET", "/v1/keys").get("keys")
        return [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []

    def create(self, name: str, scope: str, agent: str, *, replace: bool) -> dict[str, Json]:
        if replace:
            raise Misconfigured("--replace works on a data directory: revoke the old key by its id instead")
        return self.call("POST", "/v1/keys", {"name": name, "scope": scope, "agent": agent})

    def revoke(self, key_id: str) -> bool:
        try:
            self.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
        except Refused as err:
            if err.status == 404:
                return False
            raise
        return True


def _list(keys: list[dict[str, Json]], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"keys": keys}))
        return 0
    row = "{:<34}{:<16}{:<10}{:<20}{:<12}{}"
    print(row.format("ID", "KEY", "SCOPE", "AGENT", "STATE", "NAME"))
    for key in keys:
        state = "revoked" if key["revoked_at"] else "live"
        print(
            row.format(
                *(
                    plain(str(said))
                    for said in (
                        key["id"],
                        f"{key['prefix']}…",
                        key["scope"],
                        key["agent"] or "any",
                        state,
                        key["name"],
                    )
                )
            )
        )
    return 0


def _created(key: dict[str, Json], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(key))
        return 0
    print(key["key"])
    print(
        f"Key {key['id']} ({key['name']}), shown this once. Give it to the agent as KAIZEN_API_KEY.",
        file=sys.stderr,
    )
    return 0


def _revoked(place: _Directory | _Remote, said: str, *, as_json: bool) -> int:
    live = [key for key in place.known() if not key["revoked_at"]]
    chosen = [key for key in live if key["id"] == said or (len(said) >= 10 and said.startswith(str(key["prefix"])))]
    if len(chosen) > 1:
        raise Misconfigured("several live keys begin like that: give the id")
    done = bool(chosen) and place.revoke(str(chosen[0]["id"]))
    if as_json:
        print(json.dumps({"revoked": done}))
    elif not done:
        print("there is no such live key", file=sys.stderr)
    return 0 if done else 1
