"""What a stage's comparisons know is kept between looks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stage", sa.Column("gathered", sa.JSON()))


def downgrade() -> None:
    op.drop_column("stage", "gathered")
