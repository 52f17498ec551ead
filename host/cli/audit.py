"""`tenfold audit`: who did what on the OTA server, and whether the log of it is whole."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

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
        when = datetime.fromtimestamp(row["at_s"], UTC).strftime("%Y-%m-%d %H:%M:%S")
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
    seen: dict[str, bool] = {"head": not head}
    reason = ""
    rows, newest = 0, chain.GENESIS
    with connect(server, ca, cert, key) as client:
        try:
            rows, newest = chain.verify(_watch(client.audit(), int(n or 0), digest, seen))
        except chain.ChainError as error:
            reason = str(error)
    if not reason and not seen["head"]:
        reason = f"row {n} with the hash of the head that was noted is not there: the log was cut or written anew"
    if as_json:
        print(json.dumps({"whole": not reason, "rows": rows, "head": f"{rows}:{newest}", "reason": reason}))
    else:
        print(f"audit log: {reason}" if reason else f"{rows} rows, whole; head {rows}:{newest}")
    if reason:
        raise typer.Exit(1)


def _watch(rows: Iterable[dict[str, Any]], n: int, digest: str, seen: dict[str, bool]) -> Iterator[dict[str, Any]]:
    """Pass rows on, and note when the head passes by."""
    for row in rows:
        if row["n"] == n and row["hash"] == digest:
            seen["head"] = True
        yield row
