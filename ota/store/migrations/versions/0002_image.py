"""A release may bring an image for the chip, beside its bundle."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("release", sa.Column("image", sa.String(64)))
    op.add_column("release", sa.Column("image_bytes", sa.Integer()))


def downgrade() -> None:
    # No batch: on SQLite that would drop and copy the table, which rollouts refer to. DROP COLUMN needs SQLite 3.35.
    op.drop_column("release", "image_bytes")
    op.drop_column("release", "image")
