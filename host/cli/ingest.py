"""`tenfold ingest`: store what devices send, then acknowledge it."""

from pathlib import Path
from typing import Annotated

import typer

from host.ingest.__main__ import main


def ingest(
    config: Annotated[Path, typer.Option(help="TOML or JSON file; the keys stand in host/DESIGN.md, \"Settings of ingest\".")],
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes side by side on one database; they share the work."),
    ] = None,
) -> None:
    """Store what devices send, then acknowledge it. Ends at Ctrl-C or SIGTERM.

    Any number of these work on one PostgreSQL, on one machine or on several; on SQLite, those of one machine take turns. Several
    need a broker that shares messages among them: `source = "jetstream"`, or `group = "ingest"` with Mosquitto or EMQX.

    Example: tenfold ingest --config ingest.toml --workers 2
    """
    raise typer.Exit(main(["--config", str(config), *(["--workers", str(workers)] if workers is not None else [])]))
