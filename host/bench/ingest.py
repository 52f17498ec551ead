"""Readings a second from a broker to the durable ack: the real nats-server over mutual TLS, the real ingest with its defaults.

Each device has its own certificate, topics and connection, and a window of batches under way, which the server's ack alone frees
(talking.py). Ingest is `python -m host.ingest` as in the field; the database is an SQLite file or a PostgreSQL of the bench's own,
both with every commit on the disk. Broker, ingest, database and devices share the machine's cores. Afterwards the database must
have every batch that was acked, once. Peers get the same readings (ingest_peers.py).
"""

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from sqlalchemy import func, select

from host import broker
from host.bench import fleet, ingest_peers, postgres
from host.bench.fleet import RefusedError
from host.bench.talking import Done, Job, Member
from host.bench.workload import CHANNELS
from host.db import open_engine
from host.sim.plant import REPOSITORY
from host.sim.ports import free_ports
from host.sim.processes import die_with_parent
from host.store import tables
from provisioning import ca, pki

DEVICES, WINDOW = 64, 2      # 128 batches under way: what 50 ms carry at 2,500 batches a second
SAMPLES = 60                 # of four channels: 240 readings
SECONDS, QUICK_S, WARM_S = 20.0, 5.0, 2.0
PEER_S = 2.0                 # of each peer: they are steady from the first second on
STARTED_S = 120.0
STORES = ("sqlite", "postgresql")
STEPS = 3                    # parts of `measure`


class Figures(TypedDict):
    """What one database took.

    Cores: of the broker, of ingest, of the devices, and what PostgreSQL's processes had. Memory: ingest's, after the warm-up and at
    the end, and the broker's then, in 10^6 bytes. `stored`: batches in the database.
    """

    readings_per_s: int
    p50_ms: float
    p99_ms: float
    batches_per_s: int
    readings: int
    stored: int
    seconds: float
    broker_cores: float
    ingest_cores: float
    devices_cores: float
    database_cores: float
    rss_start_mb: float
    rss_end_mb: float
    broker_rss_mb: float
    readings_per_ingest_cpu_s: int


class Report(TypedDict):
    """None where PostgreSQL or its driver is not installed; so in the peers."""

    devices: int
    window: int
    samples: int
    cpus: int
    sqlite: Figures | None
    postgresql: Figures | None
    peers: dict[str, ingest_peers.Figures | None]


@dataclass(frozen=True)
class Plant:
    """What a bench of ingest needs before a process runs: certificates, the broker's configuration, ports."""

    folder: Path
    pki: pki.FleetPki
    members: list[Member]
    mqtt_port: int
    broker_config: Path

    def ingest_config(self, url: str, **settings: object) -> Path:
        """Write ingest's settings."""
        path = self.folder / "ingest.json"
        path.write_text(json.dumps({
            "database": url, "port": self.mqtt_port, "ca_file": str(self.pki.ca_file),
            "cert_file": str(self.pki.cert("svc.ingest")), "key_file": str(self.pki.key("svc.ingest")), **settings,
        }), encoding="utf-8")
        return path


def plant(folder: Path, devices: int, **settings: object) -> Plant:
    """Make a plant's files; `settings` are the broker's."""
    made = pki.make_fleet_pki(folder / "pki")
    issuing, now = pki.load_authority(made.cert("issuing"), made.key("issuing")), dt.datetime.now(dt.UTC)
    members = []
    for number in range(devices):
        name, key = f"bench-{number:012x}", ca.make_key()
        pki.write_key(made.key(name), key)
        pki.write_pem(made.cert(name), ca.issue_device(issuing, key.public_key(), name, now))
        members.append(Member(name=name, cert=str(made.cert(name)), key=str(made.key(name))))
    mqtt_port, client_port, monitor_port = free_ports(3)
    told = broker.BrokerSettings.model_validate({
        "mqtt_port": mqtt_port, "client_port": client_port, "monitor_port": monitor_port, "cert_file": made.cert("svc.broker"),
        "key_file": made.key("svc.broker"), "ca_file": made.ca_file, "store_dir": folder / "store", **settings})
    config = broker.write(folder / "broker", told, [member["name"] for member in members])
    return Plant(folder, made, members, mqtt_port, config)


def measure(devices: int, seconds: float, victoria: str | None, step: Callable[[str], None]) -> Report:
    """Measure both databases and the peers.

    Args:
        victoria: VictoriaMetrics' program; None: it is left out.
        step: called before each of STEPS parts with what it is.

    Raises:
        RefusedError: a process failed, or the database does not have what was acked.
    """
    where = postgres.programs()
    found: dict[str, Figures | None] = {}
    for store in STORES:
        step(store)
        found[store] = None
        if store == "sqlite" or where is not None:
            with tempfile.TemporaryDirectory(prefix="tenfold-") as made, contextlib.ExitStack() as stack:
                folder = Path(made)
                url, cluster = f"sqlite:///{folder}/telemetry.db", None
                if store == "postgresql" and where is not None:
                    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tenfold-pg-")))
                    cluster = stack.enter_context(postgres.running(place, where))
                    url = cluster.url
                found[store] = _run(plant(folder, devices), url, cluster, seconds)
    step("peers")
    return Report(devices=devices, window=WINDOW, samples=SAMPLES, cpus=os.cpu_count() or 1, sqlite=found["sqlite"],
                  postgresql=found["postgresql"], peers=ingest_peers.measure(SAMPLES, min(seconds, PEER_S), where, victoria))


