"""Releases are retired, and why a release was published or retired is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("release", sa.Column("retired_s", sa.Float()))
    op.create_table(
        "release_event",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("manifest", sa.String(64), sa.ForeignKey("release.manifest"), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("stranded", sa.JSON(), nullable=False),
    )
    op.create_index("ix_release_event_manifest", "release_event", ["manifest"])


def downgrade() -> None:
    op.drop_table("release_event")
    op.drop_column("release", "retired_s")
