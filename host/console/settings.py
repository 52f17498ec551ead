"""Settings of the console."""

from pydantic import Field

from host.ota_access import OtaAccess


class ConsoleSettings(OtaAccess):
    """What `python -m host.console --config FILE` reads. It always listens on 127.0.0.1: it asks nobody who they are.

    Without `ota_url` it shows no rollouts.

    Attributes:
        port: of the page, on 127.0.0.1.
        database: URL of the telemetry database; only read.
        keep_s: what was read is shown to all browsers for so long before it is read again.
        ledger: URL of the ledger's database, for when certificates end; only read. Empty: that is not known.
        metrics_devices: so many devices stand one by one in `/metrics`, the first by id; each is 16 series in Prometheus.
        metrics_keep_s: as keep_s, for `/metrics`.
        ota_timeout_s: the OTA server counts as unreachable after this.
        log_level: debug, info, warning or error.
    """

    port: int = Field(8000, ge=1, le=65535)
    database: str = "sqlite:///telemetry.db"
    keep_s: float = Field(1.0, ge=0.0, le=60.0)
    ledger: str = ""
    metrics_devices: int = Field(0, ge=0, le=5000)
    metrics_keep_s: float = Field(15.0, ge=0.0, le=600.0)
    ota_timeout_s: float = Field(2.0, gt=0.0, le=30.0)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
