"""All of a device's progress in its row, so that each writer reads what the one before it left.

What a single writer had only remembered is unknown for rows from before: they are taken to have records beyond a gap, which is
looked up once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("progress") as table:
        table.add_column(sa.Column("seen_boot", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("ahead", sa.Boolean, nullable=False, server_default=sa.true()))
    op.execute("UPDATE progress SET seen_boot = boot")


def downgrade() -> None:
    with op.batch_alter_table("progress") as table:
        table.drop_column("ahead")
        table.drop_column("seen_boot")
