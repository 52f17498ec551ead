"""`tenfold telemetry`: upkeep of the telemetry database: sums, day columns, retention, backup."""

import json
import sys
import time
from collections.abc import Callable, Iterator
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
from host.db import DatabaseError, migrate, open_engine
from host.settings import load
from host.store import backup as backups
from host.store.check import check
from host.store.classes import Classes
from host.store.compact import Compacted
from host.store.compact import compact as compacted
from host.store.dropping import retain
from host.store.maintenance import MaintenanceError
from host.store.rolling import roll

app = typer.Typer(no_args_is_help=True, help="Upkeep of the telemetry database: sums, day columns, retention, backup.")

Config = Annotated[Path | None, typer.Option(
    "--config", exists=True, dir_okay=False, help="TOML or JSON: channel classes, and how long each is kept (host/DESIGN.md).")]


@app.command()
def compact(
    database: Database = "", config: Config = None,
    every: Annotated[int, typer.Option(min=0, help="Again after so many seconds, for ever; 0: once.")] = 0,
    retention: Annotated[bool, typer.Option("--retention", help="Also drop what is beyond its bounds.")] = False,
    vacuum: Annotated[bool, typer.Option(
        "--vacuum", help="SQLite: give freed room back to the disk; needs as much room again, and ingest waits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring sums up to date and repack batches of closed days into day columns, verified before the batches go.

    Safe beside ingest, and to kill at any instant. Example: tenfold telemetry compact --every 3600 --retention
    """
    classes = load(Classes, config)
    with opened(database) as engine:
        while True:
            try:
                _compact(engine, classes, retention=retention, vacuum=vacuum, as_json=as_json)
            except (SQLAlchemyError, MaintenanceError) as error:
                if not every:
                    raise
                print(f"tenfold: {_brief(error)}; again in {every} s", file=sys.stderr)
            if not every:
                return
            time.sleep(every)


@app.command()
def rollup(database: Database = "", as_json: AsJson = False) -> None:
    """Sum up minutes, hours and days of what came since the last time; late batches sum their days again.

    SQL reads them by rollup_hour and rollup_day. Example: tenfold telemetry rollup
    """
    with opened(database) as engine, progress(as_json) as bar:
        task = bar.add_task("days", total=None)
        days = roll(engine, _now_ms(), lambda done, total: bar.update(task, completed=done, total=total))
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
        gone = retain(engine, load(Classes, config), _now_ms(), dry=dry_run)
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


def _compact(engine: Engine, classes: Classes, *, retention: bool, vacuum: bool, as_json: bool) -> None:
    """One round: sums, columns, the sums of what was moved, and what is beyond its bounds."""
    with progress(as_json) as bar:
        task = bar.add_task("days", total=None)
        done = _round(engine, classes, lambda at, total: bar.update(task, completed=at, total=total))
    gone = retain(engine, classes, _now_ms()) if retention else []
    if vacuum and engine.dialect.name == "sqlite":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    if as_json:
        print(json.dumps({**asdict(done), "dropped": [one.part.name for one in gone]}), flush=True)
        return
    dropped = f", {len(gone)} months dropped" if retention else ""
    print(f"{done.batches:,} batches of {done.days:,} spans of days, {done.readings:,} readings, are day columns now; "
          f"{done.left:,} batches of closed days stay as they came{dropped}", flush=True)


def _round(engine: Engine, classes: Classes, step: Callable[[int, int], None]) -> Compacted:
    now_ms = _now_ms()
    roll(engine, now_ms)
    done = compacted(engine, now_ms, classes, older_days=classes.older_days, step=step)
    roll(engine, now_ms)
    return done


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _brief(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
