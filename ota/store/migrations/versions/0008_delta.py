"""A release may be reached by deltas."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "delta",
        sa.Column("manifest", sa.String(64), sa.ForeignKey("release.manifest"), primary_key=True),
        sa.Column("delta", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(8), nullable=False),
        sa.Column("base", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
    )
    op.create_index("ix_delta_delta", "delta", ["delta"])


def downgrade() -> None:
    op.drop_table("delta")
