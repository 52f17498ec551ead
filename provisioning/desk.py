"""The CA's desk: makes root and issuing CA, issues to services, stations and operators, revokes; every word of it in the ledger.

Decides that no CA key is kept unprotected, that a certificate is in the ledger before anybody has it, and which names are a
server's. What a certificate contains is ca.py's, who a device is enrol/'s. Reads no clock: the time is an argument.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from host.broker import TEST_DEVICES, TEST_FOREIGN
from host.files import write_whole
from ota.release.keys import HSM_SCHEME, PASSPHRASE_ENV, PASSPHRASE_FILE_ENV
from provisioning import ca, pki
from provisioning.ca import CaError
from provisioning.enrol.requests import common_name_of, verified_request
from provisioning.ledger import Ledger
from provisioning.pki import FleetPki
from provisioning.rules.names import Kind, kind_of
from provisioning.tables import FOREIGN

DAYS = {Kind.SERVICE: ca.SERVER_DAYS, Kind.OPERATOR: ca.CLIENT_DAYS, Kind.STATION: ca.STATION_DAYS, Kind.DEVICE: ca.CLIENT_DAYS}
TEST_DAYS = 7   # of a test device's certificate: an examination takes a minute


@dataclass(frozen=True)
class KeyPlace:
    """Where a CA's key lies or will lie: a PEM file with its passphrase, or a `pkcs11:` URI."""

    place: Path
    secret: bytes | None = None

    @property
    def in_hsm(self) -> bool:
        return str(self.place).startswith(HSM_SCHEME)


@dataclass(frozen=True)
class Word:
    """Somebody's word for what is done, as the ledger keeps it."""

    who: str
    why: str
    now: dt.datetime

    @property
    def now_s(self) -> int:
        return int(self.now.timestamp())


def open_root(folder: Path, key: KeyPlace, ledger: Ledger, word: Word) -> ca.Authority:
    """Open the root in its folder (`root.pem`), or make it there.

    Raises:
        CaError: "ca.unprotected": it would be made with a plain key.
        PkiError: what is there cannot be used.
    """
    made = FleetPki(folder)
    if made.cert("root").exists():
        return pki.load_authority(made.cert("root"), key.place, key.secret)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = ca.make_root(_ca_key(key), word.now)
    _record(ledger, root.certificate, "root", word)
    pki.write_pem(made.cert("root"), root.certificate)
    return root


def make_issuing(folder: Path, root: ca.Authority, key: KeyPlace, ledger: Ledger, word: Word) -> FleetPki:
    """Make an issuing CA under a root, with all that servers and devices need beside it but a key of the root's.

    Raises:
        CaError: "ca.exists": the folder has one; "ca.unprotected".
    """
    made = FleetPki(folder)
    if made.cert("issuing").exists():
        raise CaError("ca.exists", f"{made.cert('issuing')}: is there already; expected a new folder for another issuing CA")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    issuing = ca.make_issuing(root, _ca_key(key), word.now)
    _record(ledger, issuing.certificate, "issuing", word)
    pki.write_pem(made.cert("root"), root.certificate)
    write_whole(made.root_der, ca.der(root.certificate))
    pki.write_pem(made.ca_file, root.certificate, issuing.certificate)
    pki.write_pem(made.cert("issuing"), issuing.certificate)   # last: a folder that has it is whole
    return made


