"""``kaizen admin``: what the person who runs a control plane does on its machine: backup, restore, lost passwords, deletion."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kaizen_security.cli.server import DEFAULT_HOST, DEFAULT_PORT, data_directory, opened_store
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured, Refused
from kaizen_security.contract.fields import rfc3339

if TYPE_CHECKING:
    from kaizen_security.server.operations import Contents, NewPassword

_DELETING = 600.0
"""Seconds that the deletion of an agent with millions of rows may take."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    backup = actions.add_parser("backup", help="copy the database to a file, while the server runs")
    backup.add_argument("file", type=Path, help="where to; it holds secrets and is made for your user alone")
    backup.add_argument("--replace", action="store_true", help="in place of a file of that name")
    restore = actions.add_parser("restore", help="put a backup in place of the database (the server must be stopped)")
    restore.add_argument("file", type=Path, help="a backup")
    restore.add_argument("--dry-run", action="store_true", help="check the backup, change nothing")
    back = actions.add_parser(
        "downgrade", help="take the database back to an older Kaizen's form (the server must be stopped)"
    )
    back.add_argument("revision", help="the older program's: it names it when it refuses the database")
    password = actions.add_parser("password", help="set a new password and show it, this once; sessions end")
    link = actions.add_parser("link", help="a link that signs in once, within ten minutes")
    for command in (password, link):
        command.add_argument("--user", default="", help="whose (the first administrator's)")
    link.add_argument("--url", default=f"http://{DEFAULT_HOST}:{DEFAULT_PORT}", help="of the console (%(default)s)")
    users = actions.add_parser("users", help="who may sign in")
    add_user = actions.add_parser("add-user", help="let somebody else sign in; shows the password, this once")
    add_user.add_argument("name")
    add_user.add_argument("--role", default="viewer", choices=("viewer", "admin"), help="(%(default)s: may only read)")
    gone = actions.add_parser("delete-agent", help="delete all that is kept of an agent")
    gone.add_argument("name")
    gone.add_argument("--yes", action="store_true", help="yes, really: this cannot be taken back")
    gone.add_argument("--api-url", help="a running server; needs a session's token in KAIZEN_TOKEN")
    for command in (backup, restore, back, password, link, users, add_user, gone):
        command.add_argument(
            "--data", type=Path, help="the server's data directory (KAIZEN_DATA, else below ~/.local/share)"
        )
        command.add_argument("--json", action="store_true", help="for machines")


def run(args: argparse.Namespace) -> int:
    """0 when it was done, 1 when there was nothing to do it to."""
    return _ACTIONS[args.action](args)


def _say(args: argparse.Namespace, document: dict[str, Json], *lines: str) -> int:
    print(json.dumps(document) if args.json else "\n".join(lines))
    return 0


def _contents(found: Contents) -> tuple[dict[str, Json], str]:
    document: dict[str, Json] = {
        "file": str(found.path),
        "bytes": found.size,
        "revision": found.revision,
        "agents": found.agents,
        "verdicts": found.verdicts,
        "newest": rfc3339(found.newest) or None,
    }
    newest = f", the newest of {rfc3339(found.newest)}" if found.newest else ""
    return document, f"{found.verdicts:,} verdicts of {found.agents:,} agents{newest}"


def _backup(args: argparse.Namespace) -> int:
    from kaizen_security.server import operations

    found = operations.backup(data_directory(args.data), args.file, replace=args.replace)
    document, words = _contents(found)
    return _say(args, document, f"{args.file}: {words}; {found.size:,} bytes, checked. It holds secrets: keep it safe.")


def _restore(args: argparse.Namespace) -> int:
    from kaizen_security.runtime.clock import now
    from kaizen_security.server import operations

    directory = data_directory(args.data)
    done = operations.restore(args.file, directory, at=now(), dry_run=args.dry_run)
    document, words = _contents(done.contents)
    document |= {"restored": done.done, "aside": None if done.aside is None else str(done.aside)}
    if not done.done:
        return _say(args, document, f"{args.file} can be restored: {words}. Nothing was changed.")
    lines = [f"{directory} now has {words}. Everybody signs in again."]
    if done.aside is not None:
        lines.append(f"What was there is in {done.aside}; delete it when you do not need it any more.")
    lines.append("Keys that were revoked after the backup work again: see kaizen keys list.")
    return _say(args, document, *lines)


