"""Composition of the command's parts, and what a failure looks like: one line, what, where and what to do; exit code 2."""

import sys
from typing import NoReturn

import typer

from host.cli.parts import Part, Parts

EXIT_USAGE = 2


COMMANDS = {
    "demo": Part(
        "host.cli.demo", "demo",
        "Run a fleet: broker, certificates, enrolment, OTA server, ingest, console, alerts, upkeep, devices of real MicroPython."),
    "up": Part(
        "host.cli.up", "up",
        "Bring a plant up and leave it running until Ctrl-C: broker, all servers, alerts, upkeep, devices of real MicroPython."),
    "ingest": Part("host.cli.ingest", "ingest", "Store what devices send, then acknowledge it. Ends at Ctrl-C or SIGTERM."),
    "upkeep": Part(
        "host.cli.upkeep", "upkeep",
        "Do by schedule what must be done again and again: sums and day columns, retention, detectors, the word to rollout gates."),
    "budget": Part(
        "host.cli.budget", "budget",
        "Flash life, ring depth, bytes on the wire, RAM and flash to spare: what a configuration costs a board over the years."),
    "doctor": Part(
        "host.cli.doctor", "doctor",
        "Find, by trying, what of a running broker loses data or lets a device speak as another; look at a database's settings."),
    "ports": Part(
        "host.cli.ports", "ports",
        "List boards: port, chip, MAC address, flash, and what runs on each. All are asked at once, and reset afterwards."),
    "flash": Part(
        "host.cli.flash", "flash",
        "Erase a board, write the image, verify it by digest. `--port all`: every board that is plugged in, all at once."),
    "app": Part(
        "host.cli.desk", "app",
        "Compile the firmware and copy to the board at its prompt what differs there, as its factory release; then reset it."),
    "monitor": Part(
        "host.cli.desk", "monitor",
        "Show what a board says, with the time of each line, until Ctrl-C. A cable that is pulled is waited for."),
    "shell": Part(
        "host.cli.desk", "shell",
        "Open MicroPython's prompt of a board, by mpremote; Ctrl-X or Ctrl-] ends it. A board that has its site has no prompt."),
    "provision": Part(
        "host.cli.desk", "provision",
        "Make a flashed board a device: write network, trust and site, let it make its key, enter its birth into the ledger."),
    "keys": Part("host.cli.keys", "app", "Keys of roots, releases and directions."),
    "boards": Part("host.cli.boards", "app", "Profiles of boards."),
    "ca": Part("host.cli.ca", "app", "The certificate authority, and the ledger of all that it issued."),
    "enrol": Part("host.cli.enrol", "app", "Enrolment of devices."),
    "image": Part("host.cli.image", "app", "Build what is flashed onto a board."),
    "firmware": Part("host.cli.firmware", "app", "MicroPython of our own for a board, with the agent frozen in."),
    "line": Part("host.cli.line", "app", "The production line: flash, test and birth of boards, lot by lot."),
    "secure": Part("host.cli.secure", "app", "Secure boot: plan, rehearse and burn eFuses. Burning cannot be undone."),
    "release": Part("host.cli.release", "app", "Build, sign, verify and publish releases."),
    "archive": Part("host.cli.archive", "app", "The archive of every release ever published."),
    "rollout": Part("host.cli.rollout", "app", "Bring a release to the fleet, stage by stage."),
    "devices": Part("host.cli.devices", "app", "What each device runs, and why; where it stands, its tags and its history."),
    "data": Part(
        "host.cli.data", "app",
        "What machines measured: newest values, a window, a night, sums, and all of it as a file."),
    "fleet": Part("host.cli.fleet", "app", "Who is online, who is not, and which version drops connections."),
    "config": Part("host.cli.config", "app", "What devices measure and how, changed over the air."),
    "alerts": Part("host.cli.alerts", "app", "What is wrong, what was, and who is told."),
    "token": Part("host.cli.token", "app", "Tokens of the OTA server's API: a role, an end, and models if wanted."),
    "audit": Part("host.cli.audit", "app", "Who did what on the OTA server, and whether the log of it is whole."),
    "anomaly": Part("host.cli.anomaly", "app", "What looks wrong, why, and when a limit will be reached."),
    "route": Part("host.cli.route", "app", "Which gateway devices are sent to; a device is moved by a DNS record."),
    "sensors": Part("host.cli.sensors", "app", "Sensors of boards."),
    "quarantine": Part("host.cli.quarantine", "app", "What ingest could not store: why, its bytes, and another try."),
    "sim": Part("host.cli.sim", "app", "Emulated and simulated boards, and rollouts over simulated fleets."),
    "telemetry": Part("host.cli.upkeep", "app", "Upkeep of the telemetry database: sums, day columns, retention, backup."),
    "db": Part("host.cli.db", "app", "Whether the telemetry database is sound."),
    "bench": Part("host.cli.bench", "app", "Measure what is promised in figures, peers beside it."),
    "broker": Part("host.cli.broker", "app", "The broker: the stream that several ingest workers share."),
}


class _Tenfold(Parts):
    table = COMMANDS


app = typer.Typer(
    name="tenfold", cls=_Tenfold, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Tenfold: flash, provision, update, listen to and watch a fleet of your own devices.",
    epilog="First success: `tenfold demo` (or `make demo`).",
)


@app.callback()
def _tenfold() -> None:
    """The parts bring all options."""


def main() -> None:
    """Run the command; faults that the user can mend end in one line, others in a traceback: they are ours."""
    try:
        app()
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    except Exception as error:
        from host.cli.errors import USER_ERRORS  # noqa: PLC0415  every part's errors, so every part: only when one came

        if not isinstance(error, USER_ERRORS):
            raise
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(f"tenfold: {message}", file=sys.stderr)
    sys.exit(EXIT_USAGE)
