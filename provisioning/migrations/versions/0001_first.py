"""The ledger's first schema: a chain of entries, lots, births, certificates and revocations; append-only on SQLite."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = ("chain", "lots", "births", "certificates", "revocations")


def upgrade() -> None:
    op.create_table(
        "chain",
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "lots",
        sa.Column("lot", sa.String(32), primary_key=True),
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), nullable=False, unique=True),
        sa.Column("station_key", sa.String(130), nullable=False),
        sa.Column("quota", sa.Integer, nullable=False),
        sa.Column("expires_s", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "births",
        sa.Column("device", sa.String(29), primary_key=True),
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), nullable=False, unique=True),
        sa.Column("lot", sa.String(32), sa.ForeignKey("lots.lot"), nullable=False, index=True),
        sa.Column("key", sa.String(130), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "certificates",
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), nullable=False, unique=True),
        sa.Column("device", sa.String(29), sa.ForeignKey("births.device"), nullable=False),
        sa.Column("not_after_s", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Index("ix_certificates_device", "device", "at_s"),
    )
    op.create_table(
        "revocations",
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False, index=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":   # PostgreSQL: grant the ledger's role INSERT and SELECT only
        for table in TABLES:
            for action in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: {table}'); END"
                )


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only; restore a backup to go back")
