"""`tenfold enrol`: why a device has a certificate or none."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.cli import times
from host.cli.ca import LEDGER, By, LedgerUrl, Why, word
from host.cli.server import AsJson
from host.db import open_engine
from provisioning.attempts import Attempts
from provisioning.enrol.explain import explain as explained
from provisioning.ledger import Ledger

app = typer.Typer(no_args_is_help=True, help="Enrolment of devices.")
Device = Annotated[str, typer.Argument(help="Device id.")]


@app.callback()
def group() -> None:
    """Enrolment of devices."""


@app.command()
def explain(device: Device, ledger: LedgerUrl = LEDGER, as_json: AsJson = False) -> None:
    """Explain why a device gets no certificate: its birth, what it was refused last, what to do.

    Example: tenfold enrol explain hall-0242ac110001
    """
    engine = open_engine(ledger)
    told = explained(Ledger(engine), Attempts(engine), device, int(datetime.now(UTC).timestamp()))
    if as_json:
        print(json.dumps(told))
        return
    birth, held = told["birth"], told["certificates"]
    print(f"{device}: " + (f"born {times.utc(birth['at_s'] * 1000)}, lot {birth['lot']}" if birth else "no birth record"))
    if held:
        last = held[-1]
        print(f"{len(held)} certificates, the last {last['serial']} of {times.utc(last['at_s'] * 1000)} ({last['why']}), "
              f"until {times.utc(last['not_after_s'] * 1000)}")
    if told["refused"]:
        table = Table("refused", "times", "first", "last", "from")
        for one in told["refused"]:
            first, last = (times.utc(one[key] * 1000) for key in ("first_s", "last_s"))
            table.add_row(one["code"], str(one["count"]), first, last, one["peer"])
        Console().print(table)
    if "code" in told:
        print(f"{told['code']}: {told['means']}\nwhat to do: {told['do']}")
    else:
        print("nothing stands in its way: its birth key gets a certificate")


@app.command()
def allow(
    device: Device, why: Why, ledger: LedgerUrl = LEDGER, by: By = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long your word holds.")] = 30,
) -> None:
    """Let a device have its first certificate though it lay on a shelf for too long; it asks again by itself.

    Example: tenfold enrol allow hall-0242ac110001 --why "spare of 2022, seal unbroken"
    """
    said = word(by, why)
    Ledger(open_engine(ledger)).permit(device, "first", said.now_s + days * 86_400, said.now_s, who=said.who, why=said.why)
    print(f"{device}: may have its first certificate within {days} days")
