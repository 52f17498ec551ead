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
    true,
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

# How far each device is stored without a gap, and exact sums, kept in the same transaction as the records they count. Who writes
# anything of a device locks its row here first.
progress = Table(
    "progress", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("heard_boot", BigInteger, nullable=False),
    Column("seen_boot", BigInteger, nullable=False, server_default="0"),
    Column("ahead", Boolean, nullable=False, server_default=true()),
    Column("records", BigInteger, nullable=False),
    Column("batches", BigInteger, nullable=False),
    Column("readings", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("conflicts", BigInteger, nullable=False),
    Column("lost_by_overflow", BigInteger, nullable=False),
    Column("schema_missing", Boolean, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False, server_default="0"),        # batches, see host.monitor.arrival
    Column("unclocked", BigInteger, nullable=False, server_default="0"),   # batches that came before their boot's clock was known
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
    Column("tried", BigInteger, nullable=False, server_default="0"),   # replays that it outlived
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
    Column("reason", Text, nullable=False, server_default=""),   # the device's word; a drop has none
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
)
Index("ix_series_device", series.c.device)

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

# A series' UTC day in sums, integers in steps of its resolution; `quality` is the worst clock's. `hours` is packed as buckets.py
# says, above the day's low and quality.
rollup = Table(
    "rollup", metadata,
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("hours", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Minutes of a series, two hours a row (`part` 0 to 11 of the day), packed above `low` and `quality`. There are none of days whose
# samples are so few that they themselves are the better answer.
rollup_part = Table(
    "rollup_part", metadata,
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    Column("low", BigInteger, nullable=False),
    Column("quality", SmallInteger, nullable=False),
    Column("minutes", LargeBinary, nullable=False),
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

# Devices that are not ours and send SenML: the host names their batches, this is the next name of each.
foreign_device = Table(
    "foreign_device", metadata,
    Column("device", Text, primary_key=True),
    Column("boot", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
)

# Their channels: a record's name and unit, and what they are called in schemas of ours (group by group, in the order of place).
foreign_channel = Table(
    "foreign_channel", metadata,
    Column("device", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("is_sum", Boolean, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("told_unit", Text, nullable=False),
    Column("group_no", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("decimals", Integer, nullable=False),
)

# Packs that came, by the first 16 bytes of their SHA-256, so that one that is sent again is stored once.
foreign_pack = Table(
    "foreign_pack", metadata,
    Column("device", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_foreign_pack_at", foreign_pack.c.at_ms)

# What alerts remember between two ticks (host/monitor/alerting): members that are not ok, and groups that were told of. Keys and
# labels are JSON objects with sorted keys.
alert_member = Table(
    "alert_member", metadata,
    Column("rule", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("grp", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("held_ms", BigInteger),
    Column("seen_ms", BigInteger, nullable=False),
    Column("value", Float(53)),
    Column("told", Boolean, nullable=False),
)
alert_group = Table(
    "alert_group", metadata,
    Column("rule", Text, primary_key=True),
    Column("grp", Text, primary_key=True),
    Column("severity", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("told_ms", BigInteger, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("change_ms", BigInteger),
    Column("flaps", Integer, nullable=False),
)
alert_mark = Table(
    "alert_mark", metadata,
    Column("rule", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("old_ms", BigInteger, nullable=False),
    Column("old", Float(53), nullable=False),
    Column("new_ms", BigInteger, nullable=False),
    Column("new", Float(53), nullable=False),
)

# One row, made by the first tick: which tick is committed. Two runners on one database notice each other by it.
alert_turn = Table(
    "alert_turn", metadata,
    Column("id", Integer, primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

alert_silence = Table(
    "alert_silence", metadata,
    Column("id", Integer, primary_key=True),
    Column("matchers", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

# Every transition, every notice and every delivery that was given up; `change` says which.
alert_history = Table(
    "alert_history", metadata,
    Column("id", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("grp", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("value", Float(53)),
    Column("members", Text, nullable=False),
    Column("note", Text, nullable=False),
)
Index("ix_alert_history_at", alert_history.c.at_ms)

# What is still to be sent: written with the tick that decided it, one delivery for each target, gone when it was taken.
alert_notice = Table(
    "alert_notice", metadata,
    Column("id", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("alert", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("body", Text, nullable=False),
    sqlite_autoincrement=True,   # receivers drop repeats by the id: it must never come again
)
alert_delivery = Table(
    "alert_delivery", metadata,
    Column("target", Text, primary_key=True),
    Column("notice", BigInteger, primary_key=True),
    Column("alert", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
)

# Anomalies: what each device's detectors know (host/monitor/anomaly/state.py), its forest (npz), and what was found. `body` of a
# finding has the columns' values too: they are there to be sorted and pruned by.
anomaly_state = Table(
    "anomaly_state", metadata,
    Column("device", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

anomaly_model = Table(
    "anomaly_model", metadata,
    Column("device", Text, primary_key=True),
    Column("trained_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

anomaly_finding = Table(
    "anomaly_finding", metadata,
    Column("device", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("since_ms", BigInteger, primary_key=True),
    Column("last_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    Column("body", Text, nullable=False),
)
Index("ix_anomaly_finding_last", anomaly_finding.c.last_ms)
