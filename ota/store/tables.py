"""The tables of the update server, in SQLAlchemy Core. The migrations make them; `tests/ota/test_store.py` compares the two.

Times are Unix seconds; `last_seen_s` and the like have fractions. JSON columns hold what no query looks into.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()

# One row. Every writing transaction updates it first: that takes the write lock before anything is read, on SQLite and on
# PostgreSQL alike, so that what a transaction has read is still true when it commits.
lock = Table("write_lock", metadata, Column("ident", Integer, primary_key=True), Column("turn", BigInteger, nullable=False))

root = Table(
    "root", metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("object", String(64), nullable=False),   # name of the envelope in the archive
    Column("min_counter", Integer, nullable=False), # releases below it are withdrawn for good
    Column("added_s", Float, nullable=False),
)

release = Table(
    "release", metadata,
    Column("manifest", String(64), primary_key=True),   # also the envelope's name in the archive
    Column("release", String(20), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("models", JSON, nullable=False),
    Column("from_lo", Integer, nullable=False),
    Column("from_hi", Integer, nullable=False),
    Column("stone", Boolean, nullable=False),
    Column("mpy", Integer, nullable=False),
    Column("artifact", String(64), nullable=False),     # its name in the archive
    Column("size_bytes", Integer, nullable=False),
    Column("added_s", Float, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("image", String(64)),                        # its name in the archive; null: the release brings none
    Column("image_bytes", Integer),
)

delta = Table(
    "delta", metadata,
    Column("manifest", String(64), ForeignKey("release.manifest"), primary_key=True),
    Column("delta", String(64), primary_key=True, index=True),   # its name in the archive
    Column("target", String(8), nullable=False),        # of the release: artifact or image
    Column("base", String(64), nullable=False),         # name of the older one that it starts from
    Column("size_bytes", Integer, nullable=False),
)

device = Table(
    "device", metadata,
    Column("device", String(32), primary_key=True),     # CN of its certificate: first sight is race-free by this constraint
    Column("model", String(16), nullable=False),
    Column("release", String(20), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("slot", String(8), nullable=False),
    Column("trial", Boolean, nullable=False),
    Column("root", Integer, nullable=False),
    Column("direction_seq", Integer, nullable=False),   # of the last direction that was signed for it
    Column("first_seen_s", Float, nullable=False),
    Column("last_seen_s", Float, nullable=False),
    Column("metrics", JSON, nullable=False),            # as last reported
    Column("config", String(16), nullable=False, server_default=""),          # delivered configuration that it runs on
    Column("config_wanted", String(16), nullable=False, server_default=""),   # that it is meant to; "" is the line's
    Column("config_failed", String(16), nullable=False, server_default=""),   # that it gave up; not sent again
    Column("config_reason", String(120), nullable=False, server_default=""),
    Column("config_trial", Boolean, nullable=False, server_default=false()),
    Index("device_by_version", "model", "counter", "last_seen_s"),
)

version = Table(
    "version", metadata,
    Column("model", String(16), primary_key=True),
    Column("counter", Integer, primary_key=True),
    Column("release", String(20), nullable=False),
    Column("first_seen_s", Float, nullable=False),
    Column("last_seen_s", Float, nullable=False),
)

version_total = Table(
    "version_total", metadata,
    Column("model", String(16), primary_key=True),
    Column("counter", Integer, primary_key=True),
    Column("name", String(32), primary_key=True),       # a metric, or "checkins"
    Column("value", BigInteger, nullable=False),
)

rollout = Table(
    "rollout", metadata,
    Column("rollout", String(32), primary_key=True),
    Column("manifest", String(64), ForeignKey("release.manifest"), nullable=False),
    Column("policy", JSON, nullable=False),
    Column("state", String(8), nullable=False, index=True),
    Column("stage", Integer, nullable=False),
    Column("stage_since_s", Float, nullable=False),
    Column("excused_s", Float, nullable=False),
    Column("population", Integer, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("bucket_limit", Integer, nullable=False),
    Column("offered", Integer, nullable=False),
    Column("reason", String(400), nullable=False),
    Column("added_s", Float, nullable=False),
    Column("added_by", String(64), nullable=False),
)

stage = Table(
    "stage", metadata,
    Column("rollout", String(32), ForeignKey("rollout.rollout"), primary_key=True),
    Column("stage", Integer, primary_key=True),
    Column("opened_s", Float, nullable=False),
    Column("closed_s", Float),
    Column("baseline", JSON, nullable=False),           # exposures when it opened: {"stage": {...}, "rest": {...}}
    Column("summary", JSON),                            # counts and verdict when it closed
)

attempt = Table(
    "attempt", metadata,
    Column("rollout", String(32), ForeignKey("rollout.rollout"), primary_key=True),
    Column("device", String(32), primary_key=True),
    Column("manifest", String(64), nullable=False),
    Column("counter", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("first_s", Float, nullable=False),
    Column("lease_until_s", Float, nullable=False),
    Column("confirmed_s", Float, nullable=False),
    Column("settled_s", Float, nullable=False),
    Column("reason", String(200), nullable=False),
    Index("attempt_by_state", "rollout", "state", "confirmed_s"),
    Index("attempt_by_device", "device"),
)

failure = Table(
    "failure", metadata,
    Column("device", String(32), primary_key=True),
    Column("manifest", String(64), primary_key=True),
    Column("times", Integer, nullable=False),
    Column("last_s", Float, nullable=False),
    Column("reason", String(200), nullable=False),
    Index("failure_by_manifest", "manifest", "times"),
)

history = Table(
    "history", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("rollout", String(32), ForeignKey("rollout.rollout"), nullable=False, index=True),
    Column("at_s", Float, nullable=False),
    Column("event", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("by", String(64), nullable=False),           # an operator's name, or "gate"
    Column("reason", String(400), nullable=False),
)

config = Table(
    "config", metadata,
    Column("name", String(16), primary_key=True),       # the first 8 bytes of its SHA-256
    Column("body", Text, nullable=False),               # as it is sent: plain ASCII
    Column("added_s", Float, nullable=False),
    Column("added_by", String(64), nullable=False),
    Column("note", String(200), nullable=False),
)

config_order = Table(
    "config_order", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("name", String(16), ForeignKey("config.name"), nullable=False),
    Column("at_s", Float, nullable=False),
    Column("by", String(64), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("devices", Integer, nullable=False),         # how many it concerned
)

config_event = Table(
    "config_event", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("device", String(32), nullable=False),
    Column("at_s", Float, nullable=False),
    Column("event", String(8), nullable=False),         # of ota.rules.configs.events
    Column("name", String(16), nullable=False),
    Column("reason", String(120), nullable=False),
    Index("config_event_by_device", "device", "ident"),
)
