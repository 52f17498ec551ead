"""What the factory and the CA have done: lots, births, certificates and revocations, append-only and hash-chained.

Keeps rows and enforces that a birth is signed by its lot's station and admitted by rules/quota.py, in one transaction. Issues
nothing and decides no certificate (enrol/service.py). The chain shows any change made behind this module's back; that entries
were cut off at its end shows only against a head (`Ledger.head`) that was noted elsewhere. How rows are read is rows.py's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text, union_all

from host.db import migrate
from node.errors import NodeError
from node.wire import identity, signed
from provisioning import chain, rows
from provisioning.errors import ProvisioningError
from provisioning.rows import Birth, Issued, Revoked
from provisioning.rules.quota import ACCEPTED, Known, Lot, Reason, judge_birth
from provisioning.standing import Standing, keys, standing
from provisioning.tables import CHAINED, FOREIGN, births, certificates, lots, named, permits, rebirths, revocations

MAX_REASON = 200   # characters of a who, a why or a reason that are kept


@dataclass(frozen=True)
class NewCertificate:
    """A device's certificate that is to be recorded.

    Attributes:
        key: the public key (hex) that it is for; None asks nothing.
    """

    serial: str
    device: str
    not_after_s: int
    at_s: int
    who: str
    why: str
    key: str | None = None


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
            known = rows.lot(connection, lot)
            if known is None:
                row = {"lot": lot, "station_key": station_key, "quota": quota, "expires_s": expires_s, "at_s": now_s}
                chain.append(connection, lots, row)
            elif (known.station_key, known.quota, known.expires_s) != (station_key, quota, expires_s):
                got = f"quota {quota}, end {expires_s}, key {station_key[:16]}…"
                raise ProvisioningError("lot.exists", f"lot {lot}: got {got}, expected its first values or a new name")

    def lot(self, lot: str) -> Lot | None:
        """Give a lot, with its revocation; None when it was never opened."""
        with self._engine.connect() as connection:
            return rows.lot(connection, lot)

    def lots_of(self, station_key: str) -> list[Lot]:
        """List the lots that were opened for a station's key, its allowances' too, the oldest first."""
        with self._engine.connect() as connection:
            return rows.lots_of(connection, station_key)

    def append_birth(self, lot: str, raw: bytes, now_s: int) -> tuple[Birth, Reason]:
        """Append a birth record; the same device with the same key again is accepted and appends nothing.

        Another key of a device that was born takes an operator's word (`permit`), which is used up by it; the certificates of the
        key before are revoked with it.

        Args:
            lot: the lot whose station must have signed `raw`.
            raw: signed envelope of kind 4.

        Returns:
            The birth as the ledger holds it, and Reason.NEW, Reason.KNOWN or Reason.REBORN.

        Raises:
            ProvisioningError: "birth.lot_unknown", "birth.signature", "birth.lot" or a Reason's code.
        """
        order = self.lot(lot)
        if order is None:
            raise ProvisioningError("birth.lot_unknown", f"lot: got {lot!r}, expected one that was opened")
        record = verified_birth(order, raw)   # before the write lock: it costs milliseconds
        with self._writing() as connection:
            order = rows.lot(connection, lot) or order
            device, known = record["device"], rows.birth(connection, record["device"])
            permit = rows.permit(connection, device, "rebirth", now_s)
            count = rows.count(connection, lot)
            before = None if known is None else Known(
                known.key, permit is not None,
                rows.is_revoked(connection, "device", device) or rows.is_revoked(connection, "lot", known.lot))
            reason = judge_birth(order, count, before, record["key"], now_s)
            if reason not in ACCEPTED:
                raise ProvisioningError(reason.value, f"device {device}, lot {lot}: {count} of {order.quota} births")
            if known is not None and reason is Reason.KNOWN:
                return known, reason
            row = {"device": device, "lot": lot, "key": record["key"], "raw": raw, "at_s": now_s}
            if permit is None:
                chain.append(connection, births, row)
            else:
                chain.append(connection, rebirths, {**row, "permit": permit["n"]})
                for one in list(rows.issued(connection, certificates.c.device == device, "device")):
                    if not one.revoked and one.not_after_s > now_s:
                        gone = {"kind": "certificate", "subject": one.serial, "reason": "reborn", "at_s": now_s}
                        chain.append(connection, revocations, {**gone, "who": permit["who"]})
            return Birth(**row), reason

    def birth(self, device: str) -> Birth | None:
        """Give a device's birth record, the last one; None when it has none."""
        with self._engine.connect() as connection:
            return rows.birth(connection, device)

    def count(self, lot: str) -> int:
        """Tell how many births a lot holds."""
        with self._engine.connect() as connection:
            return rows.count(connection, lot)

    def devices(self) -> list[str]:
        """List the devices that may connect: born, and neither they nor their lots revoked. For the broker's users."""
        gone, born = select(revocations.c.subject), rows.born()
        query = select(born.c.device).where(
            born.c.device.not_in(gone.where(revocations.c.kind == "device")),
            born.c.lot.not_in(gone.where(revocations.c.kind == "lot")),
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(born.c.device)).scalars())

    def foreign_devices(self, now_s: int) -> list[str]:
        """List the devices that are not ours and hold a certificate, neither revoked nor past its end. For the broker's users.

        An id that was born on the line is ours, whatever it was before.
        """
        gone = select(revocations.c.subject).where(revocations.c.kind == "certificate")
        query = select(named.c.name).distinct().where(
            named.c.kind == FOREIGN, named.c.not_after_s > now_s, named.c.serial.not_in(gone),
            named.c.name.not_in(select(births.c.device)))
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(named.c.name)).scalars())

    def record_certificate(
        self, serial: str, device: str, not_after_s: int, now_s: int, *, who: str, why: str, key: str | None = None,
    ) -> None:
        """Record a device's certificate; called before the device gets it. Arguments as NewCertificate's.

        Raises:
            ProvisioningError: "enrol.other_key": the device was reborn with another one since it was judged.
        """
        given = NewCertificate(serial, device, not_after_s, now_s, who, why, key)
        if self.record_certificates([given]):
            raise other_key(device)

    def record_certificates(self, given: Sequence[NewCertificate]) -> list[NewCertificate]:
        """Record several devices' certificates, with one commit; called before anybody gets one.

        Returns:
            Those that are not recorded, since the device was reborn with another key since it was judged.
        """
        with self._writing() as connection:
            now = keys(connection, {one.device for one in given})
            refused = [one for one in given if one.key is not None and one.key != now.get(one.device)]
            entered = [{"serial": one.serial, "device": one.device, "not_after_s": one.not_after_s, "at_s": one.at_s,
                        **_told(one.who, one.why)} for one in given if one not in refused]
            if entered:
                chain.append_all(connection, certificates, entered)
        return refused

    def record_named(self, serial: str, name: str, kind: str, not_after_s: int, now_s: int, *, who: str, why: str) -> None:
        """Record a certificate of the CA itself, a service, a station or an operator; called before anybody gets it."""
        with self._writing() as connection:
            row = {"serial": serial, "name": name, "kind": kind, "not_after_s": not_after_s, "at_s": now_s}
            chain.append(connection, named, {**row, **_told(who, why)})

    def certificates(self, name: str) -> list[Issued]:
        """List the certificates of a device or of a name, the oldest first."""
        with self._engine.connect() as connection:
            return [*rows.issued(connection, certificates.c.device == name, "device"),
                    *rows.issued(connection, named.c.name == name)]

    def named(self) -> list[Issued]:
        """List all certificates that are no device's, the oldest first."""
        with self._engine.connect() as connection:
            return list(rows.issued(connection, named.c.n > 0))

    def revoked(self, now_s: int) -> list[Revoked]:
        """List the certificates that are revoked and have not ended: by themselves, with their device, or with its lot."""
        by_itself = [select(table.c.serial, revocations.c.at_s).join(revocations, revocations.c.subject == table.c.serial).where(
            revocations.c.kind == "certificate", table.c.not_after_s > now_s) for table in (certificates, named)]
        of_device = select(certificates.c.serial, revocations.c.at_s).join(
            revocations, revocations.c.subject == certificates.c.device).where(
            revocations.c.kind == "device", certificates.c.not_after_s > now_s)
        born = rows.born()
        of_lot = select(certificates.c.serial, revocations.c.at_s).join(
            born, born.c.device == certificates.c.device).join(revocations, revocations.c.subject == born.c.lot).where(
            revocations.c.kind == "lot", certificates.c.not_after_s > now_s)
        every = union_all(*by_itself, of_device, of_lot).subquery()
        query = select(every.c.serial, func.min(every.c.at_s)).group_by(every.c.serial).order_by(every.c.serial)
        with self._engine.connect() as connection:
            return [Revoked(serial, at_s) for serial, at_s in connection.execute(query)]

    def changes(self) -> tuple[int, int]:
        """Tell the last entries about who may connect and about revocations: when they differ, what brokers know is old."""
        foreign = select(func.max(named.c.n)).where(named.c.kind == FOREIGN)
        with self._engine.connect() as connection:
            born, again, gone, other = (
                connection.execute(query).scalar_one() or 0
                for query in (*(select(func.max(table.c.n)) for table in (births, rebirths, revocations)), foreign))
            return max(born, again, other), gone

    def is_valid_certificate(self, serial: str, device: str) -> bool:
        """Tell whether this certificate was issued to this device and not revoked; its dates are not looked at."""
        issued = select(certificates.c.n).where(certificates.c.serial == serial, certificates.c.device == device)
        with self._engine.connect() as connection:
            return connection.execute(issued).first() is not None and not rows.is_revoked(connection, "certificate", serial)

    def standing(self, device: str, now_s: int) -> Standing | None:
        """Give what rules/validity.py needs to know of a device; None when it has no birth record."""
        with self._engine.connect() as connection:
            return standing(connection, device, now_s)

    def permit(self, device: str, kind: str, until_s: int, now_s: int, *, who: str, why: str) -> None:
        """Enter an operator's word for a device.

        Args:
            kind: "first": it may have its first certificate though it lay too long; "rebirth": once, it may be born with
                another key.

        Raises:
            ProvisioningError: "enrol.no_birth", "birth.revoked".
        """
        with self._writing() as connection:
            if rows.birth(connection, device) is None:
                raise ProvisioningError("enrol.no_birth", f"device {device}: no birth record")
            if rows.is_revoked(connection, "device", device):
                raise ProvisioningError("birth.revoked", f"device {device}: revoked, which is for ever")
            row = {"device": device, "kind": kind, "until_s": until_s, "at_s": now_s}
            chain.append(connection, permits, {**row, **_told(who, why)})

    def revoke(self, kind: str, subject: str, reason: str, now_s: int, *, who: str | None = None) -> bool:
        """Revoke a lot, its station (no more births), a device or a certificate (by serial), for ever; again changes nothing.

        Returns:
            Whether it was not revoked before.

        Raises:
            ProvisioningError: "revoke.kind" or "revoke.unknown".
        """
        keys = {"lot": [lots.c.lot], "station": [lots.c.lot], "device": [births.c.device],
                "certificate": [certificates.c.serial, named.c.serial]}.get(kind)
        if keys is None:
            raise ProvisioningError("revoke.kind", f"got {kind!r}, expected lot, station, device or certificate")
        with self._writing() as connection:
            if not any(connection.execute(select(key).where(key == subject)).first() for key in keys):
                raise ProvisioningError("revoke.unknown", f"{kind}: got {subject!r}, expected one that the ledger holds")
            if rows.is_revoked(connection, kind, subject):
                return False
            row = {"kind": kind, "subject": subject, "reason": reason[:MAX_REASON], "at_s": now_s}
            chain.append(connection, revocations, {**row, "who": who})
            return True

    def is_revoked(self, kind: str, subject: str) -> bool:
        """Tell whether this lot, device or certificate was revoked, by itself."""
        with self._engine.connect() as connection:
            return rows.is_revoked(connection, kind, subject)

    def head(self) -> tuple[int, str]:
        """Give number and hash of the last entry; noted elsewhere (a print-out), it shows a ledger that was cut short."""
        with self._engine.connect() as connection:
            return chain.head(connection)

    def verify(self) -> int:
        """Recompute the chain over all rows.

        Returns:
            The number of entries.

        Raises:
            LedgerError: the first entry that does not fit.
        """
        with self._engine.connect() as connection:
            return chain.verify(connection, CHAINED)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock from its start: the chain has one end."""
        with self._engine.begin() as connection:
            sqlite = self._engine.dialect.name == "sqlite"
            connection.execute(text("BEGIN IMMEDIATE" if sqlite else "LOCK TABLE chain IN EXCLUSIVE MODE"))
            yield connection


def other_key(device: str) -> ProvisioningError:
    """The refusal of a device whose key is not that of its birth record."""
    return ProvisioningError("enrol.other_key", f"device {device}: got another key than its birth record's")


def verified_birth(order: Lot, raw: bytes) -> dict[str, Any]:
    """Read a birth record that the lot's station signed for it; verified before it is parsed.

    Raises:
        ProvisioningError: "birth.signature" or "birth.lot".
    """
    try:
        record = identity.parse_birth(signed.verify(raw, signed.BIRTH, [bytes.fromhex(order.station_key)], 1))
    except NodeError as error:
        raise ProvisioningError("birth.signature", f"lot {order.lot}: {error}") from None
    if record["lot"] != order.lot:
        raise ProvisioningError("birth.lot", f"got a record for lot {record['lot']!r}, expected {order.lot!r}")
    return record


def _told(who: str, why: str) -> dict[str, str]:
    return {"who": who[:MAX_REASON], "why": why[:MAX_REASON]}
