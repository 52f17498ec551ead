"""The ledger as a station sees it: what a lot still admits, whether a board is born, and a birth to enter.

Decides what it means that the ledger cannot be had: `AwayError`, after which a record may or may not be in it. `LedgerBooks` is for
a bench of the plant's own, beside its database; a partner's asks the enrolment server (https_books.py).
"""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.exc import OperationalError

from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.rules.quota import Lot, Reason


class AwayError(Exception):
    """The ledger did not answer."""


@dataclass(frozen=True)
class Terms:
    """A lot, and how many births it holds."""

    lot: Lot
    births: int


@dataclass(frozen=True)
class Born:
    """A device's last birth: its public key (hex), and whether an operator's word lets it have another one."""

    key: str
    may_change: bool


class Books(Protocol):
    """The ledger, near or far. Each method may raise AwayError."""

    def terms(self, lot: str) -> Terms:
        """What the lot admits.

        Raises:
            ProvisioningError: "birth.lot_unknown".
        """

    def born(self, device: str, now_s: int) -> Born | None:
        """How a device was born; None when it was not.

        Raises:
            ProvisioningError: "birth.revoked"; "provisioning.second_identity": for another station.
        """

    def append(self, lot: str, raw: bytes, now_s: int) -> Reason:
        """Enter a birth; the same device and key again is accepted.

        Raises:
            ProvisioningError: as Ledger.append_birth.
        """


class LedgerBooks:
    """The ledger in a database at hand."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def terms(self, lot: str) -> Terms:
        try:
            found = self._ledger.lot(lot)
            if found is None:
                raise ProvisioningError("birth.lot_unknown", f"lot: got {lot!r}, expected one that was opened (tenfold line open)")
            return Terms(found, self._ledger.count(lot))
        except OperationalError as error:
            raise AwayError(str(error)) from None

    def born(self, device: str, now_s: int) -> Born | None:
        try:
            found = self._ledger.standing(device, now_s)
        except OperationalError as error:
            raise AwayError(str(error)) from None
        if found is None:
            return None
        found.want_not_revoked(device)
        return Born(found.key, found.may_be_reborn)

    def append(self, lot: str, raw: bytes, now_s: int) -> Reason:
        try:
            return self._ledger.append_birth(lot, raw, now_s)[1]
        except OperationalError as error:
            raise AwayError(str(error)) from None
