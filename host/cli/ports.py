"""`tenfold ports`: the boards that are plugged in, and what runs on them."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson
from provisioning.errors import ProvisioningError
from provisioning.line import ports as line
from provisioning.line.ports import Found

ALL = "all"
EXIT_NONE = 2

Port = Annotated[str, typer.Option("--port", help="Serial port of the board, as `tenfold ports` lists it.")]
SomePorts = Annotated[list[str] | None, typer.Option(
    "--port", help=f"Serial port; may be given more than once, or be a pattern, e.g. 'build/boards/tty*'. Default: those that "
                   f"{line.VARIABLE} names, and all with the USB id of an ESP32 board.")]


def ports(
    port: SomePorts = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not look into the flash: chip, MAC address and size only.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds for each port.")] = line.TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """List boards: port, chip, MAC address, flash, and what runs on each. All are asked at once, and reset afterwards.

    Example: tenfold ports --port '/dev/ttyUSB*'
    """
    found = line.boards(chosen(port), contents=not quick, timeout_s=timeout_s)
    if as_json:
        print(json.dumps([shown(one) for one in found]))
    else:
        table = Table("port", "chip", "MAC", "flash", "what runs on it")
        for one in found:
            says = one.fault.message if one.fault else one.contents.text if one.contents else ""
            size = f"{one.flash_bytes >> 20} MiB" if one.flash_bytes else ""
            table.add_row(one.port, one.chip, one.mac, size, f"[red]{one.fault.code}[/] {says}" if one.fault else says)
        Console().print(table)
    if not any(one.chip for one in found):
        raise typer.Exit(EXIT_NONE)


def chosen(named: list[str] | None) -> list[str]:
    """The ports that an option names, or all that may have a board.

    Raises:
        ProvisioningError: "port.none": there is no such port at all.
    """
    named = [port for port in named or [] if port != ALL]
    found = line.candidates(named)
    if not found:
        raise ProvisioningError("port.none", f"{' '.join(named) or 'ports'}: got no serial port, expected one with a board; plug "
                                f"one in, or name it: --port /dev/ttyUSB0 (make: PORT=…). Without a board: tenfold sim board")
    return found


def shown(one: Found) -> dict[str, Any]:
    """For machines."""
    fault = {"code": one.fault.code, "message": one.fault.message} if one.fault else None
    return {"port": one.port, "chip": one.chip, "mac": one.mac, "flash_bytes": one.flash_bytes,
            "contents": asdict(one.contents) if one.contents else None, "fault": fault}
