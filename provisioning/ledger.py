"""What the factory and the CA have done: lots, births, certificates and revocations, append-only and hash-chained.

Keeps rows and enforces that a birth is signed by its lot's station and admitted by rules/quota.py, in one transaction. Issues
nothing and decides no certificate (enrol/service.py). The chain shows any change made behind this module's back; that entries
were cut off at its end shows only against a head (`Ledger.head`) that was noted elsewhere.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, func, insert, select, text

from host.db import migrate
from node.errors import NodeError
from node.wire import identity, signed
from provisioning.errors import ProvisioningError
from provisioning.rules.quota import ACCEPTED, Lot, Reason, judge_birth
from provisioning.rules.validity import ISSUE_WINDOW_S, History
from provisioning.tables import CHAINED, births, certificates, chain, lots, revocations

GENESIS = "0" * 64   # the hash before the first entry
_Row = Mapping[str, Any]
_NO_ROW: tuple[str, _Row] = ("", {})


class LedgerError(Exception):
    """The ledger's rows and its chain do not agree: somebody changed them. The message names the entry."""


@dataclass(frozen=True)
class Birth:
    """A birth record as the ledger holds it; `raw` is the signed envelope, `key` the public key in hex."""

    device: str
    lot: str
    key: str
    raw: bytes
    at_s: int


@dataclass(frozen=True)
class Issued:
    """A certificate that was issued."""

    serial: str
    device: str
    not_after_s: int
    at_s: int