class Desk:
    """Issues to services, stations and operators from one issuing CA's folder."""

    def __init__(self, folder: FleetPki, issuing: ca.Authority, ledger: Ledger) -> None:
        self._folder, self._issuing, self._ledger = folder, issuing, ledger

    def issue(
        self, name: str, word: Word, *, hosts: Sequence[str] = (), csr: bytes | None = None, days: int | None = None,
        foreign: bool = False, peer: bool = False,
    ) -> tuple[Path, x509.Certificate]:
        """Issue a certificate: a server's when there are hosts, a client's without; to a device only if it is not ours (`foreign`).

        A `peer` of other servers gets one for both.

        The key is the request's, which then stays with its holder; else the one in the folder, which is made if there is none.

        Raises:
            CaError: "ca.name", "ca.key", "ca.issuer", "ca.request" (not one, or for another name).
        """
        kind = kind_of(name)
        test = name in (*TEST_DEVICES, TEST_FOREIGN)
        if kind is None or (foreign or test) != (kind is Kind.DEVICE) or (foreign and test):
            raise CaError("ca.name", f"got {name!r}, expected svc. or op. and 1 to 16 of a-z, 0-9, or st. and a station's name; "
                                     "devices enrol themselves, but for the test devices of `tenfold doctor` and those that are "
                                     "not ours (--foreign)")
        if foreign and self._ledger.birth(name) is not None:
            raise CaError("ca.name", f"{name}: was born on a line of ours and enrols itself, expected a device that is not ours")
        if hosts and kind is not Kind.SERVICE:
            raise CaError("ca.name", f"{name}: got hosts for a {kind.value}, expected a service (svc.…): no other is a server")
        days = (TEST_DAYS if test else DAYS[kind]) if days is None else days
        public, fresh = self._public_key(name, csr)
        if hosts:
            certificate = ca.issue_server(self._issuing, public, name, hosts, word.now, days=days, peer=peer)
        else:
            make = ca.issue_device if test or foreign else ca.issue_client
            certificate = make(self._issuing, public, name, word.now, days=days)
        _record(self._ledger, certificate, "server" if hosts else FOREIGN if foreign else "client", word, name)
        if fresh is not None:
            pki.write_key(self._folder.key(name), fresh)
        path = self._folder.cert(name)
        pki.write_pem(path, certificate, *([self._issuing.certificate] if hosts else []))
        return path, certificate

    def _public_key(self, name: str, csr: bytes | None) -> tuple[ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey | None]:
        """The key to certify, and the private one if it was made just now and is not on disk yet."""
        if csr is not None:
            request = verified_request(_der(csr))
            if common_name_of(request.subject) != name:
                raise CaError("ca.request", f"got a request for {request.subject.rfc4514_string()}, expected exactly CN={name}")
            return request.public_key, None
        if self._folder.key(name).exists():
            return pki.load_key(self._folder.key(name)).public_key(), None
        fresh = ca.make_key()
        return fresh.public_key(), fresh


def revoke(ledger: Ledger, subject: str, word: Word, *, lot: bool = False) -> list[tuple[str, str]]:
    """Revoke a device, the certificates of a name, one certificate by its serial number, or a lot.

    Returns:
        What is revoked now that was not before, as (kind, subject).

    Raises:
        ProvisioningError: "revoke.unknown".
    """
    is_ours = kind_of(subject) is Kind.DEVICE and not any(one.kind == FOREIGN for one in ledger.certificates(subject))
    kind = "lot" if lot else "device" if is_ours or ledger.birth(subject) else "certificate"
    subjects = [subject]
    if kind == "certificate" and kind_of(subject) is not None:   # a name may be given again; its certificates end
        subjects = [one.serial for one in ledger.certificates(subject) if not one.revoked and one.not_after_s > word.now_s]
        if not subjects and not ledger.certificates(subject):
            subjects = [subject]   # told by the ledger: it holds none
    return [(kind, one) for one in subjects if ledger.revoke(kind, one, word.why, word.now_s, who=word.who)]


def _der(csr: bytes) -> bytes:
    """A request as `openssl req` writes it, or in DER."""
    try:
        return x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)
    except ValueError:
        return csr


def _ca_key(key: KeyPlace) -> ec.EllipticCurvePrivateKey:
    if key.in_hsm or key.place.exists():   # a run that was broken off made it
        return pki.load_key(key.place, key.secret)
    if key.secret is None:
        raise CaError("ca.unprotected", f"{key.place}: got no passphrase for a new CA key, expected one in "
                                        f"{PASSPHRASE_FILE_ENV} or {PASSPHRASE_ENV}, or a {HSM_SCHEME} URI")
    made = ca.make_key()
    pki.write_key(key.place, made, key.secret)
    return made


def _record(ledger: Ledger, certificate: x509.Certificate, kind: str, word: Word, name: str | None = None) -> None:
    name = name or common_name_of(certificate.subject) or ""
    not_after_s = int(certificate.not_valid_after_utc.timestamp())
    ledger.record_named(ca.serial_hex(certificate), name, kind, not_after_s, word.now_s, who=word.who, why=word.why)
