"""`tenfold doctor`: what of a running broker or database loses data or lets a device speak as another."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from host.cli.drawn import progress
from host.cli.server import AsJson
from host.doctor import examine
from host.doctor.codes import Finding, Severity, is_bad
from host.doctor.database import database as look_at_database
from host.doctor.mqtt import Address
from host.doctor.sessions import MESSAGES

STYLE = {Severity.LOSES: "bold red", Severity.LETS_IN: "bold red", Severity.WARNING: "yellow", Severity.FINE: "green",
         Severity.UNTRIED: "dim"}
CaFile = Annotated[Path | None, typer.Option("--ca", help="PEM bundle that verifies the broker.", exists=True, dir_okay=False)]
File = Annotated[Path | None, typer.Option(exists=True, dir_okay=False)]


def doctor(
    host: Annotated[str, typer.Option(help="The broker, by the name in its certificate.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its MQTT port with TLS.")] = 8883,
    ca: CaFile = None,
    cert: Annotated[Path | None, typer.Option(help="Certificate of the first test device.", exists=True, dir_okay=False)] = None,
    key: File = None,
    second_cert: Annotated[Path | None, typer.Option(help="Of the second one.", exists=True, dir_okay=False)] = None,
    second_key: File = None,
    foreign_cert: Annotated[Path | None, typer.Option(help="Of one that is not ours.", exists=True, dir_okay=False)] = None,
    foreign_key: File = None,
    ingest_cert: Annotated[Path | None, typer.Option(
        help="Of who is ingest to those: svc.doctor. With svc.ingest's, some brokers end a running ingest's connection.",
        exists=True, dir_okay=False)] = None,
    ingest_key: File = None,
    plain_port: Annotated[list[int] | None, typer.Option(help="Ports that may be open without TLS. Default: 1883.")] = None,
    messages: Annotated[int, typer.Option(min=100, max=60_000, help="For a subscriber that stalls.")] = MESSAGES,
    database: Annotated[str | None, typer.Option(help="URL of a telemetry database, looked at too, or alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Find, by trying, what of a running broker loses data or lets a device speak as another; look at a database's settings.

    It takes certificates of two test devices and of a foreign one, which every broker's files of ours list, and of a service that
    may hear them:

    tenfold ca issue doctor-000000000001 --why doctor; tenfold ca issue doctor-000000000002 --why doctor;
    tenfold ca issue doctor-000000000003 --why doctor; tenfold ca issue svc.doctor --why doctor

    Only the test devices' topics are used. Nothing stays on the broker; a running ingest keeps some rows aside in quarantine.
    Takes half a minute. Exit code 1 when something loses data or lets somebody in.

    Example: tenfold doctor --host broker.plant.example --ca ca/ca.pem --cert ca/doctor-000000000001.pem
    --key ca/doctor-000000000001.key --second-cert ca/doctor-000000000002.pem --second-key ca/doctor-000000000002.key
    --foreign-cert ca/doctor-000000000003.pem --foreign-key ca/doctor-000000000003.key
    --ingest-cert ca/svc.doctor.pem --ingest-key ca/svc.doctor.key --database sqlite:///telemetry.db

    Example: tenfold doctor --database postgresql+psycopg://tenfold@localhost/telemetry
    """
    device = _pair(cert, key, "--cert")
    if device is None and database is None:
        raise typer.BadParameter("got nothing to look at, expected --ca, --cert and --key, or --database")
    if device is not None and ca is None:
        raise typer.BadParameter("expected --ca beside --cert")
    found: list[Finding] = []
    with progress(as_json) as bar:
        task = bar.add_task("", total=None)
        if device is not None and ca is not None:
            case = examine.Case(
                Address(host, port, host), ca, device, _pair(second_cert, second_key, "--second-cert"),
                _pair(ingest_cert, ingest_key, "--ingest-cert"), tuple(plain_port or (examine.PLAIN_PORT,)), messages,
                _pair(foreign_cert, foreign_key, "--foreign-cert"))
            found += examine.broker(case, lambda what: bar.update(task, description=what))
        if database is not None:
            bar.update(task, description="database")
            found += look_at_database(database)
    if as_json:
        print(json.dumps({"findings": [asdict(one) for one in found], "bad": is_bad(found)}))
    else:
        _show(found)
    if is_bad(found):
        raise typer.Exit(1)


def _pair(cert: Path | None, key: Path | None, option: str) -> examine.Pair | None:
    if (cert is None) != (key is None):
        raise typer.BadParameter("a certificate and its key go together", param_hint=option)
    return None if cert is None or key is None else examine.Pair(cert, key)


def _show(found: list[Finding]) -> None:
    """One line for what is well, a paragraph for what is not; the worst last, where a terminal ends."""
    console = Console(highlight=False, soft_wrap=True)
    order = [Severity.FINE, Severity.UNTRIED, Severity.WARNING, Severity.LETS_IN, Severity.LOSES]
    for one in sorted(found, key=lambda one: order.index(one.severity)):
        console.print(Text.assemble((f"{one.severity:<9}", STYLE[one.severity]), f"  {one.code:<20}  {one.tried}: {one.happened}"))
        if one.means:
            console.print(Text(f"           {one.means}"))
        for where, what in one.mend.items():
            console.print(Text(f"           {where}: {what}", style="dim"))
    counts = {severity: sum(one.severity is severity for one in found) for severity in reversed(order)}
    console.print(", ".join(f"{count} {severity}" for severity, count in counts.items() if count))
