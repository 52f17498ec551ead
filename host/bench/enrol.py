"""Enrolments by the real enrolment server: each a full handshake, a proof of the birth key, a certificate that is recorded first.

The server is `python -m provisioning.enrol` as it is run in the field, one process with its default settings and the ledger in an
SQLite file. Every device was born: its key is in the ledger. Births, keys and requests are made before the clock runs; the births'
entries are written at once and have no station's signature, which an enrolment does not look at. DRIVERS processes of devices ask
(host/bench/enrolling.py). Afterwards the ledger must have every certificate that was given out, in a chain that holds.
"""

import base64
import contextlib
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Engine, func, select

from host.bench import fleet
from host.bench.checkin import name_of, running
from host.bench.enrolling import Done, Job
from host.bench.fleet import RefusedError
from host.db import open_engine
from host.ecdsa import point
from host.sim.plant import REPOSITORY
from host.sim.ports import free_ports
from provisioning import ca, chain, pki
from provisioning.ledger import Ledger
from provisioning.tables import births, certificates

DEVICES = 3_000      # who has a certificate comes again only when all have one
DRIVERS = 2          # client processes
IN_FLIGHT = 32       # requests under way, of all of them together
SECONDS, SIGN_S = 8.0, 2.0
LOT = "bench"
STEPS = 4            # parts of `measure`


class Figures(TypedDict):
    """`enrolments_per_cpu_s`: of the server's time, user and system; `server_cores`: what it had of them.

    `client_pct`: of one core, what the busiest client process needed. `recorded`: certificates in the ledger, whose chain holds,
    those before the clock among them. `signatures_per_s`: certificates built and signed by one thread, without a server.
    """

    enrolments_per_s: float
    enrolments_per_cpu_s: float
    enrolments: int
    handshakes: int
    recorded: int
    p50_ms: float
    p99_ms: float
    servers: int
    server_cores: float
    server_rss_mb: float
    clients: int
    client_pct: int
    signatures_per_s: float
    signatures_per_cpu_s: float


def measure(devices: int, seconds: float, sign_s: float, step: Callable[[str], None]) -> Figures:
    """Measure; `step` is called before each of STEPS parts with what it is.

    Raises:
        StartError, RefusedError: the server failed, or gave out what it did not record.
    """
    with tempfile.TemporaryDirectory(prefix="tenfold-") as made:
        step("births")
        folder = Path(made)
        files = pki.make_fleet_pki(folder / "pki")
        engine, port = open_engine(f"sqlite:///{folder}/ledger.db"), free_ports(1)[0]
        try:
            bodies = [base64.b64encode(raw).decode() for raw in _born(engine, devices)]
            step("signatures")
            signed_per_s, signed_per_cpu_s = signatures(pki.load_authority(files.cert("issuing"), files.key("issuing")), sign_s)
            config = _config(folder, files, port)
            with running([sys.executable, "-m", "provisioning.enrol", "--config", str(config)], folder, port, {}) as pid:
                step("enrolments")
                found, cpu_s = _drive(port, files, bodies, seconds, pid)
                rss_mb = fleet.rss_mb(pid)
            step("ledger")
            with engine.connect() as connection:
                recorded = connection.execute(select(func.count()).select_from(certificates)).scalar_one()
            Ledger(engine).verify()
        finally:
            engine.dispose()
    took_s = sorted(one for each in found for one in each["took_s"])
    if not took_s or recorded < len(took_s):
        raise RefusedError(f"{len(took_s)} certificates were given out, {recorded} are recorded")
    wall_s = max(each["wall_s"] for each in found)
    return Figures(
        enrolments_per_s=round(len(took_s) / wall_s, 1), enrolments_per_cpu_s=round(len(took_s) / cpu_s, 1),
        enrolments=len(took_s), handshakes=sum(each["handshakes"] for each in found), recorded=recorded,
        p50_ms=fleet.percentile_ms(took_s, 50), p99_ms=fleet.percentile_ms(took_s, 99),
        servers=1, server_cores=round(cpu_s / wall_s, 2), server_rss_mb=rss_mb, clients=len(found),
        client_pct=round(max(100 * each["cpu_s"] / each["wall_s"] for each in found)),
        signatures_per_s=round(signed_per_s), signatures_per_cpu_s=round(signed_per_cpu_s))


def signatures(issuing: ca.Authority, seconds: float) -> tuple[float, float]:
    """Build and sign device certificates for some seconds; gives how many a second and a CPU second of this thread."""
    public, now, count = ca.make_key().public_key(), dt.datetime.now(dt.UTC), 0
    cpu_s, began = time.thread_time(), time.perf_counter()
    while time.perf_counter() < began + seconds or not count:
        ca.issue_device(issuing, public, name_of(count), now)
        count += 1
    return count / (time.perf_counter() - began), count / (time.thread_time() - cpu_s)


def _born(engine: Engine, count: int) -> Iterator[bytes]:
    """Make devices' keys and enter their births; gives each one's request."""
    ledger, now_s = Ledger(engine), int(time.time())
    ledger.open_lot(LOT, point(ca.make_key().public_key()).hex(), count, now_s + 86_400, now_s)
    made = {name_of(index): ca.make_key() for index in range(count)}
    with engine.begin() as connection:
        chain.append_all(connection, births, [
            {"device": name, "lot": LOT, "key": point(key.public_key()).hex(), "raw": b"", "at_s": now_s}
            for name, key in made.items()])
    for name, key in made.items():
        yield ca.make_request(key, name).public_bytes(Encoding.DER)


def _config(folder: Path, files: pki.FleetPki, port: int) -> Path:
    path = folder / "enrol.json"
    path.write_text(json.dumps({
        "cert_file": str(files.cert("svc.enrol")), "key_file": str(files.key("svc.enrol")), "ca_file": str(files.ca_file),
        "issuing_cert": str(files.cert("issuing")), "issuing_key": str(files.key("issuing")),
        "root_cert": str(files.cert("root")), "port": port, "database": f"sqlite:///{folder}/ledger.db"}), encoding="utf-8")
    return path


def _drive(port: int, files: pki.FleetPki, bodies: Sequence[str], seconds: float, pid: int) -> tuple[list[Done], float]:
    """Run the client processes side by side; gives what each found, and the server's CPU seconds meanwhile."""
    with contextlib.ExitStack() as stack:
        started = []
        for number in range(DRIVERS):
            process = stack.enter_context(subprocess.Popen(
                [sys.executable, "-m", "host.bench.enrolling"], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            job = Job(port=port, ca_file=str(files.cert("root")), bodies=list(bodies[number::DRIVERS]), seconds=seconds,
                      in_flight=max(1, IN_FLIGHT // DRIVERS))
            _tell(process, json.dumps(job))
            started.append(process)
        for process in started:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RefusedError(process.communicate()[1].strip())
        cpu_s = fleet.cpu_s(pid)
        for process in started:
            _tell(process, "go")
        found = []
        for process in started:
            told, complaint = process.communicate()
            if process.returncode:
                raise RefusedError(complaint.strip())
            found.append(json.loads(told))
        return found, fleet.cpu_s(pid) - cpu_s


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):   # it has ended: its last words tell why
            process.stdin.write(line + "\n")
            process.stdin.flush()


