"""What is lost or stored twice when processes are killed, databases stall or fill up, and devices repeat, shuffle or talk nonsense.

Real nats-server over mutual TLS, the real ingest, SQLite or PostgreSQL; devices that send again until they are acked (talking.py).
Each fault comes in the middle of a run, with readings on their way, and the run ends when every record of every device is acked.
Then the database is held against what was sent: every record once, byte for byte. What a process said of itself counts for nothing.

How each fault is made, and how it is known that it happened, is strikes.py's. A case whose fault did not happen failed.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from sqlalchemy import func, select

from host import broker
from host.bench import ingest, postgres
from host.bench.fleet import RefusedError
from host.bench.strikes import LOOK_S, Case, Strikes, not_happened
from host.bench.talking import BOOT, Done, Job, Progress, Records
from host.db import open_engine
from host.sim.plant import REPOSITORY
from host.sim.processes import Child, Program, die_with_parent, stop_all
from host.store import tables
from node.wire import batch

DEVICES, WINDOW, SAMPLES = 8, 8, 16
RECORDS, QUICK_RECORDS = 1500, 400   # of each device
AT = (0.2, 0.6)                      # of all records acked, when a fault comes
STALL_S, QUICK_STALL_S = 10.0, 3.0
LIMIT_S = 600.0                      # a run that is not done then never will be
SEED = 7


class Row(TypedDict):
    """One fault. Counts are of records (batches and schemas), `readings` of what they hold.

    `again`: sent once more for want of an ack. `lost`: sent and not stored, or stored otherwise. `twice`: stored beyond what was
    sent. `quarantined`: messages that ingest kept aside. `times`: that the fault struck with records on their way.
    `not_happened`: faults of the case that never came, or not as often as they should have.
    """

    fault: str
    database: str
    times: int
    sent: int
    stored: int
    lost: int
    twice: int
    readings_sent: int
    readings_stored: int
    again: int
    garbage: int
    quarantined: int
    seconds: float
    not_happened: list[str]


_KILLS = (("broker",), ("ingest",), ("broker", "ingest"))
_DATABASE_KILLS = (("database",), ("database", "ingest"), ("database", "broker"))


def cases(*, postgresql: bool, quick: bool) -> list[Case]:
    """All faults, on SQLite and, where it is installed, PostgreSQL; `quick` has each kind once."""
    found = []
    for database in ("sqlite", "postgresql") if postgresql else ("sqlite",):
        kills = (*_KILLS, *(_DATABASE_KILLS if database == "postgresql" else ()))
        found += [Case("SIGKILL of " + " and ".join(kill), database, kill=kill) for kill in kills]
        found += [
            Case("stall of the database", database, stall=True), Case("disk full", database, full=True),
            Case("duplicates", database, duplicate_pct=20), Case("reordering", database, reorder=True),
            Case("clock steps", database, steps=True), Case("1 % garbage", database, garbage_pct=1),
            Case("all of the devices' at once, SIGKILL of ingest", database, kill=("ingest",), duplicate_pct=5, garbage_pct=1,
                 reorder=True, steps=True)]
    if quick:
        sqlite = [case for case in found if case.database == "sqlite"]
        return [*sqlite, *(case for case in found if case not in sqlite and ("database" in case.kill or case.stall or case.full))]
    return found


def is_bad(row: Row) -> bool:
    """Whether readings sent are not readings stored, once, or nothing was tried."""
    return bool(row["lost"] or row["twice"] or row["readings_sent"] != row["readings_stored"] or row["not_happened"])


def measure(todo: Sequence[Case], step: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Run the cases one after the other; `step` is told of each before it begins.

    Raises:
        ProcessError, RefusedError: a process did not start, or a run did not end.
    """
    rows = []
    for case in todo:
        step(f"{case.name}, {case.database}")
        rows.append(asyncio.run(_run(case, QUICK_RECORDS if quick else RECORDS, QUICK_STALL_S if quick else STALL_S)))
    return rows


