"""Day columns, the names that are in them, and rollups, with what SQL reads of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Hours of a day: six lists, [hours, counts, low - the day's low, high - low, total - count x low, quality]. A list of equal
# numbers is that number; all 24 hours, or no quality but the day's, is null.
SQLITE_HOUR = """CREATE VIEW rollup_hour AS
SELECT s.device, s.channel, s.unit,
       CAST(r.day AS INTEGER) * 86400 + 3600 * COALESCE(json_extract(r.hours, '$[0][' || e.key || ']'), e.key) AS time,
       {count} AS count, (r.low + {low}) * s.factor / s.divisor AS low, (r.low + {low} + {span}) * s.factor / s.divisor AS high,
       ({count} * (r.low + {low}) + {rest}) * s.factor / s.divisor / {count} AS mean,
       COALESCE(json_extract(r.hours, '$[5][' || e.key || ']'), r.quality) AS quality
FROM rollup r JOIN series s ON s.id = r.series, json_each(r.hours, '$[2]') e"""

POSTGRESQL_HOUR = """CREATE VIEW rollup_hour AS
SELECT s.device, s.channel, s.unit,
       to_timestamp(r.day::bigint * 86400 + 3600 * COALESCE((j.h->0->>k)::int, k)) AS time,
       n.count, (r.low + n.low) * s.factor / s.divisor AS low, (r.low + n.low + n.span) * s.factor / s.divisor AS high,
       (n.count * (r.low + n.low) + n.rest) * s.factor / s.divisor / n.count AS mean,
       COALESCE((j.h->5->>k)::int, r.quality) AS quality
FROM rollup r JOIN series s ON s.id = r.series
CROSS JOIN LATERAL (SELECT r.hours::jsonb AS h) j
CROSS JOIN LATERAL generate_series(0, jsonb_array_length(j.h->2) - 1) k
CROSS JOIN LATERAL (SELECT
    COALESCE(j.h->1->>k, j.h->>1)::bigint AS count, (j.h->2->>k)::bigint AS low,
    COALESCE(j.h->3->>k, j.h->>3)::bigint AS span, COALESCE(j.h->4->>k, j.h->>4)::bigint AS rest) n"""

DAY = """CREATE VIEW rollup_day AS
SELECT s.device, s.channel, s.unit, {time} AS time, r.count, r.low * s.factor / s.divisor AS low,
       r.high * s.factor / s.divisor AS high, r.total * s.factor / s.divisor / r.count AS mean, r.quality
FROM rollup r JOIN series s ON s.id = r.series"""

FUNCTION = """CREATE FUNCTION tenfold_rollup(of_device text, of_channel text, since timestamptz, until timestamptz, step text)
RETURNS TABLE ("time" timestamptz, value double precision, low double precision, high double precision, count bigint, quality int)
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF step = 'hour' THEN
    RETURN QUERY SELECT h.time, h.mean, h.low, h.high, h.count, h.quality FROM rollup_hour_of(of_device, of_channel, since, until) h
      ORDER BY h.time;
  ELSIF step = 'day' THEN
    RETURN QUERY SELECT to_timestamp(r.day::bigint * 86400), r.total * s.factor / s.divisor / r.count, r.low * s.factor / s.divisor,
      r.high * s.factor / s.divisor, r.count::bigint, r.quality::int
      FROM series s JOIN rollup r ON r.series = s.id
      WHERE s.device = of_device AND s.channel = of_channel AND r.day >= ceil(extract(epoch FROM since) / 86400)
        AND r.day <= floor(extract(epoch FROM until) / 86400) ORDER BY 1;
  ELSE
    RAISE EXCEPTION 'tenfold_rollup: step is %, expected hour or day', step USING ERRCODE = 'invalid_parameter_value';
  END IF;
