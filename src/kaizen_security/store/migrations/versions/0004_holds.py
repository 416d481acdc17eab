"""Actions that wait for a person, and what was answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From 0003: one table more; none that is there is touched."""
    op.create_table(
        "holds",
        sa.Column("organisation_id", sa.Integer, sa.ForeignKey("organisations.id"), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("agent_id", sa.Integer, sa.ForeignKey("agents.id"), nullable=False),
        sa.Column("sidecar", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("answered_by", sa.String(256), nullable=False),
        sa.Column("answered_at", sa.Double, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("holds_by_organisation", "holds", ["organisation_id", "created_at"])
    op.create_index("holds_by_agent", "holds", ["agent_id"])
    op.create_index(
        "holds_open",
        "holds",
        ["organisation_id"],
        sqlite_where=sa.text("confirmed = 0"),
        postgresql_where=sa.text("confirmed = false"),
    )


def downgrade() -> None:
    """Back to 0003: what was held, and what was answered, is gone."""
    op.drop_table("holds")
