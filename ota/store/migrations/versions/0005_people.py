"""Tokens, the audit log, approvals, events and how far webhooks have got."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "token",
        sa.Column("ident", sa.String(16), primary_key=True),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("added_s", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(64), nullable=False),
        sa.Column("expires_s", sa.Float(), nullable=False),
        sa.Column("used_s", sa.Float()),
        sa.Column("revoked_s", sa.Float()),
        sa.Column("revoked_by", sa.String(64)),
    )
    op.create_table(
        "audit",
        sa.Column("n", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("certificate", sa.String(64), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("about", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(400), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "approval",
        sa.Column("rollout", sa.String(32), sa.ForeignKey("rollout.rollout"), primary_key=True),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("asked_s", sa.Float(), nullable=False),
        sa.Column("asked_by", sa.String(64), nullable=False),
        sa.Column("people", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(400), nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_table(
        "webhook",
        sa.Column("url", sa.String(400), primary_key=True),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_s", sa.Float(), nullable=False),
        sa.Column("given_up", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    for table in ("webhook", "outbox", "approval", "audit", "token"):
        op.drop_table(table)
