"""Configurations are delivered to devices by check-in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = (("config", 16), ("config_wanted", 16), ("config_failed", 16), ("config_reason", 120))


def upgrade() -> None:
    for name, chars in COLUMNS:
        op.add_column("device", sa.Column(name, sa.String(chars), nullable=False, server_default=""))
    op.add_column("device", sa.Column("config_trial", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "config",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("added_s", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
    )
    op.create_table(
        "config_order",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(16), sa.ForeignKey("config.name"), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
    )
    op.create_table(
        "config_event",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(120), nullable=False),
    )
    op.create_index("config_event_by_device", "config_event", ["device", "ident"])


def downgrade() -> None:
    op.drop_table("config_event")
    op.drop_table("config_order")
    op.drop_table("config")
    op.drop_column("device", "config_trial")
    for name, _ in COLUMNS:
        op.drop_column("device", name)
