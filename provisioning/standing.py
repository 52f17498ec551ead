"""What the ledger knows of a device that asks for a certificate, or comes over the line, in one look.

Decides nothing (rules/validity.py). One statement each, built once: at an enrolment the ledger is what costs most. What it tells
was true at one moment.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from provisioning.errors import ProvisioningError
from provisioning.rules.quota import Lot
from provisioning.rules.validity import ISSUE_WINDOW_S, History
from provisioning.tables import births, certificates, lots, permits, rebirths, revocations


@dataclass(frozen=True)
class Standing:
    """How a device stands that was born.

    Attributes:
        key: public key (hex) of its last birth.
        lot: of that birth.
        history: its certificates.
        may_be_reborn: an operator's word for another key is open.
    """

    key: str
    lot: Lot
    history: History
    may_be_reborn: bool

    def want_not_revoked(self, device: str) -> None:
        """Refuse a device that is out for ever, by itself or with its lot: no station makes anything of it any more.

        Raises:
            ProvisioningError: "birth.revoked".
        """
        if self.history.revoked or self.lot.revoked:
            raise ProvisioningError("birth.revoked", f"device {device}: it was revoked, or its lot, which is for ever")


_last = rebirths.alias("last")
_born = births.outerjoin(
    _last, _last.c.n == select(func.max(rebirths.c.n)).where(rebirths.c.device == births.c.device).scalar_subquery())
_lot = func.coalesce(_last.c.lot, births.c.lot)
_key = func.coalesce(_last.c.key, births.c.key).label("key")
_issued = select(func.count()).select_from(certificates).where(certificates.c.device == births.c.device)
_word = select(permits.c.n).where(permits.c.device == births.c.device, permits.c.until_s > bindparam("now_s"))

_STANDING = select(
    _key, lots.c.lot, lots.c.station_key, lots.c.quota, lots.c.expires_s,
    *(select(revocations.c.n).where(revocations.c.kind == kind, revocations.c.subject == subject).exists().label(name)
      for name, kind, subject in (("lot_revoked", "lot", lots.c.lot), ("closed", "station", lots.c.lot),
                                  ("revoked", "device", births.c.device))),
    _issued.where(certificates.c.at_s > bindparam("since_s")).scalar_subquery().label("recent"),
    _issued.with_only_columns(certificates.c.n).exists().label("ever"),
    _word.where(permits.c.kind == "first").exists().label("allowed"),
    _word.where(permits.c.kind == "rebirth", permits.c.n.not_in(select(rebirths.c.permit))).exists().label("may_be_reborn"),
).select_from(_born.join(lots, lots.c.lot == _lot)).where(births.c.device == bindparam("device"))
_KEYS = select(births.c.device, _key).select_from(_born).where(births.c.device.in_(bindparam("devices", expanding=True)))


def standing(connection: Connection, device: str, now_s: int) -> Standing | None:
    """Tell how a device stands; None when it was not born."""
    values = {"device": device, "now_s": now_s, "since_s": now_s - ISSUE_WINDOW_S}
    row = connection.execute(_STANDING, values).first()
    if row is None:
        return None
    lot = Lot(row.lot, row.station_key, row.quota, row.expires_s, bool(row.lot_revoked), bool(row.closed))
    history = History(row.recent, bool(row.ever), bool(row.revoked), bool(row.allowed))
    return Standing(row.key, lot, history, bool(row.may_be_reborn))


def keys(connection: Connection, devices: Iterable[str]) -> dict[str, str]:
    """Tell the public keys (hex) that count now of those devices that were born."""
    return {row.device: row.key for row in connection.execute(_KEYS, {"devices": list(devices)})}
