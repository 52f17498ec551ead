"""Settings of the enrolment server."""

from pathlib import Path

from pydantic import Field

from host.settings import Settings
from host.tls import TlsSettings
from provisioning import ca


class EnrolSettings(Settings):
    """What `python -m provisioning.enrol --config FILE` reads.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        cert_file: PEM chain of the server, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA: verifies the certificates of devices that renew.
        issuing_cert: PEM certificate of the issuing CA.
        issuing_key: its key: a PEM file, its passphrase where `ota.release.keys` looks, or a `pkcs11:` URI.
        root_cert: PEM certificate of the root, for /cacerts.
        database: URL of the ledger, e.g. "sqlite:////var/lib/tenfold/ledger.db".
        device_days: life of a device's certificate.
        max_under_way: requests that are worked on at a time; others are asked to come again in some seconds. A machine with two
            cores does some 300 a second, so the last of 128 waits for less than half a second.
        crl_days: life of a revocation list; a new one is made at half of it.
        crl_files: where the list is written, in PEM, for servers of this machine and Mosquitto.
        broker_folder: nats-server's configuration (host/broker.py); its list of users is kept.
        acl_files: Mosquitto's ACL files (host/mosquitto.py), likewise.
        broker_pid_files: of brokers that get a SIGHUP after a change.
        push_s: how soon a revocation is told to all of them.
        word_retry_s: how often a device that waits for an operator's word comes again.
        station_per_min: requests of one station elsewhere in a minute; a port with a board asks four or so in that time.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8444, ge=0, le=65535)
    cert_file: Path
    key_file: Path
    ca_file: Path
    issuing_cert: Path
    issuing_key: Path
    root_cert: Path
    database: str
    device_days: int = Field(default=ca.DEVICE_DAYS, ge=1, le=ca.ISSUING_DAYS)
    max_under_way: int = Field(default=128, ge=1)
    crl_days: float = Field(default=7, gt=0, le=366)
    crl_files: tuple[Path, ...] = ()
    broker_folder: Path | None = None
    acl_files: tuple[Path, ...] = ()
    broker_pid_files: tuple[Path, ...] = ()
    push_s: float = Field(default=5, gt=0, le=60)
    word_retry_s: int = Field(default=3600, ge=1, le=86_400)
    station_per_min: int = Field(default=120, ge=1, le=6000)

    def tls(self) -> TlsSettings:
        """Give the server's TLS: a device has no certificate yet, or one that expired while it slept."""
        return TlsSettings(
            cert_file=self.cert_file, key_file=self.key_file, ca_file=self.ca_file, require_client=False, accept_expired=True)
