"""Settings of upkeep."""

from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from host.monitor.anomalies import PAST_DAYS
from host.ota_access import OtaAccess
from host.upkeep.gates import LAG_S

WEEK_S = 604_800


class UpkeepSettings(OtaAccess):
    """What `tenfold upkeep --config FILE` reads.

    Attributes:
        database: URL of the telemetry database; migrated when needed.
        classes_file: channel classes and how long each is kept, as `tenfold telemetry retention --config`; None: one class.
        zone: IANA time zone by whose clock the detectors' days begin.
        past_days: of a device that is met for the first time, and of its forests.
        budget_per_week: false alarms of a device a week that are put up with.
        compact_every_s: period of sums, day columns and retention; 0, as with the others: never.
        detectors_every_s: period in which the detectors look at all devices.
        forests_every_s: age at which a device's isolation forest is grown anew; needs the extra `analysis`.
        gates_every_s: period in which the rollout gates are told of links, where `ota_url` names a server. They wait for it from
            then on; the certificate needs the role of an operator.
        gates_lag_s: they are told up to so long ago.
        metrics_port: of 127.0.0.1, where Prometheus finds `/metrics`; 0: none.
        log_level: debug, info, warning or error.
    """

    database: str = "sqlite:///telemetry.db"
    classes_file: Path | None = None
    zone: str = "UTC"
    past_days: int = Field(PAST_DAYS, ge=1, le=3650)
    budget_per_week: float = Field(1.0, ge=0.01, le=100)
    compact_every_s: float = Field(3600, ge=0, le=WEEK_S)
    detectors_every_s: float = Field(360, ge=0, le=WEEK_S)
    forests_every_s: float = Field(86_400, ge=0, le=4 * WEEK_S)
    gates_every_s: float = Field(3600, ge=0, le=86_400)
    gates_lag_s: int = Field(LAG_S, ge=0, le=3600)
    metrics_port: int = Field(0, ge=0, le=65535)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise ValueError("expected an IANA time zone such as Europe/Oslo") from None
        return zone
