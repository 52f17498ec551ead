"""What alerts remember, what they did, and what is still to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_member",
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("grp", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("held_ms", sa.BigInteger),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("told", sa.Boolean, nullable=False),
    )
    op.create_table(
        "alert_group",
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("grp", sa.Text, primary_key=True),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("told_ms", sa.BigInteger, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("change_ms", sa.BigInteger),
        sa.Column("flaps", sa.Integer, nullable=False),
    )
    op.create_table(
        "alert_mark",
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("old_ms", sa.BigInteger, nullable=False),
        sa.Column("old", sa.Float(53), nullable=False),
        sa.Column("new_ms", sa.BigInteger, nullable=False),
        sa.Column("new", sa.Float(53), nullable=False),
    )
    op.create_table(
        "alert_turn",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alert_silence",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("matchers", sa.Text, nullable=False),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "alert_history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("grp", sa.Text, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("members", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("ix_alert_history_at", "alert_history", ["at_ms"])
    op.create_table(
        "alert_notice",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alert_delivery",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("notice", sa.BigInteger, primary_key=True),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for name in ("delivery", "notice", "history", "silence", "turn", "mark", "group", "member"):
        op.drop_table("alert_" + name)
