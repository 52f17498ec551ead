"""The issuing CA's revocation list, and who must have it.

Decides what the list says, when it is made anew (at once for a revocation, else well before its end) and that brokers are told by
rewriting their files and a SIGHUP. What is revoked is the ledger's; what a server does with the list is host/revoked.py's.
"""

import datetime as dt
import logging
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from host import broker, mosquitto
from host.files import write_whole
from provisioning import ca
from provisioning.ledger import Ledger
from provisioning.rows import Revoked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Targets:
    """Who is told.

    Attributes:
        crl_files: get the list in PEM: OTA servers' `crl_file`, Mosquitto's `crlfile`.
        broker_folder: nats-server's configuration, whose list of users is rewritten.
        acl_files: Mosquitto's, likewise.
        pid_files: of brokers; they get a SIGHUP after a change.
    """

    crl_files: tuple[Path, ...] = ()
    broker_folder: Path | None = None
    pid_files: tuple[Path, ...] = ()
    acl_files: tuple[Path, ...] = ()


def make_crl(
    issuing: ca.Authority, revoked: Sequence[Revoked], now: dt.datetime, life: dt.timedelta,
) -> x509.CertificateRevocationList:
    """Make the list. Its number is the time in milliseconds: it rises, and nobody has to keep it."""
    builder = (
        x509.CertificateRevocationListBuilder().issuer_name(issuing.certificate.subject)
        .last_update(now - ca.BACKDATE).next_update(now + life)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key()), critical=False)
    )
    for one in revoked:
        at = dt.datetime.fromtimestamp(one.at_s, dt.UTC)
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(at).build())
    return builder.sign(issuing.key, hashes.SHA256())


class Publisher:
    """Keeps the newest list, and tells the targets of it; `tick` is called every few seconds."""

    def __init__(self, ledger: Ledger, issuing: ca.Authority, targets: Targets, life: dt.timedelta) -> None:
        self._ledger, self._issuing, self._targets, self._life = ledger, issuing, targets, life
        self._lock = threading.Lock()
        self._told: tuple[int, int] | None = None   # births and revocations that everybody knows of
        self._made: dt.datetime | None = None
        self._to_hang_up: set[Path] = set()   # of brokers that were not there: they may be starting, with the files from before
        self.der = b""

    def tick(self, now: dt.datetime) -> bool:
        """Make and tell what has changed; whether anything had. What fails is tried again by the next tick.

        Raises:
            OSError, KeyFileError, BrokerError, SQLAlchemyError: a file, the CA's key or the ledger is out of reach.
        """
        with self._lock:
            changes = self._ledger.changes()
            is_old = self._made is None or not self._made <= now < self._made + self._life / 2
            if changes == self._told and not is_old:
                self._hang_up()
                return False
            if is_old or self._told is None or changes[1] != self._told[1]:
                made = make_crl(self._issuing, self._ledger.revoked(int(now.timestamp())), now, self._life)
                for path in self._targets.crl_files:
                    write_whole(path, made.public_bytes(Encoding.PEM))
                self.der = made.public_bytes(Encoding.DER)
            devices, foreign = self._ledger.devices(), self._ledger.foreign_devices(int(now.timestamp()))
            if self._targets.broker_folder is not None:
                broker.write_users(self._targets.broker_folder, devices, foreign_ids=foreign)
            for path in self._targets.acl_files:
                mosquitto.write_acl(path, devices, foreign)
            self._to_hang_up = set(self._targets.pid_files)
            self._hang_up()
            for pid_file in sorted(self._to_hang_up):
                log.warning("%s: no such process yet", pid_file)
            self._made, self._told = (now if is_old else self._made), changes
            return True

    def _hang_up(self) -> None:
        self._to_hang_up = {pid_file for pid_file in self._to_hang_up if not _is_told(pid_file)}


def _is_told(pid_file: Path) -> bool:
    """Have a broker read its files again; False when it is not there."""
    try:
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError, ValueError):   # an empty file: it is being written
        return False
    return True
