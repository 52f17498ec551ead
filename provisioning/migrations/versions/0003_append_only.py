"""The ledger's rows cannot be changed, deleted or truncated on PostgreSQL either."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = ("chain", "lots", "births", "certificates", "named", "revocations", "permits", "rebirths")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":   # SQLite has had its triggers from the start
        return
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the ledger is append-only: %', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in TABLES:   # once a statement: also where no row fits, and before any is touched
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
        )


def downgrade() -> None:
    raise NotImplementedError("the ledger is append-only; restore a backup to go back")