class Ledger:
    """The ledger in one database; methods may be called from several threads and processes at once."""

    def __init__(self, engine: Engine) -> None:
        """Open the ledger and bring its schema up to date."""
        migrate(engine, "provisioning")
        self._engine = engine

    def open_lot(self, lot: str, station_key: str, quota: int, expires_s: int, now_s: int) -> None:
        """Open a production order; the same order again is accepted.

        Args:
            station_key: public key (65 bytes, hex) of the station that will sign its births.

        Raises:
            ProvisioningError: "lot.exists" with other values.
        """
        with self._writing() as connection:
            known = _lot(connection, lot)
            if known is None:
                row = {"lot": lot, "station_key": station_key, "quota": quota, "expires_s": expires_s, "at_s": now_s}
                _append(connection, lots, row)
            elif (known.station_key, known.quota, known.expires_s) != (station_key, quota, expires_s):
                got = f"quota {quota}, end {expires_s}, key {station_key[:16]}…"
                raise ProvisioningError("lot.exists", f"lot {lot}: got {got}, expected its first values or a new name")

    def lot(self, lot: str) -> Lot | None:
        """Give a lot, with its revocation; None when it was never opened."""
        with self._engine.connect() as connection:
            return _lot(connection, lot)

    def append_birth(self, lot: str, raw: bytes, now_s: int) -> tuple[Birth, Reason]:
        """Append a birth record; the same device with the same key again is accepted and appends nothing.

        Args:
            lot: the lot whose station must have signed `raw`.
            raw: signed envelope of kind 4.

        Returns:
            The birth as the ledger holds it (the first one), and Reason.NEW or Reason.KNOWN.

        Raises:
            ProvisioningError: "birth.lot_unknown", "birth.signature", "birth.lot" or a Reason's code.
        """
        order = self.lot(lot)
        if order is None:
            raise ProvisioningError("birth.lot_unknown", f"lot: got {lot!r}, expected one that was opened")
        record = _verified_birth(order, raw)   # before the write lock: it costs milliseconds
        with self._writing() as connection:
            order = _lot(connection, lot) or order
            known = _birth(connection, record["device"])
            count = _count(connection, lot)
            reason = judge_birth(order, count, known.key if known else None, record["key"], now_s)
            if reason not in ACCEPTED:
                raise ProvisioningError(reason.value, f"device {record['device']}, lot {lot}: {count} of {order.quota} births")
            if known is not None:
                return known, reason
            row = {"device": record["device"], "lot": lot, "key": record["key"], "raw": raw, "at_s": now_s}
            _append(connection, births, row)
            return Birth(**row), reason

    def birth(self, device: str) -> Birth | None:
        """Give a device's birth record; None when it has none."""
        with self._engine.connect() as connection:
            return _birth(connection, device)

    def count(self, lot: str) -> int:
        """Tell how many births a lot holds."""
        with self._engine.connect() as connection:
            return _count(connection, lot)

    def devices(self) -> list[str]:
        """List the devices that may connect: born, and neither they nor their lots revoked. For the broker's users."""
        gone = select(revocations.c.subject)
        query = select(births.c.device).where(
            births.c.device.not_in(gone.where(revocations.c.kind == "device")),
            births.c.lot.not_in(gone.where(revocations.c.kind == "lot")),
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(births.c.device)).scalars())

    def record_certificate(self, serial: str, device: str, not_after_s: int, now_s: int) -> None:
        """Record an issued certificate; called before the device gets it."""
        with self._writing() as connection:
            row = {"serial": serial, "device": device, "not_after_s": not_after_s, "at_s": now_s}
            _append(connection, certificates, row)

    def certificates(self, device: str) -> list[Issued]:
        """List a device's certificates, the oldest first."""
        query = select(certificates).where(certificates.c.device == device).order_by(certificates.c.n)
        with self._engine.connect() as connection:
            return [Issued(row["serial"], device, row["not_after_s"], row["at_s"])
                    for row in connection.execute(query).mappings()]

    def is_valid_certificate(self, serial: str, device: str) -> bool:
        """Tell whether this certificate was issued to this device and not revoked; its dates are not looked at."""
        issued = select(certificates.c.n).where(certificates.c.serial == serial, certificates.c.device == device)
        with self._engine.connect() as connection:
            return connection.execute(issued).first() is not None and not _revoked(connection, "certificate", serial)

    def history(self, device: str, now_s: int) -> History:
        """Give what rules/validity.py needs to know of a device's certificates."""
        count = select(func.count()).select_from(certificates).where(certificates.c.device == device)
        with self._engine.connect() as connection:
            recent = connection.execute(count.where(certificates.c.at_s > now_s - ISSUE_WINDOW_S)).scalar_one()
            ever = recent > 0 or connection.execute(count).scalar_one() > 0
            return History(recent, ever, _revoked(connection, "device", device))

    def revoke(self, kind: str, subject: str, reason: str, now_s: int) -> None:
        """Revoke a lot, its station (no more births), a device or a certificate (by serial), for ever; again changes nothing.

        Raises:
            ProvisioningError: "revoke.kind" or "revoke.unknown".
        """
        key = {"lot": lots.c.lot, "station": lots.c.lot, "device": births.c.device, "certificate": certificates.c.serial}.get(kind)
        if key is None:
            raise ProvisioningError("revoke.kind", f"got {kind!r}, expected lot, station, device or certificate")
        with self._writing() as connection:
            if connection.execute(select(key).where(key == subject)).first() is None:
                raise ProvisioningError("revoke.unknown", f"{kind}: got {subject!r}, expected one that the ledger holds")
            if not _revoked(connection, kind, subject):
                row = {"kind": kind, "subject": subject, "reason": reason[:200], "at_s": now_s}
                _append(connection, revocations, row)

    def head(self) -> tuple[int, str]:
        """Give number and hash of the last entry; noted elsewhere (a print-out), it shows a ledger that was cut short."""
        with self._engine.connect() as connection:
            return _head(connection)

    def verify(self) -> int:
        """Recompute the chain over all rows.

        Returns:
            The number of entries.

        Raises:
            LedgerError: the first entry that does not fit.
        """
        with self._engine.connect() as connection:
            rows = heapq.merge(*(_rows(connection, table) for table in CHAINED), key=lambda item: int(item[1]["n"]))
            before, n = GENESIS, 0
            for n, entry in enumerate(connection.execute(select(chain).order_by(chain.c.n)).mappings(), start=1):
                kind, row = next(rows, _NO_ROW)
                if not entry["n"] == row.get("n") == n or entry["hash"] != _digest(before, n, kind, row):
                    raise LedgerError(f"entry {n} ({entry['kind']}): the row was changed, removed or put in")
                before = entry["hash"]
            extra = next(rows, None)
            if extra is not None:
                raise LedgerError(f"entry {extra[1]['n']} ({extra[0]}): the row has no entry in the chain")
        return n

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock from its start: the chain has one end."""
        with self._engine.begin() as connection:
            sqlite = self._engine.dialect.name == "sqlite"
            connection.execute(text("BEGIN IMMEDIATE" if sqlite else "LOCK TABLE chain IN EXCLUSIVE MODE"))
            yield connection


def _verified_birth(order: Lot, raw: bytes) -> dict[str, Any]:
    try:
        record = identity.parse_birth(signed.verify(raw, signed.BIRTH, [bytes.fromhex(order.station_key)], 1))
    except NodeError as error:
        raise ProvisioningError("birth.signature", f"lot {order.lot}: {error}") from None
    if record["lot"] != order.lot:
        raise ProvisioningError("birth.lot", f"got a record for lot {record['lot']!r}, expected {order.lot!r}")
    return record


def _lot(connection: Connection, lot: str) -> Lot | None:
    row = connection.execute(select(lots).where(lots.c.lot == lot)).mappings().first()
    if row is None:
        return None
    return Lot(lot, row["station_key"], row["quota"], row["expires_s"], _revoked(connection, "lot", lot),
               _revoked(connection, "station", lot))


def _count(connection: Connection, lot: str) -> int:
    return connection.execute(select(func.count()).select_from(births).where(births.c.lot == lot)).scalar_one()


def _birth(connection: Connection, device: str) -> Birth | None:
    row = connection.execute(select(births).where(births.c.device == device)).mappings().first()
    return None if row is None else Birth(row["device"], row["lot"], row["key"], row["raw"], row["at_s"])


def _revoked(connection: Connection, kind: str, subject: str) -> bool:
    query: Select[Any] = select(revocations.c.n).where(revocations.c.kind == kind, revocations.c.subject == subject)
    return connection.execute(query).first() is not None


def _head(connection: Connection) -> tuple[int, str]:
    row = connection.execute(select(chain.c.n, chain.c.hash).order_by(chain.c.n.desc()).limit(1)).first()
    return (0, GENESIS) if row is None else (row.n, row.hash)


def _append(connection: Connection, table: Table, row: _Row) -> None:
    last, before = _head(connection)
    chained = {**row, "n": last + 1}
    digest = _digest(before, last + 1, table.name, chained)
    connection.execute(insert(chain).values(n=last + 1, kind=table.name, hash=digest))
    connection.execute(insert(table).values(chained))


def _digest(before: str, n: int, kind: str, row: _Row) -> str:
    plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()}
    text_form = json.dumps([before, n, kind, plain], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text_form.encode()).hexdigest()


def _rows(connection: Connection, table: Table) -> Iterator[tuple[str, _Row]]:
    for row in connection.execute(select(table).order_by(table.c.n)).mappings():
        yield table.name, dict(row)
