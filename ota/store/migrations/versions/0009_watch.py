"""Up to when a monitor told of devices' links."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watch",
        sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("until_s", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("watch")
