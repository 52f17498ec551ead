"""Enrolment: from a proved request to a certificate and its entry in the ledger.

Puts together what the rules need (birth record, lot, history), asks them, signs, and makes the ledger's entry. Knows no HTTP
(app.py) and reads no clock: the time is an argument.
"""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509

from provisioning import ca
from provisioning.enrol.requests import CertificateRequest
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger, NewCertificate, other_key
from provisioning.rules.validity import Verdict, judge_enrolment

WHO = "svc.enrol"   # as the ledger names this server


@dataclass(frozen=True)
class Peer:
    """The verified client certificate of a renewal: its name and serial number (hex)."""

    name: str | None
    serial: str


@dataclass(frozen=True)
class Issued:
    """A certificate that was signed, and its entry: nobody gets the one before the other is in the ledger."""

    certificate: x509.Certificate
    entry: NewCertificate


class Enrolment:
    """Issues devices' certificates from one issuing CA and one ledger; recording them is the caller's (recorder.py)."""

    def __init__(self, ledger: Ledger, issuing: ca.Authority, device_days: int) -> None:
        self._ledger, self._issuing, self._device_days = ledger, issuing, device_days

    def enrol(self, request: CertificateRequest, now: dt.datetime, why: str = "birth key") -> Issued:
        """Issue a certificate on the strength of the birth key alone.

        The same key may ask again: a power cut between our answer and the device's flash costs a certificate, not the device.

        Raises:
            ProvisioningError: "enrol.no_birth" (the device tries again: the line may still be writing), "enrol.other_key", or a
                Verdict's code.
        """
        now_s = int(now.timestamp())
        judged(self._ledger, request.device, request.key_hex, now_s)
        certificate = ca.issue_device(self._issuing, request.public_key, request.device, now, days=self._device_days)
        not_after_s = int(certificate.not_valid_after_utc.timestamp())
        entry = NewCertificate(ca.serial_hex(certificate), request.device, not_after_s, now_s, WHO, why, request.key_hex)
        return Issued(certificate, entry)

    def renew(self, request: CertificateRequest, peer: Peer | None, now: dt.datetime) -> Issued:
        """Issue a new certificate to the holder of an old one; the old one may have expired, but not been revoked.

        Raises:
            ProvisioningError: "enrol.no_certificate", "enrol.other_subject", "enrol.revoked", or a code of `enrol`.
        """
        if peer is None:
            raise ProvisioningError("enrol.no_certificate", "got no client certificate, expected the one to renew")
        if peer.name != request.device:
            raise ProvisioningError("enrol.other_subject", f"got a request for {request.device} from {peer.name}")
        if not self._ledger.is_valid_certificate(peer.serial, request.device):
            raise ProvisioningError("enrol.revoked", f"device {request.device}: certificate {peer.serial} is not valid")
        return self.enrol(request, now, f"renewal of {peer.serial}")


def judged(ledger: Ledger, device: str, key_hex: str, now_s: int) -> None:
    """Let a device that proved this key pass, or refuse it.

    Raises:
        ProvisioningError: "enrol.no_birth", "enrol.other_key", or a Verdict's code.
    """
    known = ledger.standing(device, now_s)
    if known is None:
        raise ProvisioningError("enrol.no_birth", f"device {device}: no birth record")
    if known.key != key_hex:
        raise other_key(device)
    verdict = judge_enrolment(known.lot, known.history, now_s)
    if verdict is not Verdict.ISSUE:
        raise ProvisioningError(verdict.value, f"device {device}, lot {known.lot.lot}")
