"""Whether a device may get an operational certificate now.

Decides from the birth record's lot, the device's past certificates and the time; all are arguments. That the requester holds
the birth key is proved before (enrol/requests.py).
"""

from dataclasses import dataclass
from enum import Enum

from provisioning.rules.quota import Lot

SHELF_LIFE_S = 3 * 365 * 86_400   # from the lot's end to the last first enrolment: older stock needs an operator's word
ISSUE_LIMIT = 24                  # certificates in a window for one device: power cuts between issue and store cost one each
ISSUE_WINDOW_S = 86_400


@dataclass(frozen=True)
class History:
    """What the ledger knows of a device's certificates.

    Attributes:
        issued_in_window: certificates issued in the last ISSUE_WINDOW_S seconds.
        ever_issued: True after the first one.
        revoked: the device was revoked.
        allowed: an operator's word for its first certificate holds.
    """

    issued_in_window: int
    ever_issued: bool
    revoked: bool
    allowed: bool = False


class Verdict(Enum):
    """Why; the value is the code that the device is told."""

    ISSUE = "enrol.issue"
    REVOKED = "enrol.revoked"
    LOT_REVOKED = "enrol.lot_revoked"
    SHELF_LIFE = "enrol.shelf_life"  # waits for an operator's word
    TOO_MANY = "enrol.too_many"      # mends itself: wait for the window


def judge_enrolment(lot: Lot, history: History, now_s: int) -> Verdict:
    """Judge one request for a certificate, first or renewal.

    A lot's end stops births, not renewals: a device that was enrolled once may renew as long as it is not revoked, also when
    its certificate has expired in a drawer.

    Args:
        now_s: Unix seconds.
    """
    if history.revoked:
        return Verdict.REVOKED
    if lot.revoked:
        return Verdict.LOT_REVOKED
    if not (history.ever_issued or history.allowed) and now_s >= lot.expires_s + SHELF_LIFE_S:
        return Verdict.SHELF_LIFE
    return Verdict.TOO_MANY if history.issued_in_window >= ISSUE_LIMIT else Verdict.ISSUE
