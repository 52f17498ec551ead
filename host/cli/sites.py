"""Where devices stand, for commands that sum by site: from a file, or from the OTA server, which keeps it."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from host.cli.server import connect
from host.settings import SettingsError

Sites = Annotated[Path | None, typer.Option(
    help="CSV file of lines `device,site`; the OTA server is asked when there is none.", exists=True, dir_okay=False)]
Url = Annotated[str, typer.Option("--server", envvar="TENFOLD_SERVER", help="OTA server, e.g. https://localhost:8443.")]
Ca = Annotated[Path | None, typer.Option("--ca", envvar="TENFOLD_CA", help="PEM bundle that verifies the server.")]
Cert = Annotated[Path | None, typer.Option("--cert", envvar="TENFOLD_CERT", help="PEM certificate of the operator (op.…).")]
Key = Annotated[Path | None, typer.Option("--key", envvar="TENFOLD_KEY", help="Its PEM key.")]


def sites_of(file: Path | None, server: str, ca: Path | None, cert: Path | None, key: Path | None) -> dict[str, str]:
    """The site of each device that has one.

    Raises:
        SettingsError: neither a file nor a server is named, or the file is unusable.
        OtaError: the server refused or was not reached.
    """
    if file is not None:
        return read(file)
    if not (server and ca and cert and key):
        raise SettingsError("--sites", "nothing, and no OTA server is named", "a file of lines `device,site`, or --server, --ca, "
                            "--cert and --key (`. build/demo/operator.env` for a plant of `tenfold up`)")
    with connect(server, ca, cert, key) as client:
        return {str(row["device"]): str(row["site"]) for row in client.devices() if row["site"]}


def read(file: Path) -> dict[str, str]:
    """Read a file of lines `device,site`; a header `device,site` and empty lines are passed over.

    Raises:
        SettingsError: a line has not two fields, or the file is no text.
    """
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                if not row or row == ["device", "site"]:
                    continue
                if len(row) != 2:
                    raise SettingsError(f"{file}:{number}", f"{len(row)} fields", "a line `device,site`")
                found[row[0].strip()] = row[1].strip()
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(str(file), f"an unreadable file ({error})", "lines `device,site` in UTF-8") from None
    return found
