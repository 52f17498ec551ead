"""Who had a certificate issued or revoked, and why; those that are no device's; operators' words; what devices were refused."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table, columns in (("certificates", ("who", "why")), ("revocations", ("who",))):
        for column in columns:   # empty in what there is: the chain leaves empty columns out
            op.add_column(table, sa.Column(column, sa.String(200)))
    op.create_table(
        "named",
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), nullable=False, unique=True),
        sa.Column("name", sa.String(64), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("not_after_s", sa.BigInteger, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
    )
    op.create_table(
        "permits",
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(29), sa.ForeignKey("births.device"), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("until_s", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rebirths",
        sa.Column("n", sa.Integer, sa.ForeignKey("chain.n"), primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(29), sa.ForeignKey("births.device"), nullable=False, index=True),
        sa.Column("permit", sa.Integer, sa.ForeignKey("permits.n"), nullable=False, unique=True),
        sa.Column("lot", sa.String(32), sa.ForeignKey("lots.lot"), nullable=False),
        sa.Column("key", sa.String(130), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("at_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("device", sa.String(29), primary_key=True),
        sa.Column("code", sa.String(32), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("first_s", sa.BigInteger, nullable=False),
        sa.Column("last_s", sa.BigInteger, nullable=False, index=True),
        sa.Column("peer", sa.String(64), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in ("named", "permits", "rebirths"):
            for action in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: {table}'); END"
                )


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only; restore a backup to go back")
