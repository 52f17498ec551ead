"""How commands reach the OTA server: address, operator's certificate and token, from options or the environment."""

import os
from pathlib import Path
from typing import Annotated

import typer

from host.settings import SettingsError
from ota.client import OtaClient

Url = Annotated[str, typer.Option("--server", envvar="TENFOLD_SERVER", help="OTA server, e.g. https://localhost:8443.")]
Ca = Annotated[Path, typer.Option("--ca", envvar="TENFOLD_CA", help="PEM bundle that verifies the server.")]
Cert = Annotated[Path, typer.Option("--cert", envvar="TENFOLD_CERT", help="PEM certificate of the operator (op.…).")]
Key = Annotated[Path, typer.Option("--key", envvar="TENFOLD_KEY", help="Its PEM key.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: JSON instead of a table.")]

TOKEN_FILE = "TENFOLD_TOKEN_FILE"   # noqa: S105  a file's name: a token does not belong on a command line


def connect(url: str, ca: Path, cert: Path, key: Path) -> OtaClient:
    """Make a client with the operator's certificate and, if TENFOLD_TOKEN_FILE names one, a token.

    Raises:
        SettingsError: a file is unusable.
    """
    path = os.environ.get(TOKEN_FILE)
    if not path:
        return OtaClient.connect(url, ca, cert, key)
    try:
        return OtaClient.connect(url, ca, cert, key, token=Path(path).read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(TOKEN_FILE, f"{path} ({error})", "a file of `tenfold token create`") from None
