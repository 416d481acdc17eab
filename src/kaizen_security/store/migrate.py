"""Bringing a database to the newest form of its tables, at every start; the migrations are inside the package."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.store.base import NewerDatabase


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "kaizen_security.store:migrations")
    return config


def newest() -> str:
    """The revision of this program."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def knows(revision: str) -> bool:
    """Whether this program has the migration of that name."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _at(connection: Connection) -> str | None:
    """The revision that a database says it is at, None for a new one. Raises Misconfigured for one that says several."""
    said = MigrationContext.configure(connection).get_current_heads()
    if len(said) > 1:
        raise Misconfigured(f"the database says that it is at {len(said)} revisions at once: restore a backup")
    return said[0] if said else None


def downgrade(connection: Connection, *, to: str) -> None:
    """Take back the migrations after revision ``to``: what only they can keep is lost, verdicts stay. Raises Misconfigured."""
    current = _at(connection)
    if current is None or not knows(current) or not knows(to) or to > current:
        raise Misconfigured(
            f"the database is at revision {current}: it can be taken back to an older one that this program knows"
        )
    config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, to)


def upgrade(connection: Connection, *, to: str = "head") -> None:
    """Apply the migrations that are missing. Raises NewerDatabase when the database knows one that this program does not."""
    config = _config()
    current = _at(connection)
    if current is not None and not knows(current):
        raise NewerDatabase(
            f"the database is at revision {current}, which this program (newest: {newest()}) does not know: it was written by a "
            "newer Kaizen. Start that one, or restore a backup made before the upgrade"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, to)
