"""Alembic runs this for every command; the connection is given by ``store.migrate``."""

from __future__ import annotations

from alembic import context

from kaizen_security.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
