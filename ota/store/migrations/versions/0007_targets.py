"""Operators' labels of devices, and one history of each device that holds configurations' events too."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CONFIG_CODES = {"trial": 30, "runs": 31, "failed": 32}   # ota.rules.events


def upgrade() -> None:
    op.create_table(
        "cohort",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("site", sa.String(32), nullable=False),
        sa.Column("tags", sa.String(400), nullable=False),
        sa.UniqueConstraint("site", "tags", name="cohort_labels"),
    )
    op.execute("INSERT INTO cohort (site, tags) VALUES ('', '')")   # gets 1, the default of device.cohort
    op.create_table("site", sa.Column("site", sa.String(32), primary_key=True), sa.Column("zone", sa.String(64), nullable=False))
    op.create_table(
        "label_order",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("what", sa.String(400), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
    )
    op.drop_index("device_by_version", "device")
    op.add_column("device", sa.Column("cohort", sa.Integer(), nullable=False, server_default="1"))
    op.create_index("device_by_version", "device", ["model", "counter", "cohort", "last_seen_s"])
    _replace_totals(with_cohort=True)
    op.create_table(
        "device_event",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("at_s", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.SmallInteger(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(160), nullable=False),
    )
    op.create_index("device_event_by_device", "device_event", ["device", "ident"])
    codes = " ".join(f"WHEN '{event}' THEN {number}" for event, number in CONFIG_CODES.items())
    op.execute(
        f"INSERT INTO device_event (device, at_s, event, counter, detail) SELECT device, CAST(at_s AS BIGINT), "   # noqa: S608
        f"CASE event {codes} END, 0, TRIM(name || ' ' || reason) FROM config_event ORDER BY ident")
    op.drop_table("config_event")


def downgrade() -> None:
    op.create_table(
        "config_event",
        sa.Column("ident", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("at_s", sa.Float(), nullable=False),
        sa.Column("event", sa.String(8), nullable=False),
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(120), nullable=False),
    )
    op.create_index("config_event_by_device", "config_event", ["device", "ident"])
    events = sa.table("device_event", *map(sa.column, ("ident", "device", "at_s", "event", "detail")))
    older = sa.table("config_event", *map(sa.column, ("device", "at_s", "event", "name", "reason")))
    words = {number: event for event, number in CONFIG_CODES.items()}
    for row in op.get_bind().execute(sa.select(events).where(events.c.event.in_(words)).order_by(events.c.ident)).all():
        name, _, reason = row.detail.partition(" ")
        op.execute(older.insert().values(
            device=row.device, at_s=row.at_s, event=words[row.event], name=name[:16], reason=reason[:120]))
    op.drop_table("device_event")
    _replace_totals(with_cohort=False)
    op.drop_index("device_by_version", "device")
    op.drop_column("device", "cohort")
    op.create_index("device_by_version", "device", ["model", "counter", "last_seen_s"])
    for table in ("label_order", "site", "cohort"):
        op.drop_table(table)


def _replace_totals(*, with_cohort: bool) -> None:
    """The cohort is part of the key, so the table is made anew; what was counted before belongs to no site and no tags."""
    op.rename_table("version_total", "version_total_old")
    op.create_table(
        "version_total",
        sa.Column("model", sa.String(16), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        *([sa.Column("cohort", sa.Integer(), nullable=False)] if with_cohort else []),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        # PostgreSQL keeps the old table's constraint name until that is dropped.
        sa.PrimaryKeyConstraint(
            "model", "counter", *(["cohort"] if with_cohort else []), "name",
            name="version_total_by_cohort" if with_cohort else "version_total_pkey"),
    )
    op.execute(
        "INSERT INTO version_total (model, counter, cohort, name, value) "
        "SELECT model, counter, 1, name, value FROM version_total_old"
        if with_cohort else
        "INSERT INTO version_total (model, counter, name, value) SELECT model, counter, name, SUM(value) FROM version_total_old "
        "GROUP BY model, counter, name")
    op.drop_table("version_total_old")
