"""When a schema was last told: a device with several groups of channels tells one of each, and readers need those it tells now."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Newest boot of the records that carry the schema, and the first of them in that boot.
BOOT = """UPDATE schema SET boot = COALESCE((SELECT MAX(batch.boot) FROM batch
    WHERE batch.device = schema.device AND batch.schema = schema.hash AND batch.kind = 2), 0)"""
SEQ = """UPDATE schema SET seq = COALESCE((SELECT MIN(batch.seq) FROM batch
    WHERE batch.device = schema.device AND batch.schema = schema.hash AND batch.kind = 2 AND batch.boot = schema.boot), 0)"""


def upgrade() -> None:
    with op.batch_alter_table("schema") as table:
        table.add_column(sa.Column("boot", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("seq", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(BOOT)
    op.execute(SEQ)


def downgrade() -> None:
    with op.batch_alter_table("schema") as table:
        table.drop_column("seq")
        table.drop_column("boot")