END $$"""

# As the view, but only the window's days are unfolded.
FUNCTION_HOUR = """CREATE FUNCTION rollup_hour_of(of_device text, of_channel text, since timestamptz, until timestamptz)
RETURNS TABLE ("time" timestamptz, mean double precision, low double precision, high double precision, count bigint, quality int)
LANGUAGE sql STABLE AS $$
  SELECT u.time, (u.count * (u.day_low + u.low) + u.rest) * u.factor / u.divisor / u.count,
         (u.day_low + u.low) * u.factor / u.divisor, (u.day_low + u.low + u.span) * u.factor / u.divisor, u.count, u.quality
  FROM (
    SELECT to_timestamp(r.day::bigint * 86400 + 3600 * COALESCE((j.h->0->>k)::int, k)) AS time, r.low AS day_low,
           s.factor, s.divisor,
           COALESCE(j.h->1->>k, j.h->>1)::bigint AS count, (j.h->2->>k)::bigint AS low,
           COALESCE(j.h->3->>k, j.h->>3)::bigint AS span, COALESCE(j.h->4->>k, j.h->>4)::bigint AS rest,
           COALESCE((j.h->5->>k)::int, r.quality::int) AS quality
    FROM series s JOIN rollup r ON r.series = s.id
    CROSS JOIN LATERAL (SELECT r.hours::jsonb AS h) j
    CROSS JOIN LATERAL generate_series(0, jsonb_array_length(j.h->2) - 1) k
    WHERE s.device = of_device AND s.channel = of_channel
      AND r.day BETWEEN floor(extract(epoch FROM since) / 86400) AND floor(extract(epoch FROM until) / 86400)) u
  WHERE u.time BETWEEN since AND until
$$"""


def upgrade() -> None:
    _tables()
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE day_column (part text NOT NULL, series integer NOT NULL, day integer NOT NULL, version bigint NOT NULL, "
            "track integer NOT NULL, body bytea NOT NULL) PARTITION BY LIST (part)")
        op.execute("ALTER TABLE day_column ALTER COLUMN body SET STORAGE EXTERNAL")   # it is as small as it gets
    views()


def views() -> None:
    """What SQL reads of rollups."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_HOUR)
        op.execute(DAY.format(time="to_timestamp(r.day::bigint * 86400)"))
        op.execute(FUNCTION_HOUR)
        op.execute(FUNCTION)
    else:
        at = {name: f"COALESCE(json_extract(r.hours, '$[{n}][' || e.key || ']'), json_extract(r.hours, '$[{n}]'))"
              for n, name in ((1, "count"), (3, "span"), (4, "rest"))}
        op.execute(SQLITE_HOUR.format(low="e.value", **at))
        op.execute(DAY.format(time="CAST(r.day AS INTEGER) * 86400"))


def _tables() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("device", "channel", "unit", "resolution")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("factor", "divisor")),
        sa.UniqueConstraint("device", "channel", "unit", "resolution", name="uq_series"),
    )
    op.create_table(
        "packed_day",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("version", "first_ms", "last_ms")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stale_day",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True),
        sa.Column("first_seq", sa.BigInteger, primary_key=True),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("readings", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("tails", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    rollup_table()
    op.create_table(
        "rolled_day",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("starts", sa.BigInteger, nullable=False),
        sa.Column("schemas", sa.Integer, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def rollup_table() -> None:
    """Sums of days."""
    op.create_table(
        "rollup",
        sa.Column("series", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("low", "high", "total")),
        sa.Column("quality", sa.SmallInteger, nullable=False),
        sa.Column("hours", sa.Text, nullable=False),
        sa.Column("minutes", sa.LargeBinary),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION tenfold_rollup")
        op.execute("DROP FUNCTION rollup_hour_of")
        op.execute("DROP TABLE day_column")
    for view in ("rollup_hour", "rollup_day"):
        op.execute(f"DROP VIEW {view}")
    for name in ("rolled_day", "rollup", "run", "stale_day", "packed_day", "series"):
        op.drop_table(name)
