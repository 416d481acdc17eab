"""Exports are told again of rows that they were told of before their act was known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """From 0011: one table and one column more. What exports were told of before stays as it was told."""
    op.add_column("exports", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE exports SET since = cursor")
    op.create_table(
        "joined_exports",
        sa.Column("export_id", sa.String(32), sa.ForeignKey("exports.id"), primary_key=True),
        sa.Column("verdict_number", sa.BigInteger, primary_key=True),
    )
    op.create_index("joined_exports_by_verdict", "joined_exports", ["verdict_number"])


def downgrade() -> None:
    """Back to 0011: what was not told again by then is not told again."""
    op.drop_table("joined_exports")
    op.drop_column("exports", "since")
