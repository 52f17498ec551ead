"""Settings of the update server."""

from pathlib import Path

from pydantic import Field, field_validator

from host.settings import Settings
from host.tls import TlsSettings
from host.webhook import safe_url
from ota.rules.access import Role
from ota.rules.values import Policy
from ota.server.desk import Pace


class Webhook(Settings):
    """Somebody who is told of events by HTTP.

    Attributes:
        url: takes POST; https, or http on this machine.
        secret_file: its first line, at least 16 characters, is the key that events are signed with; readable by its owner alone.
        events: kinds that are sent, e.g. "rollout.halt"; "rollout." is all that begin so. None: all.
        ca_file: PEM that verifies the URL's server; None: the system's.
    """

    url: str = Field(max_length=400)
    secret_file: Path
    events: tuple[str, ...] = ()
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return safe_url(url)


class OtaSettings(Settings):
    """What `python -m ota.server --config FILE` reads.

    Attributes:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        cert_file: PEM chain of the server, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA: verifies devices and operators.
        crl_file: the CA's revocation list; whom it names is refused at every request. None: nobody is asked.
        database: URL, e.g. "sqlite:////var/lib/tenfold/ota.db".
        archive: folder of the content-addressed archive; made when missing.
        root_file: the signed root (version 1) that devices are born with.
        direction_key: PEM key that signs directions, or the `pkcs11:` URI of one in an HSM; must stand in the newest root. A
            passphrase comes from TENFOLD_KEY_PASSPHRASE_FILE or TENFOLD_KEY_PASSPHRASE, a PIN from TENFOLD_PKCS11_PIN_FILE or
            TENFOLD_PKCS11_PIN.
        roles: viewer, operator or approver by name of an operator's certificate; all other `op.*` are viewers.
        period_s: time between a device's check-ins while there is no need to slow down.
        checkins_per_s: the period is stretched so that active devices stay under this rate; each process takes up so many a
            second of those that it cannot answer from memory, the others are told when to come again.
        offers_per_s: updates that start a second, per process; devices over it ask again soon.
        busy_s: how long a device waits that was turned away.
        direction_s: how long a direction may be used after it was signed.
        active_s: devices silent for longer do not count when the period is stretched.
        tick_s: time between looks at the rollouts.
        flush_s: time between writes of gathered check-ins; a crash loses at most so much of last-seen times.
        max_settling: check-ins that may wait for the database at once, per process; more are turned away.
        policy: defaults of new rollouts.
        approvals: 1 if the start of a rollout, and going on after a halt, needs an approver who is not the one who asked.
        proxies: names of proxies' certificates; only they may pass client certificates on.
        webhooks: who is told of events.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65535)
    cert_file: Path
    key_file: Path
    ca_file: Path
    crl_file: Path | None = None
    database: str
    archive: Path
    root_file: Path
    direction_key: Path
    roles: dict[str, Role] = {"op.release": Role.APPROVER}   # noqa: RUF012  frozen with the model
    period_s: float = Field(default=300, ge=1, le=86_400)
    checkins_per_s: float = Field(default=500, gt=0)
    offers_per_s: float = Field(default=20, gt=0)
    busy_s: float = Field(default=30, ge=1, le=3_600)
    direction_s: float = Field(default=3_600, ge=10, le=604_800)
    active_s: float = Field(default=604_800, ge=1)
    tick_s: float = Field(default=10, ge=0.05, le=3_600)
    flush_s: float = Field(default=1, ge=0.05, le=60)
    max_settling: int = Field(default=256, ge=1)
    policy: Policy = Policy()
    approvals: int = Field(default=0, ge=0, le=1)
    proxies: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()

    def tls(self) -> TlsSettings:
        """Give the server's TLS: nobody without a certificate."""
        return TlsSettings(cert_file=self.cert_file, key_file=self.key_file, ca_file=self.ca_file, crl_file=self.crl_file)

    def pace(self) -> Pace:
        """Give what the desk needs of this."""
        return Pace(self.period_s, self.busy_s, self.checkins_per_s, self.offers_per_s, self.direction_s, self.active_s)
