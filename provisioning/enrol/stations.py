"""The ledger for stations elsewhere: who a station is, what it is told of lots and devices, and what it may enter.

Decides that a station is its key: the one in its certificate is the one that its lots were opened for, so that it sees those lots
and no other's. Of a device that was born for somebody else it learns that it was, and no more: it must not give it a second
identity. Whether a birth is admitted is the ledger's. Knows no HTTP (station_api.py) and reads no clock: times are arguments.
"""

import datetime as dt
import threading
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from host.ecdsa import point
from node.wire import identity
from ota.rules.shed import Tokens
from provisioning import ca
from provisioning.attempts import Attempts
from provisioning.enrol.requests import common_name_of
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger, verified_birth
from provisioning.rules.names import Kind, kind_of
from provisioning.rules.quota import Lot, Reason, judge_birth
from provisioning.standing import Standing

PREFIX = "st."   # before a station's name in its certificate
BURST = 30       # requests that may come at once: sixteen ports ask for a board each, and how full the lot is


@dataclass(frozen=True)
class Bench:
    """A station that was let in: its name as birth records say it, and its public key (hex)."""

    name: str
    key: str


class Stations:
    """What stations ask of one ledger; methods may be called from several threads at once.

    Args:
        per_min: requests of one station in a minute; `BURST` may come at once.
    """

    def __init__(self, ledger: Ledger, attempts: Attempts, per_min: int) -> None:
        self._ledger, self._attempts, self._per_s = ledger, attempts, per_min / 60
        self._tokens: dict[str, Tokens] = {}   # by serial number: a stolen certificate takes nothing from the one after it
        self._lock = threading.Lock()

    def admit(self, certificate: x509.Certificate | None, now: dt.datetime, clock_s: float) -> Bench:
        """Tell which station it is that asks. TLS has verified who issued the certificate, and neither its dates nor its kind.

        Args:
            clock_s: monotonic, for its pace.

        Raises:
            ProvisioningError: "enrol.no_certificate", "station.certificate", "station.busy" or "tls.revoked".
        """
        if certificate is None:
            raise ProvisioningError("enrol.no_certificate", "got no client certificate, expected a station's")
        name, key = common_name_of(certificate.subject), certificate.public_key()
        if name is None or kind_of(name) is not Kind.STATION or not isinstance(key, ec.EllipticCurvePublicKey):
            raise ProvisioningError("station.certificate", f"got the certificate of {name}, expected a station's ({PREFIX}…)")
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise ProvisioningError("station.certificate", f"{name}: got a certificate until {certificate.not_valid_after_utc:%F}, "
                                                           "expected one that holds now: tenfold ca issue")
        serial = ca.serial_hex(certificate)
        self._pace(serial, name, clock_s)
        issued = next((one for one in self._ledger.certificates(name) if one.serial == serial), None)
        if issued is None:
            raise ProvisioningError("station.certificate", f"{name}: got certificate {serial}, expected one that the ledger holds")
        if issued.revoked:
            raise ProvisioningError("tls.revoked", f"{name}: certificate {serial} was revoked")
        return Bench(name.removeprefix(PREFIX), point(key).hex())

    def terms(self, bench: Bench, lot: str) -> tuple[Lot, int]:
        """Give one of the station's own lots, and how many births it holds.

        Raises:
            ProvisioningError: "birth.lot_unknown": for another's lot, too.
        """
        return self._own(bench, lot), self._ledger.count(lot)

    def born(self, bench: Bench, device: str, now_s: int) -> Standing | None:
        """Tell how a device stands that was born in a lot of the station's own; None when it was not born at all.

        Raises:
            ProvisioningError: "provisioning.second_identity": it was born for somebody else; "birth.lot_unknown",
                "birth.lot_revoked", "birth.station_revoked", "birth.lot_expired": the station has no lot that goes on, and
                nothing to ask for; "birth.revoked"; "birth.format": no device id.
        """
        if not identity.is_device_id(device):
            raise ProvisioningError("birth.format", f"device: got {device!r}, expected a device id")
        own = self._ledger.lots_of(bench.key)
        if not own:
            raise ProvisioningError("birth.lot_unknown", f"station {bench.name}: no lot was opened for its key")
        verdicts = [judge_birth(lot, 0, None, "", now_s) for lot in own]   # of a lot that is not full, whatever it is
        if Reason.NEW not in verdicts:
            raise ProvisioningError(verdicts[-1].value, f"station {bench.name}: lot {own[-1].lot} is over")
        found = self._standing(bench, device, now_s)
        if found is not None:
            found.want_not_revoked(device)
        return found

    def append(self, bench: Bench, lot: str, raw: bytes, now_s: int) -> Reason:
        """Enter a birth into a lot of the station's own; the same device with the same key again is accepted.

        A refusal is noted for operators under the device that the record names (`tenfold enrol explain`).

        Raises:
            ProvisioningError: "birth.lot_unknown", "birth.signature", "birth.proof", "provisioning.second_identity" or another
                code of `Ledger.append_birth`.
        """
        record = verified_birth(self._own(bench, lot), raw)
        device = record["device"]
        try:
            if record["station"] != bench.name:
                raise ProvisioningError("birth.signature", f"lot {lot}: got a record of station {record['station']}, expected "
                                                           f"{bench.name}'s")
            if not identity.birth_proof_holds(device, record["key"], record["proof"]):   # the bench has, but whose is it now?
                raise ProvisioningError("birth.proof", f"device {device}: got a signature that its key did not make")
            self._standing(bench, device, now_s)
            return self._ledger.append_birth(lot, raw, now_s)[1]
        except ProvisioningError as error:
            self._attempts.note(device, error.code, PREFIX + bench.name, now_s)
            raise

    def _own(self, bench: Bench, lot: str) -> Lot:
        found = self._ledger.lot(lot)
        if found is None or found.station_key != bench.key:
            raise ProvisioningError("birth.lot_unknown", f"lot: got {lot!r}, expected one that was opened for this station's key")
        return found

    def _standing(self, bench: Bench, device: str, now_s: int) -> Standing | None:
        found = self._ledger.standing(device, now_s)
        if found is not None and found.lot.station_key != bench.key:
            raise ProvisioningError("provisioning.second_identity", f"device {device}: was born for another station")
        return found

    def _pace(self, serial: str, name: str, clock_s: float) -> None:
        with self._lock:
            before = self._tokens.get(serial, Tokens(self._per_s, BURST, BURST, clock_s))
            self._tokens[serial], wait_s = before.take(clock_s)
        if wait_s:
            raise ProvisioningError("station.busy", f"{name}: got more than {self._per_s * 60:g} requests in a minute")
