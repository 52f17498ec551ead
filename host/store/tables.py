"""The telemetry database's tables, as the current release sees them.

Decides names, keys and indexes only. How they came to be is in migrations/; what goes in is decided by host.ingest, what is
read out by queries.py. All times are Unix milliseconds (`_ms`) or seconds (`_s`), never local time.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

KIND_BATCH = 1    # payload is a batch of readings
KIND_SCHEMA = 2   # payload is a schema record; it takes a place in the device's sequence and holds no readings

metadata = MetaData()

# One row per record, payload exactly as received. Clustered by device (SQLite: no row id), so that a device's history lies
# together on disk. `start_ms` is the wall time of the first sample, null until the boot's clock is known.
batch = Table(
    "batch", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("schema", LargeBinary, nullable=False),
    Column("n_readings", Integer, nullable=False),
    Column("uptime_ms", BigInteger, nullable=False),
    Column("epoch_ms", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("start_ms", BigInteger),
    Column("received_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
_placed = text("kind = 1 AND start_ms IS NOT NULL")
_unplaced = text("kind = 1 AND start_ms IS NULL")
Index("ix_batch_start", batch.c.device, batch.c.start_ms, sqlite_where=_placed, postgresql_where=_placed)
Index("ix_batch_unplaced", batch.c.device, batch.c.boot, sqlite_where=_unplaced, postgresql_where=_unplaced)

# Keyed by device too: the hash has 32 bits, and no device may change how another's readings are read. (boot, seq): where it was
# first told in the newest boot that told it; those of a device's newest such boot are what it sends now.
schema = Table(
    "schema", metadata,
    Column("device", Text, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

# The best clock of each boot: Unix time of uptime 0, from the most trusted source, earliest in the boot.
boots = Table(
    "boots", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, primary_key=True),
    Column("epoch_ms", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("uptime_ms", BigInteger, nullable=False),
)

# How far each device is stored without a gap, and exact sums, kept in the same transaction as the records they count.
progress = Table(
    "progress", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("heard_boot", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("batches", BigInteger, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    Column("lost_by_overflow", BigInteger, nullable=False),
    Column("schema_missing", Boolean, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)

# What could not be stored under its name; the same bytes from the same topic take one row however often they come.
quarantine = Table(
    "quarantine", metadata,
    Column("id", Integer, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("topic", "digest", name="uq_quarantine_topic_digest"),
)
Index("ix_quarantine_last", quarantine.c.last_ms)

# Sums that outlive the rows they count (quarantined rows are pruned, their number is not).
tally = Table(
    "tally", metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

presence = Table(
    "presence", metadata,
    Column("device", Text, primary_key=True),
    Column("online", Boolean, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("release", Text, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),
)

link_event = Table(
    "link_event", metadata,
    Column("id", Integer, primary_key=True),
    Column("device", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("release", Text, nullable=False),
)
Index("ix_link_event_at", link_event.c.at_ms)
Index("ix_link_event_device", link_event.c.device, link_event.c.id)

# What was stored in each 10 seconds, for rates without a scan.
traffic = Table(
    "traffic", metadata,
    Column("at_s", BigInteger, primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

# A channel of a device with one unit and one resolution: what day columns and rollups are kept under. `factor` and `divisor` take
# its integers to its unit, for readers in SQL. The series without a channel's name holds the times of a device's tracks.
series = Table(
    "series", metadata,
    Column("id", Integer, primary_key=True),
    Column("device", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("resolution", Text, nullable=False),
    Column("factor", Float, nullable=False),
    Column("divisor", Float, nullable=False),
    UniqueConstraint("device", "channel", "unit", "resolution", name="uq_series"),
)

# A device's UTC days that have day columns, the version of them that counts, and from when to when their samples are.
packed_day = Table(
    "packed_day", metadata,
    Column("device", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Versions of days in the parts that nobody reads: written and not yet counted, or replaced. Removed from `at_ms` + a while on.
stale_day = Table(
    "stale_day", metadata,
    Column("device", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

# Names of batches whose samples are in day columns, in unbroken runs: so a late repetition is found stored. `tails` has the last
# four bytes of each payload (its CRC-32) in order of seq; empty once the day was dropped. Sums keep progress provable.
run = Table(
    "run", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, primary_key=True),
    Column("first_seq", BigInteger, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("tails", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# A series' UTC day in sums, integers in steps of its resolution; `quality` is the worst clock's. `hours` is JSON (rollup.py),
# `minutes` is packed, and null where samples are so few that they themselves are the better answer.
rollup = Table(
    "rollup", metadata,
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("hours", Text, nullable=False),
    Column("minutes", LargeBinary),
    sqlite_with_rowid=False,
)

# What a device's day was made of when it was rolled up last; other than now means that it is to be rolled up again.
rolled_day = Table(
    "rolled_day", metadata,
    Column("device", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("batches", BigInteger, nullable=False),
    Column("starts", BigInteger, nullable=False),
    Column("schemas", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