def _downgrade(args: argparse.Namespace) -> int:
    from kaizen_security.runtime.clock import now
    from kaizen_security.server import operations

    directory = data_directory(args.data)
    done = operations.take_back(directory, args.revision, at=now())
    document, words = _contents(done.contents)
    document["aside"] = str(done.aside)
    lines = [f"{directory} is at revision {done.contents.revision} and has {words}: start the older Kaizen on it."]
    lines.append(f"What was there is in {done.aside}; it also has what the older form has no place for.")
    return _say(args, document, *lines)


def _shown_once(args: argparse.Namespace, made: NewPassword, note: str) -> int:
    if args.json:
        return _say(args, {"user": made.user, "password": made.password})
    print(made.password)
    print(f"The password of {made.user!a}, shown this once. {note}", file=sys.stderr)
    return 0


def _password(args: argparse.Namespace) -> int:
    from kaizen_security.server import operations

    with closing(opened_store(data_directory(args.data))) as store:
        return _shown_once(args, operations.new_password(store, args.user), "Whoever was signed in is signed out.")


def _link(args: argparse.Namespace) -> int:
    from kaizen_security.server import operations
    from kaizen_security.server.setup import sign_in_link

    with closing(opened_store(data_directory(args.data))) as store:
        user = operations.find(store, args.user).name
        link = f"{args.url.rstrip('/')}/sign-in?token={sign_in_link(store, user=user)}"
    if args.json:
        return _say(args, {"user": user, "link": link})
    print(link)
    print(f"Signs {user!a} in once, within ten minutes.", file=sys.stderr)
    return 0


def _users(args: argparse.Namespace) -> int:
    from kaizen_security.server import operations

    with closing(opened_store(data_directory(args.data))) as store:
        found = operations.people(store)
    document: list[Json] = [
        {"name": one.name, "role": one.role.value, "created_at": rfc3339(one.created_at)} for one in found
    ]
    lines = [f"{one.role.value:<8}{ascii(one.name)[1:-1]}" for one in found]
    return _say(args, {"users": document}, *lines)


def _add_user(args: argparse.Namespace) -> int:
    from kaizen_security.contract.fields import MAX_NAME, plain
    from kaizen_security.runtime.clock import now
    from kaizen_security.server import operations
    from kaizen_security.store.base import Role

    name = plain(args.name, "name", limit=MAX_NAME).strip()
    if not name:
        raise Misconfigured("name: must say something")
    with closing(opened_store(data_directory(args.data))) as store:
        made = operations.add_user(store, name, Role(args.role), at=now())
    return _shown_once(args, made, f"The role is {args.role}.")


def _delete_agent(args: argparse.Namespace) -> int:
    if not args.yes:
        print("This cannot be taken back, and backups keep what they hold. Say --yes to do it.", file=sys.stderr)
        return 2
    document = _deleted_there(args) if args.api_url else _deleted_here(args)
    if document is None:
        print("there is no such agent", file=sys.stderr)
        return 1
    gone = document["deleted"]
    assert isinstance(gone, dict)
    lines = [f"Deleted: {gone['verdicts']:,} verdicts, {gone['suppressions']} suppressions, baseline and declaration."]
    if document["keys_left"]:
        lines.append(f"{document['keys_left']} live API keys are bound to this name: revoke them with kaizen keys.")
    return _say(args, document, *lines)


def _deleted_there(args: argparse.Namespace) -> dict[str, Json] | None:
    from kaizen_security.cli.keys import Remote

    server = Remote(args.api_url)
    try:
        return server.call("DELETE", f"/v1/agents/{quote(args.name, safe='')}", deadline=_DELETING)
    except Refused as err:
        if err.status == 404:
            return None
        raise
    finally:
        server.close()


def _deleted_here(args: argparse.Namespace) -> dict[str, Json] | None:
    from kaizen_security.server import operations
    from kaizen_security.server.api import documents

    # Alone: a server that runs has the agent in memory, and would save it again.
    with closing(opened_store(data_directory(args.data), exclusive=True)) as store:
        gone = store.delete_agent(operations.people(store)[0].organisation, args.name)
    return None if gone is None else documents.deleted(args.name, gone)


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "backup": _backup,
    "restore": _restore,
    "downgrade": _downgrade,
    "password": _password,
    "link": _link,
    "users": _users,
    "add-user": _add_user,
    "delete-agent": _delete_agent,
}
