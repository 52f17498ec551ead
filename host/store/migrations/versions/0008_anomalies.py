"""What the anomaly detectors know and found."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "anomaly_state",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "anomaly_model",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("trained_ms", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "anomaly_finding",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("since_ms", sa.BigInteger, primary_key=True),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_anomaly_finding_last", "anomaly_finding", ["last_ms"])


def downgrade() -> None:
    op.drop_table("anomaly_finding")
    op.drop_table("anomaly_model")
    op.drop_table("anomaly_state")