async def _run(case: Case, records: int, stall_s: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="tenfold-") as made, tempfile.TemporaryDirectory(prefix="tenfold-pg-") as place:
        folder, where = Path(made), postgres.programs()
        files = ingest.plant(folder, DEVICES, ack_wait_s=5)
        url, children, cluster = f"sqlite:///{folder}/telemetry.db", {}, None
        if case.database == "postgresql" and where is not None:
            cluster = postgres.make(Path(place), where)
            url = cluster.url
            children["database"] = Child(cluster.program(folder / "database.log"))
        config = files.ingest_config(url, reconnect_max_s=1, keepalive_s=5)
        nats = (str(broker.nats_server_binary()), "-c", str(files.broker_config))
        children["broker"] = Child(Program("broker", nats, folder, folder / "broker.log", files.mqtt_port))
        children["ingest"] = Child(Program(
            "ingest", (sys.executable, "-m", "host.ingest", "--config", str(config)), REPOSITORY, folder / "ingest.log"))
        try:
            for name, child in children.items():
                await child.start()
                if name == "database" and cluster is not None:
                    await _until(cluster.answers, "PostgreSQL answers")
            await _until(lambda: "subscribed to" in children["ingest"].log(), "ingest subscribes")
            strikes = Strikes(case, children, cluster, url, stall_s)
            job = Job(port=files.mqtt_port, ca_file=str(files.pki.ca_file), members=files.members, window=WINDOW, samples=SAMPLES,
                      seconds=0, warm_s=0, records=records, duplicate_pct=case.duplicate_pct, garbage_pct=case.garbage_pct,
                      reorder=case.reorder, steps=case.steps, seed=SEED)
            began = time.monotonic()
            done = await _talk(job, strikes, case)
            took_s = time.monotonic() - began
            return _row(case, job, done, url, strikes.times, took_s)
        finally:
            await stop_all(list(children.values()))


async def _talk(job: Job, strikes: Strikes, case: Case) -> Done:
    """Run the devices; strike at the marks. Gives what they did."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "host.bench.talking", cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent, limit=1 << 26)
    if process.stdin is None or process.stdout is None:
        raise RefusedError("the devices have no pipes")
    struck: list[Awaitable[None]] = []
    told: dict[str, object] = {}
    try:
        async with asyncio.timeout(LIMIT_S):
            process.stdin.write(json.dumps(job).encode() + b"\ngo\n")
            marks = [share * job["records"] * len(job["members"]) for share in AT] if case.strikes else []
            while line := await process.stdout.readline():
                if line == b"ready\n":
                    continue
                told = json.loads(line)
                if "wall_s" in told:
                    break
                progress = cast("Progress", told)
                strikes.hear(progress)
                if marks and progress["acked"] >= marks[0]:
                    marks.pop(0)
                    struck.append(asyncio.create_task(strikes.strike()))
            for each in struck:
                await each
    except TimeoutError:
        raise RefusedError(f"{case.name}: not done within {LIMIT_S:g} s: {told}") from None
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    if "wall_s" not in told:
        raise RefusedError("the devices ended before their time")
    return cast("Done", told)


def _row(case: Case, job: Job, done: Done, url: str, times: int, took_s: float) -> Row:
    """Hold the database against what was sent, byte for byte."""
    records = Records(job["samples"], job["seed"], steps=job["steps"])
    expected = {seq: records.record(seq) for seq in range(job["records"])}
    names = [member["name"] for member in job["members"]]
    sent = len(expected) * len(names)
    lost = stored = readings = 0
    engine = open_engine(url, read_only=True)
    try:
        with engine.connect() as connection:
            for name in names:
                query = select(tables.batch.c.boot, tables.batch.c.seq, tables.batch.c.payload, tables.batch.c.n_readings)
                rows = connection.execute(query.where(tables.batch.c.device == name)).all()
                kept = {row.seq: bytes(row.payload) for row in rows if row.boot == BOOT}
                lost += sum(kept.get(seq) != raw for seq, raw in expected.items())
                stored += len(rows)
                readings += sum(row.n_readings for row in rows)
            quarantined = connection.scalar(select(func.sum(tables.quarantine.c.times))) or 0
    finally:
        engine.dispose()
    return Row(
        fault=case.name, database=case.database, times=times, sent=sent, stored=stored, lost=lost,
        twice=max(0, stored - sent + lost), readings_sent=(len(expected) - 1) * len(names) * records.readings,
        readings_stored=readings, again=done["again"],
        garbage=done["garbage"], quarantined=int(quarantined), seconds=round(took_s, 1),
        not_happened=not_happened(case, times, len(AT), done, _clock_steps(expected)))


def _clock_steps(records: Mapping[int, bytes]) -> int:
    """How often a device's clock jumped between two batches."""
    epochs = [batch.peek(records[seq])[5] for seq in sorted(records) if seq]
    return sum(map(int.__ne__, epochs, epochs[1:]))


async def _until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > end:
            raise RefusedError(f"not within {LIMIT_S:g} s: {what}")
        await asyncio.sleep(LOOK_S)
