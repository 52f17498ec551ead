"""Whether a birth may be appended to a lot.

Decides from the lot, its count, what the ledger knows of the device and the time; all are arguments. Signatures and the
proof of the device's key are checked before (ledger.py, line/station.py).
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Lot:
    """A production order.

    Attributes:
        lot: its name.
        station_key: public key (65 bytes, hex) of the only station that may sign its births.
        quota: most births it may hold.
        expires_s: Unix seconds; no birth is appended from then on.
        revoked: its devices get no certificates any more.
        closed: its station was revoked: no more births; its devices stay.
    """

    lot: str
    station_key: str
    quota: int
    expires_s: int
    revoked: bool = False
    closed: bool = False


class Reason(Enum):
    """Why; the value is the error's code."""

    NEW = "birth.new"
    KNOWN = "birth.known"                              # same device, same key: the line was interrupted and runs again
    SECOND_IDENTITY = "provisioning.second_identity"   # a known device shows another key: cloned id, or erased and re-made
    REBORN = "birth.reborn"                            # another key, by an operator's word
    REVOKED = "birth.revoked"                          # by no word: a revocation is for ever
    LOT_REVOKED = "birth.lot_revoked"
    STATION_REVOKED = "birth.station_revoked"
    LOT_EXPIRED = "birth.lot_expired"
    QUOTA = "birth.quota"


ACCEPTED = frozenset({Reason.NEW, Reason.KNOWN, Reason.REBORN})


@dataclass(frozen=True)
class Known:
    """What the ledger holds of a device that was born.

    Attributes:
        key: the public key that counts now.
        permitted: an operator's word for another key is open.
        revoked: the device was revoked, or the lot that it is of.
    """

    key: str
    permitted: bool = False
    revoked: bool = False


def judge_birth(lot: Lot, births: int, known: Known | None, key: str, now_s: int) -> Reason:
    """Judge one birth; append it only for Reason.NEW and Reason.REBORN. The quota counts devices: one that is reborn was counted.

    Args:
        births: how many births the lot holds.
        known: the device's birth; None when it has none.
        key: public key that the device shows now.
        now_s: Unix seconds.
    """
    if known is not None and known.key == key:
        return Reason.KNOWN
    if known is not None and not known.permitted:
        return Reason.SECOND_IDENTITY
    if known is not None and known.revoked:
        return Reason.REVOKED
    if lot.revoked:
        return Reason.LOT_REVOKED
    if lot.closed:
        return Reason.STATION_REVOKED
    if now_s >= lot.expires_s:
        return Reason.LOT_EXPIRED
    if known is not None:
        return Reason.REBORN
    return Reason.NEW if births < lot.quota else Reason.QUOTA
