"""`tenfold quarantine`: what ingest could not store: why, its bytes, and another try after something was mended."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from host.cli import times
from host.cli.database import Database, present
from host.cli.drawn import filled, right, whole
from host.cli.server import AsJson
from host.clock import unix_ms
from host.db import DatabaseError, migrate, open_engine
from host.ingest.decode import decode
from host.ingest.replay import STORED, Replay
from host.ingest.sort import Pack, Record, Reject, sort
from host.settings import SettingsError
from host.store.quarantine import Choice, Kept, Quarantine
from host.store.tables import KIND_BATCH
from node.errors import FormatError
from node.wire import schema

ROW_BYTES = 16          # of a hex dump
SHOWN_RECORDS = 10      # of a SenML pack
app = typer.Typer(no_args_is_help=True, help="What ingest could not store: why, its bytes, and another try.")

Reason = Annotated[str, typer.Option(help="Only rows of this reason; `batch.` stands for all that begin so.")]
Device = Annotated[str, typer.Option(help="Only rows of this device.")]
Ids = Annotated[list[int] | None, typer.Argument(help="Rows, as `list` numbers them.")]
All = Annotated[bool, typer.Option("--all", help="All rows.")]


@app.command("list")
def list_(
    database: Database = "", reason: Reason = "", device: Device = "",
    limit: Annotated[int, typer.Option(min=1, help="As many rows at most, those that came last.")] = 50, as_json: AsJson = False,
) -> None:
    """List what lies in quarantine, what came last first.

    Example: tenfold quarantine list --reason batch. --limit 20
    """
    rows = list(_rows(Quarantine(_engine(database, read_only=True)), Choice(reason=reason, device=device), limit))
    if as_json:
        print(json.dumps([_told(row) for row in rows]))
        return
    Console().print(filled(
        [right("id"), whole("reason"), whole("device"), "topic", right("times"), right("bytes"), right("tried"), "last (UTC)"],
        [[str(row.id), row.reason, row.device, "" if row.device else row.topic, str(row.times),
          str(row.size) + ("" if row.is_whole else ", cut"), str(row.tried or ""), times.utc(row.last_ms)] for row in rows]))


@app.command()
def show(row: Annotated[int, typer.Argument(help="As `list` numbers it.")], database: Database = "",
         as_json: AsJson = False) -> None:
    """Show one row: its bytes, and what the decoder says of them now.

    Example: tenfold quarantine show 17
    """
    kept = next(_rows(Quarantine(_engine(database, read_only=True)), Choice(ids=(row,)), 1), None)
    if kept is None:
        raise SettingsError("row", str(row), "one that `tenfold quarantine list` shows")
    said = list(_said(kept))
    if as_json:
        print(json.dumps({**_told(kept), "payload": kept.payload.hex(), "decoder": said}))
        return
    often = "once" if kept.times == 1 else f"{kept.times} times"
    print(f"{kept.id}: {kept.reason}, from {kept.device or 'nobody'} on {kept.topic}; came {often}, "
          f"first {times.utc(kept.first_ms)}, last {times.utc(kept.last_ms)}; {kept.size} bytes{'' if kept.is_whole else ', cut'}")
    for line in (*said, *_dump(kept.payload)):
        print(line)


@app.command()
def replay(
    ids: Ids = None, database: Database = "", reason: Reason = "", device: Device = "", every: All = False,
    rounding: Annotated[bool, typer.Option("--round", help="As ingest's senml_round: round what has too many digits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try to store rows again, after a decoder, a clock or a list of devices was mended. Exit code 1: some stay.

    What is stored, now or before, leaves quarantine; the rest stays with the reason that it fails for now. Rows of unknown devices
    are taken for known ones.

    Example: tenfold quarantine replay --reason batch.kind
    """
    engine = _engine(database)
    chosen = _chosen(ids, reason, device, every=every)
    try:
        migrate(engine, "host.store")
        done = list(Replay(engine, rounding=rounding).run(Quarantine(engine).ids(chosen), unix_ms()))
    except SQLAlchemyError as error:
        raise _at_fault(error) from None
    if as_json:
        print(json.dumps([asdict(one) for one in done]))
    else:
        stays = Counter(one.reason for one in done if one.outcome != STORED)
        print(f"{len(done) - stays.total()} stored, {stays.total()} stay" + "".join(
            f"\n{n} for {reason}" for reason, n in sorted(stays.items())))
    if any(one.outcome != STORED for one in done):
        raise typer.Exit(1)


