"""What the monitor counts at the commit: batches that came late or without a clock; and why a device boots, beside its link events.

Events and batches from before have no such word: their reason is empty, and they count as nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("link_event") as table:
        table.add_column(sa.Column("reason", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("progress") as table:
        table.add_column(sa.Column("late", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("unclocked", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("progress") as table:
        table.drop_column("unclocked")
        table.drop_column("late")
    with op.batch_alter_table("link_event") as table:
        table.drop_column("reason")
