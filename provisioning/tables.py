"""The ledger's tables.

Every row but those of `attempts` belongs to one entry of the chain (`n`), and no such row is ever changed or deleted (on SQLite
triggers refuse it, migrations/versions). Times are Unix seconds, keys and hashes lower-case hex.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData()

chain = Table(
    "chain", metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),   # 1, 2, 3, ... without a gap
    Column("kind", String(16), nullable=False),                    # the table that holds the entry's row
    Column("hash", String(64), nullable=False),                    # over the hash before, n, kind and the row
)

lots = Table(
    "lots", metadata,
    Column("lot", String(32), primary_key=True),
    Column("n", Integer, ForeignKey("chain.n"), nullable=False, unique=True),
    Column("station_key", String(130), nullable=False),   # the only key that may sign this lot's births
    Column("quota", Integer, nullable=False),
    Column("expires_s", BigInteger, nullable=False),
    Column("at_s", BigInteger, nullable=False),
)

births = Table(
    "births", metadata,
    Column("device", String(29), primary_key=True),
    Column("n", Integer, ForeignKey("chain.n"), nullable=False, unique=True),
    Column("lot", String(32), ForeignKey("lots.lot"), nullable=False, index=True),
    Column("key", String(130), nullable=False),
    Column("raw", LargeBinary, nullable=False),           # the signed envelope (kind 4) as the station made it
    Column("at_s", BigInteger, nullable=False),
)

certificates = Table(
    "certificates", metadata,
    Column("serial", String(40), primary_key=True),
    Column("n", Integer, ForeignKey("chain.n"), nullable=False, unique=True),
    Column("device", String(29), ForeignKey("births.device"), nullable=False),
    Column("not_after_s", BigInteger, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("who", String(200)),                           # who had it issued and why; empty in entries of the first schema
    Column("why", String(200)),
    Index("ix_certificates_device", "device", "at_s"),
)

FOREIGN = "foreign"   # kind of a certificate of a device that is not ours

named = Table(   # certificates that are no device's
    "named", metadata,
    Column("serial", String(40), primary_key=True),
    Column("n", Integer, ForeignKey("chain.n"), nullable=False, unique=True),
    Column("name", String(64), nullable=False, index=True),
    Column("kind", String(16), nullable=False),           # "root", "issuing", "server", "client" or "foreign"
    Column("not_after_s", BigInteger, nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", String(200), nullable=False),
)

revocations = Table(
    "revocations", metadata,
    Column("n", Integer, ForeignKey("chain.n"), primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),           # "lot", "device" or "certificate"
    Column("subject", String(40), nullable=False, index=True),
    Column("reason", String(200), nullable=False),
    Column("at_s", BigInteger, nullable=False),
    Column("who", String(200)),
)

permits = Table(   # an operator's word for one device
    "permits", metadata,
    Column("n", Integer, ForeignKey("chain.n"), primary_key=True, autoincrement=False),
    Column("device", String(29), ForeignKey("births.device"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),           # "first": its first certificate though it lay too long; "rebirth"
    Column("until_s", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", String(200), nullable=False),
    Column("at_s", BigInteger, nullable=False),
)

rebirths = Table(   # a new key for a device that was born; the last one counts
    "rebirths", metadata,
    Column("n", Integer, ForeignKey("chain.n"), primary_key=True, autoincrement=False),
    Column("device", String(29), ForeignKey("births.device"), nullable=False, index=True),
    Column("permit", Integer, ForeignKey("permits.n"), nullable=False, unique=True),   # the word that it was done by, once
    Column("lot", String(32), ForeignKey("lots.lot"), nullable=False),
    Column("key", String(130), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("at_s", BigInteger, nullable=False),
)

attempts = Table(   # no entry of the ledger: rows change and go (attempts.py)
    "attempts", metadata,
    Column("device", String(29), primary_key=True),
    Column("code", String(32), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("first_s", BigInteger, nullable=False),
    Column("last_s", BigInteger, nullable=False, index=True),
    Column("peer", String(64), nullable=False),           # the address or station that it came from
)

CHAINED = (lots, births, certificates, named, revocations, permits, rebirths)
