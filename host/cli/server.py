"""How commands reach the OTA server: address and operator's certificate, from options or the environment."""

from pathlib import Path
from typing import Annotated

import typer

from ota.client import OtaClient

Url = Annotated[str, typer.Option("--server", envvar="TENFOLD_SERVER", help="OTA server, e.g. https://localhost:8443.")]
Ca = Annotated[Path, typer.Option("--ca", envvar="TENFOLD_CA", help="PEM bundle that verifies the server.")]
Cert = Annotated[Path, typer.Option("--cert", envvar="TENFOLD_CERT", help="PEM certificate of the operator (op.…).")]
Key = Annotated[Path, typer.Option("--key", envvar="TENFOLD_KEY", help="Its PEM key.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON instead of a table.")]

connect = OtaClient.connect
