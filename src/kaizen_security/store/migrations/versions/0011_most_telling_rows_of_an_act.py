"""The most telling rows of one act of one run are read without reading all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """From 0010: one index more, of the rows that are joined to another's act. Every verdict is read once to make it."""
    op.create_index(
        "verdicts_telling",
        "verdicts",
        ["agent_id", "act_id", "run_id", "decision", "severity", "rung", "id"],
        sqlite_where=sa.text("act_id <> action_id AND act_id <> ''"),
        postgresql_where=sa.text("act_id <> action_id AND act_id <> ''"),
    )


def downgrade() -> None:
    """Back to 0010: nothing is lost."""
    op.drop_index("verdicts_telling", "verdicts")
