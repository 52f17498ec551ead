"""Settings of the console."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from host.settings import Settings


class ConsoleSettings(Settings):
    """What `python -m host.console --config FILE` reads. It always listens on 127.0.0.1: it asks nobody who they are.

    Attributes:
        port: of the page, on 127.0.0.1.
        database: URL of the telemetry database; only read.
        ota_url: the OTA server's address, e.g. https://localhost:8443; empty shows no rollouts.
        ca_file: PEM bundle that the OTA server's certificate is verified against.
        cert_file: PEM certificate of this operator (`op.console`).
        key_file: its PEM key.
        keep_s: what was read is shown to all browsers for so long before it is read again.
        ledger: URL of the ledger's database, for when certificates end; only read. Empty: that is not known.
        metrics_devices: so many devices stand one by one in `/metrics`, the first by id; each is some 25 series in Prometheus.
        metrics_keep_s: as keep_s, for `/metrics`.
        ota_timeout_s: the OTA server counts as unreachable after this.
        log_level: debug, info, warning or error.
    """

    port: int = Field(8000, ge=1, le=65535)
    database: str = "sqlite:///telemetry.db"
    ota_url: str = Field("", pattern=r"^(https://[^\s/?#]+)?$")
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keep_s: float = Field(1.0, ge=0.0, le=60.0)
    ledger: str = ""
    metrics_devices: int = Field(0, ge=0, le=5000)
    metrics_keep_s: float = Field(15.0, ge=0.0, le=600.0)
    ota_timeout_s: float = Field(2.0, gt=0.0, le=30.0)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    @model_validator(mode="after")
    def _certificates(self) -> Self:
        if self.ota_url and not (self.ca_file and self.cert_file and self.key_file):
            raise ValueError("ca_file, cert_file and key_file are needed to ask the OTA server")
        return self