def _run(made: Plant, url: str, cluster: postgres.Cluster | None, seconds: float) -> Figures:
    """One database: start the processes, let the devices talk, count."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_process(made, "broker", [str(broker.nats_server_binary()), "-c", str(made.broker_config)]))
        _await(server, made, "broker", "Server is ready")
        ingest = stack.enter_context(_process(
            made, "ingest", [sys.executable, "-m", "host.ingest", "--config", str(made.ingest_config(url))]))
        _await(ingest, made, "ingest", "subscribed to")
        job = Job(port=made.mqtt_port, ca_file=str(made.pki.ca_file), members=made.members, window=WINDOW, samples=SAMPLES,
                  seconds=seconds, warm_s=WARM_S, records=0, duplicate_pct=0, garbage_pct=0, reorder=False, steps=False, seed=1)
        with subprocess.Popen([sys.executable, "-m", "host.bench.talking"], cwd=REPOSITORY, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as devices:   # noqa: PLW1509
            stack.callback(devices.kill)
            _tell(devices, json.dumps(job))
            _expect(devices, "ready")
            _tell(devices, "go")
            _expect(devices, "acked")
            time.sleep(WARM_S)   # the devices' own warm-up
            began = {name: _cpu_s(pids) for name, pids in _parts(server, ingest, cluster).items()}
            rss_start_mb, began_s = fleet.rss_mb(ingest.pid), time.monotonic()
            time.sleep(max(0.0, seconds - 1))   # the last second is theirs: afterwards they may be gone
            took_s = time.monotonic() - began_s
            cores = {name: round((_cpu_s(pids) - began[name]) / took_s, 2)
                     for name, pids in _parts(server, ingest, cluster).items()}
            rss_end_mb, broker_rss_mb = fleet.rss_mb(ingest.pid), fleet.rss_mb(server.pid)
            done = _last(devices)
    stored = _stored(url)
    if not done["took_s"] or stored < done["acked"] - len(made.members):   # a schema record each is no batch
        raise RefusedError(f"{done['acked']} batches were acked, {stored} are stored: {_words(made, 'ingest')}")
    rate = done["readings"] / done["wall_s"]
    took = sorted(done["took_s"])
    return Figures(
        readings_per_s=round(rate), p50_ms=fleet.percentile_ms(took, 50), p99_ms=fleet.percentile_ms(took, 99),
        batches_per_s=round(rate / (SAMPLES * len(CHANNELS))), readings=done["readings"], stored=stored,
        seconds=round(done["wall_s"], 1), broker_cores=cores["broker"], ingest_cores=cores["ingest"],
        devices_cores=round(done["cpu_s"] / done["wall_s"], 2), database_cores=cores["database"], rss_start_mb=rss_start_mb,
        rss_end_mb=rss_end_mb, broker_rss_mb=broker_rss_mb, readings_per_ingest_cpu_s=round(rate / max(cores["ingest"], 0.01)))


def _parts(server: "subprocess.Popen[bytes]", ingest: "subprocess.Popen[bytes]", cluster: postgres.Cluster | None,
           ) -> dict[str, list[int]]:
    return {"broker": [server.pid], "ingest": [ingest.pid], "database": [] if cluster is None else cluster.processes()}


def _cpu_s(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):   # a worker of PostgreSQL's that is gone
            total += fleet.cpu_s(pid)
    return total


@contextlib.contextmanager
def _process(made: Plant, name: str, argv: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    with (made.folder / f"{name}.log").open("wb") as log, subprocess.Popen(
            argv, cwd=REPOSITORY, stdout=log, stderr=log, preexec_fn=die_with_parent) as process:   # noqa: PLW1509
        try:
            yield process
        finally:
            process.terminate()


def _await(process: "subprocess.Popen[bytes]", made: Plant, name: str, words: str) -> None:
    end = time.monotonic() + STARTED_S
    while words not in _words(made, name):
        if process.poll() is not None or time.monotonic() > end:
            raise RefusedError(f"{name} did not start: {_words(made, name)}")
        time.sleep(0.05)


def _words(made: Plant, name: str) -> str:
    return (made.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    if process.stdin is not None:
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _expect(process: "subprocess.Popen[str]", word: str) -> None:
    line = process.stdout.readline() if process.stdout is not None else ""
    if word not in line:
        raise RefusedError(f"the devices ended: {line!r}")


def _last(process: "subprocess.Popen[str]") -> Done:
    """What the devices say at their end."""
    lines = process.communicate()[0].splitlines()
    if process.returncode or not lines:
        raise RefusedError("the devices ended before their time")
    done: Done = json.loads(lines[-1])
    return done


def _stored(url: str) -> int:
    engine = open_engine(url, read_only=True)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(tables.batch).where(
                tables.batch.c.kind == tables.KIND_BATCH)) or 0
    finally:
        engine.dispose()
