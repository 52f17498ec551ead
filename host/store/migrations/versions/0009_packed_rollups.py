"""Hours and minutes of rollups packed so that plain SQL reads both, in a few bytes; series have no second copy of their names."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

from host.store.buckets import HEAD, NUMBERS, Aggregates, write_buckets
from host.store.packing import unpack

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DAY_MS, HOUR_MS, MINUTE_MS, PART_MS = 86_400_000, 3_600_000, 60_000, 7_200_000
AT_ONCE = 500

# A number of `width` bits that begins at bit `at` of `body`, which is read as the 64 bits from its first byte on.
SQLITE_BITS = (
    "((SELECT SUM((instr('0123456789ABCDEF', substr(hex(substr({body}, (({at}) >> 3) + 1, 8)), nibble + 1, 1)) - 1) "
    "<< (60 - 4 * nibble)) FROM nibbles) >> (64 - (({at}) & 7) - ({width})) & ((1 << ({width})) - 1))")
POSTGRESQL_BITS = """CREATE FUNCTION tenfold_bits(body bytea, "at" int, width int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT ('x' || rpad(encode(substring(body FROM ("at" >> 3) + 1 FOR 8), 'hex'), 16, '0'))::bit(64)::bigint
         >> (64 - ("at" & 7) - width) & ((1::bigint << width) - 1)
$$"""

# {head}: a row of packed buckets with its head taken apart; DISTINCT, or OFFSET 0, so that it is done once and not for each bucket.
BUCKETS = """SELECT device, channel, unit, {time} AS time, count, (base + above) * factor / divisor AS low,
       (base + above + span) * factor / divisor AS high,
       (count * (base + above) + rest) * factor / divisor / count AS mean, quality
FROM (SELECT h.device, h.channel, h.unit, h.factor, h.divisor, h.base,
             h.start_s + {step_s} * (h.first + k.k + {missing}) AS at_s,
             h.least + {count} AS count, {low} AS above, {span} AS span, {rest} AS rest, h.worst + {quality} AS quality
      FROM ({head}) h {ks}) u"""

HEADS = """SELECT{once} s.device, s.channel, s.unit, s.factor, s.divisor, r.low AS base, r.quality AS worst,
  {day_s} + {offset_s} AS start_s, r.{column} AS body, {head} FROM {table} r JOIN series s ON s.id = r.series{where}"""
SQLITE_NUMBERS = """WITH RECURSIVE ks(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM ks WHERE k < 119),
  nibbles(nibble) AS (SELECT 0 UNION ALL SELECT nibble + 1 FROM nibbles WHERE nibble < 15) """

WHERE = """
 WHERE s.device = of_device AND s.channel = of_channel
   AND r.day BETWEEN floor(extract(epoch FROM since) / 86400) AND floor(extract(epoch FROM until) / 86400)"""
FUNCTION = """CREATE FUNCTION tenfold_rollup(of_device text, of_channel text, since timestamptz, until timestamptz, step text)
RETURNS TABLE ("time" timestamptz, value double precision, low double precision, high double precision, count bigint, quality int)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  IF step = 'minute' THEN
    RETURN QUERY SELECT b.time, b.mean, b.low, b.high, b.count, b.quality::int FROM ({minutes}) b
      WHERE b.time BETWEEN since AND until ORDER BY 1;
  ELSIF step = 'hour' THEN
    RETURN QUERY SELECT b.time, b.mean, b.low, b.high, b.count, b.quality::int FROM ({hours}) b
      WHERE b.time BETWEEN since AND until ORDER BY 1;
  ELSIF step = 'day' THEN
    RETURN QUERY SELECT to_timestamp(r.day::bigint * 86400), r.total * s.factor / s.divisor / r.count, r.low * s.factor / s.divisor,
      r.high * s.factor / s.divisor, r.count::bigint, r.quality::int
      FROM series s JOIN rollup r ON r.series = s.id
      WHERE s.device = of_device AND s.channel = of_channel AND r.day >= ceil(extract(epoch FROM since) / 86400)
        AND r.day <= floor(extract(epoch FROM until) / 86400) ORDER BY 1;
  ELSE
    RAISE EXCEPTION 'tenfold_rollup: step is %, expected minute, hour or day', step USING ERRCODE = 'invalid_parameter_value';
  END IF;
END $$"""
DAY = """CREATE VIEW rollup_day AS
SELECT s.device, s.channel, s.unit, {time} AS time, r.count, r.low * s.factor / s.divisor AS low,
       r.high * s.factor / s.divisor AS high, r.total * s.factor / s.divisor / r.count AS mean, r.quality
FROM rollup r JOIN series s ON s.id = r.series"""
KINDS = {"hour": ("rollup", "hours", 3600, "0"), "minute": ("rollup_part", "minutes", 60, "r.part * 7200")}


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("DROP FUNCTION tenfold_rollup")
        op.execute("DROP FUNCTION rollup_hour_of")
    for view in ("rollup_hour", "rollup_day"):
        op.execute(f"DROP VIEW {view}")
    _series(postgresql=postgresql)
    op.rename_table("rollup", "rollup_before")
    if postgresql:
        op.execute("ALTER INDEX rollup_pkey RENAME TO rollup_before_pkey")
    _tables()
    _move()
    op.drop_table("rollup_before")
    if postgresql:
        op.execute(POSTGRESQL_BITS)
        for table, column in (("rollup", "hours"), ("rollup_part", "minutes")):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")   # it is as small as it gets
    for kind in KINDS:
        op.execute(f"CREATE VIEW rollup_{kind} AS {_buckets(kind, postgresql=postgresql)}")
    op.execute(DAY.format(time="to_timestamp(r.day::bigint * 86400)" if postgresql else "CAST(r.day AS INTEGER) * 86400"))
    if postgresql:
        minutes, hours = (_buckets(kind, WHERE, postgresql=True) for kind in ("minute", "hour"))
        op.execute(FUNCTION.format(minutes=minutes, hours=hours))


def _series(*, postgresql: bool) -> None:
    """Maintenance is alone when it makes a series: the names need an index to be found by, and no second copy to be unique by."""
    if postgresql:
        op.execute("ALTER TABLE series DROP CONSTRAINT uq_series")
    else:
        with op.batch_alter_table("series") as batch:
            batch.drop_constraint("uq_series", type_="unique")
    op.create_index("ix_series_device", "series", ["device"])


def _tables() -> None:
    key = [sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in ("series", "day")]
    op.create_table(
        "rollup", *key,
        sa.Column("count", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("low", "high", "total")),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("hours", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_part", *(sa.Column(one.name, sa.Integer, primary_key=True, autoincrement=False) for one in key),
        sa.Column("part", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("low", sa.BigInteger, nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("minutes", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def _buckets(kind: str, where: str = "", *, postgresql: bool) -> str:
    """A query that takes the buckets of one kind apart."""
    table, column, step_s, offset_s = KINDS[kind]

    def bits(body: str, at: str, width: str) -> str:
        return f"tenfold_bits({body}, {at}, {width})" if postgresql else SQLITE_BITS.format(body=body, at=at, width=width)

    at, head = 0, []
    for name, width in HEAD:
        told = f"w_{name}" if name in NUMBERS else name
        head.append(f"{bits(f'r.{column}', str(at), str(width))}{'::int' if postgresql and name != 'least' else ''} AS {told}")
        at += width
    each, numbers, place = " + ".join(f"w_{name}" for name in NUMBERS), {}, str(at)
    for name in NUMBERS:
        numbers[name] = bits("h.body", f"{place} + k.k * ({each})", f"w_{name}")
        place += f" + w_{name}"
    rows = HEADS.format(
        once="" if postgresql else " DISTINCT", table=table, column=column, head=", ".join(head), offset_s=offset_s,
        day_s="r.day::bigint * 86400" if postgresql else "CAST(r.day AS INTEGER) * 86400",
        where=f"{where} OFFSET 0" if postgresql else where)
    told = BUCKETS.format(
        time="to_timestamp(at_s)" if postgresql else "at_s", step_s=step_s, head=rows, **numbers,
        ks="CROSS JOIN LATERAL generate_series(0, h.n - 1) k(k)" if postgresql else "JOIN ks k ON k.k < h.n")
    return told if postgresql else SQLITE_NUMBERS + told


def _move() -> None:
    """Every row of before; those of days whose readings are gone could not be summed again."""
    connection = op.get_bind()
    before, after, parts = (
        sa.Table(name, sa.MetaData(), autoload_with=connection) for name in ("rollup_before", "rollup", "rollup_part"))
    query, key = sa.select(before).order_by(before.c.series, before.c.day), (-1, 0)
    while rows := connection.execute(query.where(sa.tuple_(before.c.series, before.c.day) > key).limit(AT_ONCE)).all():
        key = (rows[-1].series, rows[-1].day)
        connection.execute(sa.insert(after), [_row(row) for row in rows])
        found = [one for row in rows if row.minutes is not None for one in _minutes(row)]
        if found:
            connection.execute(sa.insert(parts), found)


def _row(row: Any) -> dict[str, Any]:
    at, counts, lows, spans, rests, qualities = json.loads(row.hours)
    n = len(lows)

    def long(column: Any) -> Any:
        return np.full(n, column, np.int64) if isinstance(column, int) else np.asarray(column, np.int64)

    start, low, count = long(list(range(24)) if at is None else at), long(lows) + row.low, long(counts)
    hours = Aggregates(row.day * DAY_MS + start * HOUR_MS, count, low, low + long(spans), long(rests) + count * low,
                       long(row.quality if qualities is None else qualities))
    kept = {name: getattr(row, name) for name in ("series", "day", "count", "low", "high", "total", "quality")}
    return kept | {"hours": write_buckets(hours, row.day * DAY_MS, HOUR_MS, row.low, row.quality)}


def _minutes(row: Any) -> Iterator[dict[str, Any]]:
    columns, at = [], 0
    for _ in range(6):
        size = int.from_bytes(row.minutes[at : at + 3], "little")
        columns.append(unpack(bytes(row.minutes[at + 3 : at + 3 + size])))
        at += 3 + size
    minute, count, low, span, rest, quality = columns
    for part in np.unique(minute // 120).tolist():
        inside = minute // 120 == part
        start_ms = row.day * DAY_MS + minute * MINUTE_MS
        some = Aggregates(*(one[inside] for one in (start_ms, count, low, low + span, rest + count * low, quality)))
        base, worst = int(some.low.min()), int(some.quality.min())
        yield {"series": row.series, "day": row.day, "part": part, "low": base, "quality": worst,
               "minutes": write_buckets(some, row.day * DAY_MS + part * PART_MS, MINUTE_MS, base, worst)}


def downgrade() -> None:
    """Rollups as they were, empty: `tenfold telemetry rollup` sums what is stored; what was dropped is summed in a backup only."""
    before = runpy.run_path(str(Path(__file__).with_name("0005_day_columns.py")))
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("DROP FUNCTION tenfold_rollup")
    for view in ("rollup_minute", "rollup_hour", "rollup_day"):
        op.execute(f"DROP VIEW {view}")
    if postgresql:
        op.execute("DROP FUNCTION tenfold_bits")
    for name in ("rollup", "rollup_part"):
        op.drop_table(name)
    op.execute("DELETE FROM rolled_day")
    op.drop_index("ix_series_device", "series")
    with op.batch_alter_table("series") as batch:
        batch.create_unique_constraint("uq_series", ["device", "channel", "unit", "resolution"])
    before["rollup_table"]()
    before["views"]()
