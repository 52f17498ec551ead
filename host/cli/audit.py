"""`tenfold audit`: who did what on the OTA server, and whether the log of it is whole."""

import json
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli import times
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from ota.rules import chain

app = typer.Typer(no_args_is_help=True, help="Who did what on the OTA server, and whether the log of it is whole.")


@app.command()
def show(server: Url, ca: Ca, cert: Cert, key: Key,
         last: Annotated[int, typer.Option(min=1, help="Rows, newest first.")] = 50, as_json: AsJson = False) -> None:
    """Show the newest calls that changed something or were refused."""
    with connect(server, ca, cert, key) as client:
        rows = list(islice(client.audit(), last))
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("n", "when", "who", "role", "call", "about", "outcome", "why")
    for row in rows:
        when = times.utc(row["at_s"] * 1000)
        table.add_row(str(row["n"]), when, row["who"] or "nobody", row["role"], f"{row['method']} {row['path']}", row["about"][:16],
                      row["outcome"], row["reason"])
    Console().print(table)


@app.command()
def verify(
    server: Url, ca: Ca, cert: Cert, key: Key,
    head: Annotated[str, typer.Option(help="N:HASH as this command printed it before: shows rows that were cut off since.")] = "",
    as_json: AsJson = False,
) -> None:
    """Fetch the whole log and follow its chain here. Exit code 1: a row was changed, removed or put in.

    Keep the head that it prints somewhere else, and bring it along the next time.

    Example: tenfold audit verify --head 1207:9f2c…
    """
    n, _, digest = head.partition(":")
    if head and not (n.isdecimal() and len(digest) == len(chain.GENESIS)):
        raise typer.BadParameter(f"got {head!r}, expected N:HASH", param_hint="--head")
    told: dict[str, Any] = {"whole": True, "rows": 0, "head": "", "reason": ""}
    with connect(server, ca, cert, key) as client:
        try:
            rows, newest = chain.verify(client.audit(), (int(n), digest) if head else (0, chain.GENESIS))
            told |= {"rows": rows, "head": f"{rows}:{newest}"}
        except chain.ChainError as error:
            told |= {"whole": False, "reason": str(error)}
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{told['rows']} rows, whole; head {told['head']}" if told["whole"] else f"audit log: {told['reason']}")
    if not told["whole"]:
        raise typer.Exit(1)
