"""Composition of the command's groups, and what a failure looks like: one line, what, where and what to do; exit code 2."""

import sys
from typing import NoReturn

import typer

from host.cli import (
    alerts,
    anomaly,
    archive,
    audit,
    bench,
    boards,
    broker,
    ca,
    config,
    data,
    db,
    devices,
    enrol,
    firmware,
    fleet,
    image,
    keys,
    line,
    quarantine,
    release,
    rollout,
    route,
    secure,
    sensors,
    sim,
    token,
    upkeep,
)
from host.cli.budget import budget
from host.cli.demo import demo
from host.cli.desk import app as desk_app
from host.cli.desk import monitor, provision, shell
from host.cli.doctor import doctor
from host.cli.errors import USER_ERRORS
from host.cli.flash import flash
from host.cli.ingest import ingest
from host.cli.ports import ports
from host.cli.up import up
from host.cli.upkeep import upkeep as upkeep_

EXIT_USAGE = 2

app = typer.Typer(
    name="tenfold", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Tenfold: flash, provision, update, listen to and watch a fleet of your own devices.",
    epilog="First success: `tenfold demo` (or `make demo`).",
)
app.command("demo")(demo)
app.command("up")(up)
app.command("ingest")(ingest)
app.command("upkeep")(upkeep_)
app.command("budget")(budget)
app.command("doctor")(doctor)
app.command("ports")(ports)
app.command("flash")(flash)
app.command("app")(desk_app)
app.command("monitor")(monitor)
app.command("shell")(shell)
app.command("provision")(provision)
app.add_typer(keys.app, name="keys")
app.add_typer(boards.app, name="boards")
app.add_typer(ca.app, name="ca")
app.add_typer(enrol.app, name="enrol")
app.add_typer(image.app, name="image")
app.add_typer(firmware.app, name="firmware")
app.add_typer(line.app, name="line")
app.add_typer(secure.app, name="secure")
app.add_typer(release.app, name="release")
app.add_typer(archive.app, name="archive")
app.add_typer(rollout.app, name="rollout")
app.add_typer(devices.app, name="devices")
app.add_typer(data.app, name="data")
app.add_typer(fleet.app, name="fleet")
app.add_typer(config.app, name="config")
app.add_typer(alerts.app, name="alerts")
app.add_typer(token.app, name="token")
app.add_typer(audit.app, name="audit")
app.add_typer(anomaly.app, name="anomaly")
app.add_typer(route.app, name="route")
app.add_typer(sensors.app, name="sensors")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(sim.app, name="sim")
app.add_typer(upkeep.app, name="telemetry")
app.add_typer(db.app, name="db")
app.add_typer(bench.app, name="bench")
app.add_typer(broker.app, name="broker")


def main() -> None:
    """Run the command; faults that the user can mend end in one line, others in a traceback: they are ours."""
    try:
        app()
    except USER_ERRORS as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> NoReturn:
    print(f"tenfold: {message}", file=sys.stderr)
    sys.exit(EXIT_USAGE)
