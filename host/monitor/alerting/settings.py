"""Settings of the process that evaluates alerts and tells of them."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from host.monitor.alerting.rules import Severity
from host.ota_access import OtaAccess
from host.settings import Settings
from host.webhook import safe_url

NAME = "^[a-z0-9][a-z0-9-]{0,31}$"


class WebhookTarget(Settings):
    """Somebody who is told by HTTP, signed as the update server's webhooks are.

    Attributes:
        name: what logs and the database call it; the URL stands in neither.
        url: takes POST; https, or http of this machine.
        secret_file: its first line, at least 16 characters, is the key of the signature; mode 600.
        least: the lowest severity that it is told of.
        ca_file: PEM that the URL's server is verified against; None: the system's.
    """

    name: str = Field(pattern=NAME)
    url: str = Field(max_length=400)
    secret_file: Path
    least: Severity = "info"
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return safe_url(url)


class AppriseTarget(Settings):
    """People who are told by Apprise: mail, chats, text messages and a hundred more.

    Attributes:
        name: what logs and the database call it; with several URLs in the file `<name>-1`, `<name>-2` …
        urls_file: Apprise URLs, one a line, # begins a comment; they hold passwords, so mode 600.
        least: the lowest severity that they are told of.
    """

    name: str = Field(pattern=NAME)
    urls_file: Path
    least: Severity = "warning"


class AlertSettings(OtaAccess):
    """What `tenfold alerts run --config FILE` reads. Without `ota_url` sites and models are unknown, and what devices tell.

    Attributes:
        database: URL of the telemetry database; migrated when needed.
        ledger: URL of the ledger's database, for when certificates end; only read. Empty: that is not known.
        rules: file of rules, as deploy/alerts/rules.toml.
        evaluate_s: s between two looks at all samples.
        history_days: days that history is kept.
        webhooks: targets by HTTP. apprise: targets by Apprise.
        log_level: debug, info, warning or error.
    """

    database: str = "sqlite:///telemetry.db"
    ledger: str = ""
    rules: Path
    evaluate_s: float = Field(30, ge=1, le=3600)
    history_days: int = Field(180, ge=1, le=3650)
    webhooks: tuple[WebhookTarget, ...] = Field((), max_length=20)
    apprise: tuple[AppriseTarget, ...] = Field((), max_length=20)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.webhooks] + [each.name for each in self.apprise]
        if len(set(names)) < len(names):
            raise ValueError("each name of webhooks and apprise once")
        return self
