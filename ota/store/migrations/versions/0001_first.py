"""First schema of the update server."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_lock",
        sa.Column("ident", sa.Integer(), primary_key=True),
        sa.Column("turn", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "root",
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("object", sa.String(64), nullable=False),
        sa.Column("min_counter", sa.Integer(), nullable=False),
        sa.Column("added_s", sa.Float(), nullable=False),
    )
    op.create_table(
        "release",
        sa.Column("manifest", sa.String(64), primary_key=True),
        sa.Column("release", sa.String(20), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("from_lo", sa.Integer(), nullable=False),
        sa.Column("from_hi", sa.Integer(), nullable=False),
        sa.Column("stone", sa.Boolean(), nullable=False),
        sa.Column("mpy", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("added_s", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
    )
    op.create_table(
        "device",
        sa.Column("device", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(16), nullable=False),
        sa.Column("release", sa.String(20), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.String(8), nullable=False),
        sa.Column("trial", sa.Boolean(), nullable=False),
        sa.Column("root", sa.Integer(), nullable=False),
        sa.Column("direction_seq", sa.Integer(), nullable=False),
        sa.Column("first_seen_s", sa.Float(), nullable=False),
        sa.Column("last_seen_s", sa.Float(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
    )
    op.create_index("device_by_version", "device", ["model", "counter", "last_seen_s"])
    op.create_table(
        "version",
        sa.Column("model", sa.String(16), primary_key=True),
        sa.Column("counter", sa.Integer(), primary_key=True),
        sa.Column("release", sa.String(20), nullable=False),
        sa.Column("first_seen_s", sa.Float(), nullable=False),
        sa.Column("last_seen_s", sa.Float(), nullable=False),
    )
    op.create_table(
        "version_total",
        sa.Column("model", sa.String(16), primary_key=True),
        sa.Column("counter", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "rollout",
        sa.Column("rollout", sa.String(32), primary_key=True),
        sa.Column("manifest", sa.String(64), sa.ForeignKey("release.manifest"), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stage_since_s", sa.Float(), nullable=False),
        sa.Column("excused_s", sa.Float(), nullable=False),
        sa.Column("population", sa.Integer(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("bucket_limit", sa.Integer(), nullable=False),
        sa.Column("offered", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(400), nullable=False),
        sa.Column("added_s", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
    )
    op.create_index("ix_rollout_state", "rollout", ["state"])
    op.create_table(
        "stage",
        sa.Column("rollout", sa.String(32), sa.ForeignKey("rollout.rollout"), primary_key=True),
        sa.Column("stage", sa.Integer(), primary_key=True),
        sa.Column("opened_s", sa.Float(), nullable=False),
        sa.Column("closed_s", sa.Float()),
        sa.Column("baseline", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON()),
    )
    op.create_table(
        "attempt",
        sa.Column("rollout", sa.String(32), sa.ForeignKey("rollout.rollout"), primary_key=True),
        sa.Column("device", sa.String(32), primary_key=True),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("first_s", sa.Float(), nullable=False),
        sa.Column("lease_until_s", sa.Float(), nullable=False),
        sa.Column("confirmed_s", sa.Float(), nullable=False),
        sa.Column("settled_s", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
    )
    op.create_index("attempt_by_device", "attempt", ["device"])
    op.create_index("attempt_by_state", "attempt", ["rollout", "state", "confirmed_s"])
    op.create_table(
        "failure",
        sa.Column("device", sa.String(32), primary_key=True),
        sa.Column("manifest", sa.String(64), primary_key=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("last_s", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
    )
    op.create_index("failure_by_manifest", "failure", ["manifest", "times"])
    op.create_table(
        "history",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("rollout", sa.String(32), sa.ForeignKey("rollout.rollout"), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(400), nullable=False),
    )
    op.create_index("ix_history_rollout", "history", ["rollout"])
    op.execute("INSERT INTO write_lock (ident, turn) VALUES (1, 0)")


def downgrade() -> None:
    for table in (
        "history",
        "failure",
        "attempt",
        "stage",
        "rollout",
        "version_total",
        "version",
        "device",
        "release",
        "root",
        "write_lock",
    ):
        op.drop_table(table)
