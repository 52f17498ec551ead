"""Devices that are not ours: their names, channels and packs. And how often a row of quarantine outlived a replay."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("quarantine") as table:
        table.add_column(sa.Column("tried", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "foreign_device",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("next_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "foreign_channel",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("is_sum", sa.Boolean, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("told_unit", sa.Text, nullable=False),
        sa.Column("group_no", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("decimals", sa.Integer, nullable=False),
    )
    op.create_table(
        "foreign_pack",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_foreign_pack_at", "foreign_pack", ["at_ms"])


def downgrade() -> None:
    for name in ("foreign_pack", "foreign_channel", "foreign_device"):
        op.drop_table(name)
    with op.batch_alter_table("quarantine") as table:
        table.drop_column("tried")
