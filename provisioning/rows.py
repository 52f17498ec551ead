"""What the rows of the ledger say: one question each, on a connection that is open.

Decides what counts where there are several: of births the last, of an operator's words one that holds and is not used up. Writes
nothing and opens no transaction (ledger.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Subquery, func, select

from provisioning.rules.quota import Lot
from provisioning.tables import births, certificates, lots, named, permits, rebirths, revocations


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
    """A certificate that was issued: to whom, until when, and who had it issued, when and why.

    Attributes:
        name: a device id, a name (svc.…, op.…, st.…), or the CA's own ("Tenfold Root CA").
        kind: "device", "server", "client", "foreign" (a device that is not ours), "root" or "issuing".
        who, why: None in entries from before they were asked for.
        revoked: this certificate was revoked by itself; a device's or lot's revocation is not looked at.
    """

    serial: str
    name: str
    kind: str
    not_after_s: int
    at_s: int
    who: str | None
    why: str | None
    revoked: bool


@dataclass(frozen=True)
class Revoked:
    """A certificate that must not be accepted any more though its end has not come."""

    serial: str
    at_s: int


def lot(connection: Connection, name: str) -> Lot | None:
    row = connection.execute(select(lots).where(lots.c.lot == name)).mappings().first()
    return None if row is None else _lot(connection, row)


def lots_of(connection: Connection, station_key: str) -> list[Lot]:
    found = connection.execute(select(lots).where(lots.c.station_key == station_key).order_by(lots.c.n)).mappings().all()
    return [_lot(connection, row) for row in found]


def count(connection: Connection, lot: str) -> int:
    return connection.execute(select(func.count()).select_from(births).where(births.c.lot == lot)).scalar_one()


def birth(connection: Connection, device: str) -> Birth | None:
    again = select(rebirths).where(rebirths.c.device == device).order_by(rebirths.c.n.desc()).limit(1)
    row = connection.execute(again).mappings().first() or connection.execute(
        select(births).where(births.c.device == device)).mappings().first()
    return None if row is None else Birth(row["device"], row["lot"], row["key"], row["raw"], row["at_s"])


def is_revoked(connection: Connection, kind: str, subject: str) -> bool:
    query: Select[Any] = select(revocations.c.n).where(revocations.c.kind == kind, revocations.c.subject == subject)
    return connection.execute(query).first() is not None


def permit(connection: Connection, device: str, kind: str, now_s: int) -> RowMapping | None:
    """An operator's word that holds and is not used up."""
    query = select(permits).where(permits.c.device == device, permits.c.kind == kind, permits.c.until_s > now_s,
                                  permits.c.n.not_in(select(rebirths.c.permit)))
    return connection.execute(query).mappings().first()


def born() -> Subquery:
    """Every device that was born with the lot that it is of: of its last birth."""
    last = select(rebirths.c.lot).where(rebirths.c.device == births.c.device).order_by(rebirths.c.n.desc()).limit(1)
    return select(births.c.device, func.coalesce(last.scalar_subquery(), births.c.lot).label("lot")).subquery()


def issued(connection: Connection, where: Any, kind: str | None = None) -> Iterator[Issued]:
    """Rows of `certificates` (with the kind given) or of `named`."""
    table = certificates if kind else named
    gone = select(revocations.c.subject).where(revocations.c.kind == "certificate", revocations.c.subject == table.c.serial)
    for row in connection.execute(select(table, gone.exists().label("gone")).where(where).order_by(table.c.n)).mappings():
        yield Issued(row["serial"], row["device" if kind else "name"], kind or row["kind"], row["not_after_s"], row["at_s"],
                     row["who"], row["why"], bool(row["gone"]))


def certificate_ends(connection: Connection) -> dict[str, int]:
    """When each device's newest certificate ends, Unix seconds; those that are revoked do not count."""
    gone = select(revocations.c.n).where(revocations.c.kind == "certificate", revocations.c.subject == certificates.c.serial)
    out = select(revocations.c.n).where(revocations.c.kind == "device", revocations.c.subject == certificates.c.device)
    query = select(certificates.c.device, func.max(certificates.c.not_after_s)).where(
        ~gone.exists(), ~out.exists()).group_by(certificates.c.device)
    return {device: int(end_s) for device, end_s in connection.execute(query)}


def _lot(connection: Connection, row: RowMapping) -> Lot:
    name = row["lot"]
    return Lot(name, row["station_key"], row["quota"], row["expires_s"], is_revoked(connection, "lot", name),
               is_revoked(connection, "station", name))
