"""Rows that are joined to the act of another are found by it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """From 0007: one index more, of the rows that are joined to another's act."""
    op.create_index(
        "verdicts_joined",
        "verdicts",
        ["agent_id", "act_id", "id"],
        sqlite_where=sa.text("act_id <> action_id AND act_id <> ''"),
        postgresql_where=sa.text("act_id <> action_id AND act_id <> ''"),
    )


def downgrade() -> None:
    """Back to 0007: nothing is lost."""
    op.drop_index("verdicts_joined", "verdicts")
