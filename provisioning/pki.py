"""The files of a PKI: one call makes everything a plant (or the demo) needs to start.

Decides file names and modes: private keys are created readable by their owner alone and never overwritten. What the
certificates contain is decided in ca.py. `make_fleet_pki` is for trying things out: its keys are plain files, and nothing is
recorded. A plant's CA is made by desk.py.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from host.files import write_whole
from ota.release import keys
from ota.release.keys import KeyFileError
from provisioning import ca
from provisioning.held import held

SERVERS = ("svc.broker", "svc.ota", "svc.enrol")
CLIENTS = ("svc.ingest", "op.console", "op.alerts", "op.upkeep", "op.release")
LOCAL_HOSTS = ("localhost", "127.0.0.1")   # every server certificate also carries these


class PkiError(Exception):
    """A PKI file is missing, not what it should be, or would be overwritten; the message names the path."""


@dataclass(frozen=True)
class FleetPki:
    """Where the files of one PKI lie.

    Attributes:
        folder: holds everything; mode 0700.
    """

    folder: Path

    @property
    def root_der(self) -> Path:
        """The root certificate as devices store it (`/trust/ca.der`)."""
        return self.folder / "root.der"

    @property
    def ca_file(self) -> Path:
        """PEM bundle of root and issuing CA: what servers verify clients against."""
        return self.folder / "ca.pem"

    def cert(self, name: str) -> Path:
        """PEM certificate of `root`, `issuing` or a leaf; a server's is followed by the issuing CA's."""
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        """PEM private key (PKCS#8), mode 0600."""
        return self.folder / f"{name}.key"


def make_fleet_pki(folder: Path, server_names: Sequence[str] = (), now: dt.datetime | None = None) -> FleetPki:
    """Make root, issuing CA, the servers' and the clients' keys and certificates.

    Args:
        folder: made when missing; must not hold a PKI yet.
        server_names: DNS names and addresses of the servers, beside LOCAL_HOSTS, e.g. "*.plant.example".
        now: aware datetime; None takes the clock.

    Raises:
        PkiError: the folder holds a PKI already: overwriting a root would orphan its fleet.
    """
    now = now or dt.datetime.now(dt.UTC)
    pki = FleetPki(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = ca.make_root(_new_key(pki, "root"), now)
    issuing = ca.make_issuing(root, _new_key(pki, "issuing"), now)
    write_pem(pki.cert("root"), root.certificate)
    write_pem(pki.cert("issuing"), issuing.certificate)
    write_pem(pki.ca_file, root.certificate, issuing.certificate)
    pki.root_der.write_bytes(ca.der(root.certificate))
    hosts = list(dict.fromkeys([*LOCAL_HOSTS, *server_names]))
    for name in SERVERS:
        leaf = ca.issue_server(issuing, _new_key(pki, name).public_key(), name, hosts, now)
        write_pem(pki.cert(name), leaf, issuing.certificate)
    for name in CLIENTS:
        write_pem(pki.cert(name), ca.issue_client(issuing, _new_key(pki, name).public_key(), name, now))
    return pki


def load_authority(cert_file: Path, key_place: Path, secret: bytes | None = None) -> ca.Authority:
    """Read a CA's certificate (the first in the file) and open its key.

    Args:
        key_place: PEM file, or `pkcs11:` URI of a key in an HSM.
        secret: passphrase of the file.

    Raises:
        PkiError: a file is unreadable, the key is not P-256, or the two do not belong together.
    """
    certificate = load_certificates(cert_file)[0]
    key = load_key(key_place, secret)
    if certificate.public_key() != key.public_key():
        raise PkiError(f"{key_place}: got a key that is not the one of {cert_file}")
    return ca.Authority(certificate, key)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a PEM file, at least one.

    Raises:
        PkiError: the file is unreadable or holds none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{path}: got {error}, expected PEM certificates") from None


def load_key(place: Path, secret: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Open a P-256 private key, in a file or in an HSM; arguments as `load_authority`.

    Raises:
        PkiError: it is unreadable, readable by others, or something else.
    """
    try:
        return held(keys.load(place, secret))
    except KeyFileError as error:
        raise PkiError(str(error)) from None


def pem(*certificates: x509.Certificate) -> bytes:
    """Give certificates in PEM, in the given order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def write_pem(path: Path, *certificates: x509.Certificate) -> None:
    """Write certificates to a PEM file, in the given order; what was there is replaced in one step."""
    write_whole(path, pem(*certificates))


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, secret: bytes | None = None) -> None:
    """Write a private key, mode 0600 from its first byte; an existing file is never overwritten.

    Raises:
        PkiError: the file exists or cannot be made.
    """
    try:
        keys.save(path, key, secret)
    except KeyFileError as error:
        raise PkiError(str(error)) from None


def _new_key(pki: FleetPki, name: str) -> ec.EllipticCurvePrivateKey:
    key = ca.make_key()
    write_key(pki.key(name), key)
    return key
