"""`tenfold upkeep`, and `tenfold telemetry`, which does by hand what it does by schedule, and more: backup, restore."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from host.cli.database import Database, default
from host.cli.drawn import progress
from host.cli.server import AsJson
from host.clock import unix_ms
from host.db import DatabaseError, migrate, open_engine
from host.settings import load
from host.store import backup as backups
from host.store.check import check
from host.store.classes import Classes
from host.store.dropping import retain
from host.store.rolling import roll
from host.upkeep.__main__ import main
from host.upkeep.columns import go_round

app = typer.Typer(no_args_is_help=True, help="Upkeep of the telemetry database: sums, day columns, retention, backup.")

Config = Annotated[Path | None, typer.Option(
    "--config", exists=True, dir_okay=False, help="TOML or JSON: channel classes, and how long each is kept (host/DESIGN.md).")]


def upkeep(
    config: Annotated[Path, typer.Option(help="TOML or JSON file; the keys stand in host/DESIGN.md, \"Upkeep\".")],
) -> None:
    """Do by schedule what must be done again and again: sums and day columns, retention, detectors, the word to rollout gates.

    One task after another, until Ctrl-C or SIGTERM; safe beside ingest, and to kill at any instant. One process a database.

    Example: tenfold upkeep --config upkeep.toml
    """
    raise typer.Exit(main(["--config", str(config)]))


@app.command()
def compact(
    database: Database = "", config: Config = None,
    retention: Annotated[bool, typer.Option("--retention", help="Also drop what is beyond its bounds.")] = False,
    vacuum: Annotated[bool, typer.Option(
        "--vacuum", help="SQLite: give freed room back to the disk; needs as much room again, and ingest waits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring sums up to date and repack batches of closed days into day columns, verified before the batches go.

    Safe beside ingest, and to kill at any instant. `tenfold upkeep` does it hourly. Example: tenfold telemetry compact --retention
    """
    classes = load(Classes, config)
    with opened(database) as engine:
        with progress(as_json) as bar:
            one = bar.add_task("days", total=None)
            done = go_round(engine, classes, retention=retention, step=lambda at, total: bar.update(one, completed=at, total=total))
        if vacuum and engine.dialect.name == "sqlite":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        if as_json:
            print(json.dumps({**asdict(done.compacted), "dropped": [one.part.name for one in done.dropped]}))
        else:
            print(done.says())


@app.command()
def rollup(database: Database = "", as_json: AsJson = False) -> None:
    """Sum up minutes, hours and days of what came since the last time; late batches sum their days again.

    SQL reads them by rollup_hour and rollup_day. Example: tenfold telemetry rollup
    """
    with opened(database) as engine, progress(as_json) as bar:
        task = bar.add_task("days", total=None)
        days = roll(engine, unix_ms(), lambda done, total: bar.update(task, completed=done, total=total))
    print(json.dumps({"days": days}) if as_json else f"{days:,} days of devices summed up")


@app.command()
def retention(
    database: Database = "", config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False, as_json: AsJson = False,
) -> None:
    """Drop months of day columns that are beyond the age or the size of their channel class, as a whole.

    Without --config: one class, 400 days; sums ten years. Example: tenfold telemetry retention --config classes.toml --dry-run
    """
    with opened(database) as engine:
        gone = retain(engine, load(Classes, config), unix_ms(), dry=dry_run)
    if as_json:
        print(json.dumps([{"part": one.part.name, "bytes": one.bytes, "reason": one.reason} for one in gone]))
        return
    for one in gone:
        print(f"{one.part.name}: {one.bytes:,} bytes, by {one.reason}{', would go' if dry_run else ''}")
    if not gone:
        print("nothing is beyond its bounds")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; must not be there yet.")], database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Write the whole database, day columns included, into one file while ingest runs.

    SQLite: a tar file. PostgreSQL: what pg_dump makes; its own tools for streaming copies go further.

    Example: tenfold telemetry backup telemetry-2026-11-23.tar
    """
    with opened(database) as engine:
        size = backups.backup(engine, file)
    print(json.dumps({"file": str(file), "bytes": size}) if as_json else f"{file}: {size:,} bytes")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What backup wrote.")],
    database: Annotated[str, typer.Option("--database", help="URL of the database to make; nothing may be there yet.")],
) -> None:
    """Make a database of a backup, and check it. Exit code 1: it is made and not sound.

    Example: tenfold telemetry restore telemetry-2026-11-23.tar --database sqlite:///restored.db
    """
    engine = open_engine(database)
    if engine.dialect.name == "postgresql":
        backups.refuse_used(engine)
    backups.restore(database, file)
    with opened(database) as made:
        found = check(made)
    engine.dispose()
    for one in found:
        print(one)
    if found:
        raise typer.Exit(1)
    print("restored and sound")


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a telemetry database that is there, at this release's schema.

    Raises:
        DatabaseError: it is not there, or fails.
    """
    url = url or default()
    engine = open_engine(url)
    place = make_url(url).database
    if engine.dialect.name == "sqlite" and not (place and Path(place).is_file()):
        raise DatabaseError(f"database {url!r}: there is no such file; name the telemetry database with --database")
    try:
        migrate(engine, "host.store")
        yield engine
    except SQLAlchemyError as error:
        raise DatabaseError(f"database {engine.url!r}: {_brief(error)}") from None
    finally:
        engine.dispose()




def _brief(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
