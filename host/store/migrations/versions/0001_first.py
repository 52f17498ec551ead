"""The first telemetry tables.

Frozen: later changes are later scripts. tests/store/test_migrations.py compares the sum of all scripts with tables.py.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("schema", sa.LargeBinary, nullable=False),
        sa.Column("n_readings", sa.Integer, nullable=False),
        sa.Column("uptime_ms", sa.BigInteger, nullable=False),
        sa.Column("epoch_ms", sa.BigInteger, nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("start_ms", sa.BigInteger),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    placed, unplaced = sa.text("kind = 1 AND start_ms IS NOT NULL"), sa.text("kind = 1 AND start_ms IS NULL")
    op.create_index("ix_batch_start", "batch", ["device", "start_ms"], sqlite_where=placed, postgresql_where=placed)
    op.create_index("ix_batch_unplaced", "batch", ["device", "boot"], sqlite_where=unplaced, postgresql_where=unplaced)
    op.create_table(
        "schema",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "boots",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True),
        sa.Column("epoch_ms", sa.BigInteger, nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("uptime_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "progress",
        sa.Column("device", sa.Text, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in (
            "boot", "next_seq", "heard_boot", "records", "batches", "readings", "bytes", "duplicates", "conflicts",
            "lost_by_overflow",
        )),
        sa.Column("schema_missing", sa.Boolean, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("topic", "digest", name="uq_quarantine_topic_digest"),
    )
    op.create_index("ix_quarantine_last", "quarantine", ["last_ms"])
    op.create_table(
        "tally",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "presence",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("online", sa.Boolean, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("boot", sa.BigInteger, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("heard_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "link_event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
    )
    op.create_index("ix_link_event_at", "link_event", ["at_ms"])
    op.create_index("ix_link_event_device", "link_event", ["device", "id"])
    op.create_table(
        "traffic",
        sa.Column("at_s", sa.BigInteger, primary_key=True),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("readings", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("a telemetry database is never taken back to an older release; restore a backup")
