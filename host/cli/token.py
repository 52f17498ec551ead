"""`tenfold token`: short-lived keys for machines and helpers, with a role and, if wanted, for some models only."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from host.settings import SettingsError
from ota.rules.access import Role

app = typer.Typer(no_args_is_help=True, help="Tokens of the OTA server's API: a role, an end, and models if wanted.")


@app.command()
def create(
    out: Annotated[Path, typer.Argument(help="New file for the token, mode 600. It is shown nowhere else and never again.")],
    server: Url, ca: Ca, cert: Cert, key: Key,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    model: Annotated[list[str] | None, typer.Option(help="Only for this model; repeat. Default: all.")] = None,
    days: Annotated[float, typer.Option(help="Until it ends; 400 at most.")] = 90,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a token. Whoever uses it needs an operator's or a service's certificate too: a token alone opens nothing.

    Example: tenfold token create ci.token --role operator --model hall --days 30 --note "nightly releases"
    """
    try:
        out.touch(mode=0o600, exist_ok=False)   # before the token exists: one that cannot be kept must not be made
    except FileExistsError:
        raise SettingsError("out", f"{out}, which exists", "a new file") from None
    try:
        with connect(server, ca, cert, key) as client:
            made = client.add_token(role, model or [], days, note)
        out.write_text(made.pop("token") + "\n")
    except BaseException:
        out.unlink()
        raise
    print(json.dumps(made) if as_json else f"{out}: token {made['ident']}, {made['role']}, until {_time(made['expires_s'])}; "
          "use it with TENFOLD_TOKEN_FILE")


@app.command("list")
def list_(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """List tokens, newest first; what they are is not known to the server."""
    with connect(server, ca, cert, key) as client:
        rows = client.tokens()
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(Column("token", no_wrap=True), "role", "models", "by", "until", "last used", "revoked", "note")
    for row in rows:
        table.add_row(row["ident"], row["role"], ", ".join(row["models"]) or "all", row["added_by"], _time(row["expires_s"]),
                      _time(row["used_s"]), _time(row["revoked_s"]), row["note"])
    Console().print(table)


@app.command()
def revoke(token: Annotated[str, typer.Argument(help="As `tenfold token list` shows it.")],
           server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """End a token for good."""
    with connect(server, ca, cert, key) as client:
        print(f"token {client.revoke_token(token)['ident']} is revoked")


def _time(at_s: float | None) -> str:
    return "" if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