@app.command()
def drop(
    ids: Ids = None, database: Database = "", reason: Reason = "", device: Device = "", every: All = False,
    as_json: AsJson = False,
) -> None:
    """Remove rows for good.

    Example: tenfold quarantine drop --device hall-0242ac110001 --reason senml.no_number
    """
    kept = Quarantine(_engine(database))
    chosen = _chosen(ids, reason, device, every=every)
    try:
        removed = kept.remove(kept.ids(chosen))
    except SQLAlchemyError as error:
        raise _at_fault(error) from None
    print(json.dumps({"removed": removed}) if as_json else f"{removed} removed")


def _engine(database: str, *, read_only: bool = False) -> Engine:
    return open_engine(present(database), read_only=read_only)


def _chosen(ids: list[int] | None, reason: str, device: str, *, every: bool) -> Choice:
    if every == bool(ids or reason or device):
        raise SettingsError("rows", "both" if every else "none", "ids, --reason or --device; or --all")
    return Choice(tuple(ids or ()), reason, device)


def _rows(kept: Quarantine, choice: Choice, limit: int) -> Iterator[Kept]:
    try:
        yield from kept.rows(kept.ids(choice, limit))
    except SQLAlchemyError as error:
        raise _at_fault(error) from None


def _at_fault(error: SQLAlchemyError) -> DatabaseError:
    said = str(getattr(error, "orig", None) or error).splitlines()[0]
    return DatabaseError(f"quarantine: {said}; a database of an older release is brought up by starting ingest, or by a replay")


def _told(row: Kept) -> dict[str, Any]:
    return {key: value for key, value in asdict(row).items() if key != "payload"} | {"is_whole": row.is_whole}


def _said(kept: Kept) -> Iterator[str]:
    """What sort and the decoders find in the bytes now."""
    found = sort(kept.topic, kept.payload)
    if isinstance(found, Reject):
        yield f"decoder: {found.reason}{': ' * bool(found.detail)}{found.detail}"
    elif isinstance(found, Pack):
        yield f"decoder: a SenML pack of {len(found.measured)} records"
        for one in found.measured[:SHOWN_RECORDS]:
            total = "" if one.total is None else f", sum {one.total}"
            since = " from its arrival" if one.is_relative else ""
            yield f"  {one.name} = {one.value!s} {one.unit}{total} at {one.time_s} s{since}"
    elif isinstance(found, Record):
        name = f"record ({found.boot}, {found.seq})"
        if found.kind != KIND_BATCH:
            yield f"decoder: {name}, a schema {found.schema.hex()}"
            yield from (f"  {' '.join(one)}" for one in schema.parse(found.body))
            return
        at = times.utc(found.epoch_ms + found.uptime_ms) if found.epoch_ms else "unknown"
        yield (f"decoder: {name}, a batch of {found.n_readings} readings, schema {found.schema.hex()}, quality {found.quality}, "
               f"uptime {found.uptime_ms} ms, time {at}")
        try:
            shape = decode(found.payload).values.shape
            yield f"  its columns decode: {shape[0]} channels, {shape[1]} samples"
        except FormatError as error:
            yield f"  its columns do not decode: {error}"
    else:
        yield "decoder: a state message"


def _dump(payload: bytes) -> Iterator[str]:
    for at in range(0, len(payload), ROW_BYTES):
        row = payload[at:at + ROW_BYTES]
        text = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        yield f"{at:06x}  {row.hex(' '):<{3 * ROW_BYTES - 1}}  {text}"
