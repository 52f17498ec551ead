"""Settings of those who ask the OTA server as a viewer or an operator: where it is and by which certificate they are known."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from host.settings import Settings


class OtaAccess(Settings):
    """Part of the settings of the console, of alerts and of upkeep.

    Attributes:
        ota_url: the OTA server's address, e.g. https://localhost:8443; empty: it is not asked.
        ca_file: PEM bundle that its certificate is verified against.
        cert_file: PEM certificate of the one who asks (`op.…`). key_file: its PEM key.
    """

    ota_url: str = Field("", pattern=r"^(https://[^\s/?#]+)?$")
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _certificates(self) -> Self:
        if self.ota_url and not (self.ca_file and self.cert_file and self.key_file):
            raise ValueError("ca_file, cert_file and key_file are needed to ask the OTA server")
        return self
