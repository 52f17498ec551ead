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
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
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
    Column("retired_s", Float),                         # not offered from then on; null: it is not retired
)

release_event = Table(
    "release_event", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("manifest", String(64), ForeignKey("release.manifest"), nullable=False, index=True),
    Column("at_s", Float, nullable=False),
    Column("event", String(8), nullable=False),         # publish, retire; withdraw: by a root
    Column("by", String(64), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("stranded", JSON, nullable=False),           # versions that were left behind on purpose
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
    # Of `cohort`; no foreign key: SQLite cannot add one to a table that has rows. 1 is no site and no tags.
    Column("cohort", Integer, nullable=False, server_default="1"),
    Index("device_by_version", "model", "counter", "cohort", "last_seen_s"),
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
    Column("cohort", Integer, primary_key=True),
    Column("name", String(32), primary_key=True),       # a metric, "checkins", or of `ota.store.watch`
    Column("value", BigInteger, nullable=False),
)

watch = Table(   # no row while no monitor tells of links
    "watch", metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("until_s", BigInteger, nullable=False),
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
    Column("gathered", JSON),                           # what its comparisons know: {"at_s", "stage", "rest", "logs"}, or null
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

# A site and a set of tags that devices have in common: filters are applied to these few, not to devices.
cohort = Table(
    "cohort", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("site", String(32), nullable=False),
    Column("tags", String(400), nullable=False),        # sorted, with spaces between
    UniqueConstraint("site", "tags", name="cohort_labels"),
)

site = Table(
    "site", metadata,
    Column("site", String(32), primary_key=True),
    Column("zone", String(64), nullable=False),         # IANA name
)

label_order = Table(
    "label_order", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False),
    Column("by", String(64), nullable=False),
    Column("what", String(400), nullable=False),
    Column("devices", Integer, nullable=False),         # how many it concerned
)

# For ever, and never read by a check-in: codes and numbers, text only where a device or an operator said something.
device_event = Table(
    "device_event", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("device", String(32), nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("event", SmallInteger, nullable=False),      # ota.rules.events.Happened
    Column("counter", Integer, nullable=False),         # of the release that it is about, or that runs
    Column("detail", String(160), nullable=False),
    Index("device_event_by_device", "device", "ident"),
)

token = Table(
    "token", metadata,
    Column("ident", String(16), primary_key=True),
    Column("secret", String(64), nullable=False),       # SHA-256 of it, hex
    Column("role", String(8), nullable=False),
    Column("models", JSON, nullable=False),             # that it is for; none: all
    Column("note", String(200), nullable=False),
    Column("added_s", Float, nullable=False),
    Column("added_by", String(64), nullable=False),     # the person behind it
    Column("expires_s", Float, nullable=False),
    Column("used_s", Float),                            # to a minute
    Column("revoked_s", Float),
    Column("revoked_by", String(64)),
)

audit = Table(                                          # only ever added to; `rules.chain` has the hash
    "audit", metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at_s", Float, nullable=False),
    Column("who", String(64), nullable=False),
    Column("certificate", String(64), nullable=False),
    Column("role", String(8), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", String(200), nullable=False),
    Column("about", String(64), nullable=False),        # what the body names
    Column("outcome", String(64), nullable=False),      # "done" or an error's code
    Column("reason", String(400), nullable=False),
    Column("hash", String(64), nullable=False),
)

approval = Table(                                       # a start or a resume that waits for a second person
    "approval", metadata,
    Column("rollout", String(32), ForeignKey("rollout.rollout"), primary_key=True),
    Column("event", String(16), nullable=False),
    Column("asked_s", Float, nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("people", JSON, nullable=False),             # all names behind who asked
    Column("reason", String(400), nullable=False),
)

outbox = Table(                                         # what webhooks tell
    "outbox", metadata,
    Column("ident", Integer, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", JSON, nullable=False),
)

webhook = Table(                                        # how far each URL of the settings has got
    "webhook", metadata,
    Column("url", String(400), primary_key=True),
    Column("told", Integer, nullable=False),            # the last event that it has, or that was given up
    Column("tries", Integer, nullable=False),           # of the next one
    Column("due_s", Float, nullable=False),
    Column("given_up", Integer, nullable=False),
    Column("error", String(200), nullable=False),       # of the last try; "" after a success
)
