"""Organisations get an id that is unique everywhere: names are not, and numbers are only so within one database."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From 0002: one column more; each organisation that is there gets an id by chance."""
    op.add_column("organisations", sa.Column("public_id", sa.String(32), nullable=False, server_default=""))
    organisations = sa.table("organisations", sa.column("id", sa.Integer), sa.column("public_id", sa.String))
    connection = op.get_bind()
    for (number,) in connection.execute(sa.select(organisations.c.id)).all():
        made = sa.update(organisations).where(organisations.c.id == number).values(public_id=secrets.token_hex(16))
        connection.execute(made)
    op.create_index("organisations_by_public_id", "organisations", ["public_id"], unique=True)


def downgrade() -> None:
    """Back to 0002: the ids are gone; coming again, an organisation gets another one."""
    op.drop_index("organisations_by_public_id", "organisations")
    op.drop_column("organisations", "public_id")
