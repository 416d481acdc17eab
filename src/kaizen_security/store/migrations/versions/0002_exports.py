"""Destinations of exports, and what they refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From 0001: two tables more; none that is there is touched."""
    op.create_table(
        "exports",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("organisation_id", sa.Integer, sa.ForeignKey("organisations.id"), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("which", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("delivered", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("delivered_at", sa.Double, nullable=False),
    )
    op.create_index("exports_by_organisation", "exports", ["organisation_id"])
    op.create_table(
        "parked_exports",
        sa.Column("export_id", sa.String(32), sa.ForeignKey("exports.id"), primary_key=True),
        sa.Column("verdict_number", sa.BigInteger, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("parked_at", sa.Double, nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Back to 0001: destinations, and what they refused, are gone."""
    op.drop_table("parked_exports")
    op.drop_table("exports")
