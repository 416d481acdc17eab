"""What people do to a baseline reaches the sidecars: folds with their numbers, and an epoch that a reset begins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """From 0005: one column and one table more."""
    op.add_column("agents", sa.Column("epoch", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "folds",
        sa.Column("agent_id", sa.Integer, sa.ForeignKey("agents.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("action", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Back to 0005: what people folded is gone as far as sidecars have not taken it; the server's own baselines keep it."""
    op.drop_table("folds")
    op.drop_column("agents", "epoch")
