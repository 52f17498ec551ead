"""What others make of the same readings: narrow rows in PostgreSQL, and VictoriaMetrics' own import. None goes through a broker.

What is sent is made while the clock stands. PostgreSQL's commits reach the disk; VictoriaMetrics writes to its memory first and to
the disk some seconds later, and acknowledges before. So these are upper bounds of what they store durably.
"""

import http.client
import importlib
import io
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from host.bench import postgres
from host.bench.talking import EPOCH_MS, PERIOD_MS
from host.bench.workload import CHANNELS, typical
from host.sim.ports import free_ports
from host.sim.processes import die_with_parent

DEVICES, GROUP = 100, 100     # devices, and batches of one commit or request
STARTED_S = 30.0
TABLE = "CREATE TABLE narrow (series int, at_ms bigint, value int, PRIMARY KEY (series, at_ms))"


class Figures(TypedDict):
    """Readings a second, and in all."""

    readings_per_s: int
    readings: int


def measure(samples: int, seconds: float, where: Path | None, victoria: str | None) -> dict[str, Figures | None]:
    """Let each peer take readings for some seconds; None for one that is not installed."""
    found: dict[str, Figures | None] = {"postgresql_copy": None, "postgresql_on_conflict": None, "victoriametrics": None}
    if where is not None:
        with tempfile.TemporaryDirectory(prefix="tenfold-pg-") as made, postgres.running(Path(made), where) as cluster:
            found["postgresql_copy"] = _postgresql(cluster, samples, seconds, again=False)
            found["postgresql_on_conflict"] = _postgresql(cluster, samples, seconds, again=True)
    if victoria is not None:
        found["victoriametrics"] = _victoria(victoria, samples, seconds)
    return found


def _groups(samples: int) -> Iterator[list[tuple[int, list[int], list[int]]]]:
    """Groups of batches for ever, each batch as series (device and channel), times and values."""
    ways = [typical(way, samples) for way in range(20)]
    number = 0
    while True:
        group = []
        for _ in range(GROUP):
            device, turn = number % DEVICES, number // DEVICES
            times = [EPOCH_MS + (turn * samples + i) * PERIOD_MS for i in range(samples)]
            for channel, values in enumerate(ways[number % len(ways)]):
                group.append((device * len(CHANNELS) + channel, times, values))
            number += 1
        yield group


def _postgresql(cluster: postgres.Cluster, samples: int, seconds: float, *, again: bool) -> Figures:
    """COPY into a table with its key; or into one of the session and from there, so that a repetition is no error."""
    psycopg: Any = importlib.import_module("psycopg")
    count, took_s = 0, 0.0
    with psycopg.connect(cluster.conninfo) as connection:
        connection.execute("DROP TABLE IF EXISTS narrow")
        connection.execute(TABLE)
        connection.execute("CREATE TEMP TABLE arrived (LIKE narrow) ON COMMIT DELETE ROWS")
        connection.commit()
        groups = _groups(samples)
        while took_s < seconds:
            text = io.StringIO()
            rows = 0
            for series, times, values in next(groups):
                text.writelines(f"{series}\t{at}\t{value}\n" for at, value in zip(times, values, strict=True))
                rows += len(times)
            raw = text.getvalue().encode()
            began = time.perf_counter()
            with connection.cursor() as cursor:
                with cursor.copy(f"COPY {'arrived' if again else 'narrow'} FROM STDIN") as copy:
                    copy.write(raw)
                if again:
                    cursor.execute("INSERT INTO narrow SELECT * FROM arrived ON CONFLICT DO NOTHING")
            connection.commit()
            took_s += time.perf_counter() - began
            count += rows
    return Figures(readings_per_s=round(count / took_s), readings=count)


def _victoria(program: str, samples: int, seconds: float) -> Figures:
    count, took_s = 0, 0.0
    with _running_victoria(program) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STARTED_S)
        groups = _groups(samples)
        while took_s < seconds:
            lines, rows = [], 0
            for series, times, values in next(groups):
                name, _, step = CHANNELS[series % len(CHANNELS)]
                metric = {"__name__": name, "device": f"bench-{series // len(CHANNELS):012x}"}
                scaled = [round(value * float(step), 3) for value in values]
                lines.append(json.dumps({"metric": metric, "values": scaled, "timestamps": times}))
                rows += len(times)
            body = "\n".join(lines).encode()
            began = time.perf_counter()
            connection.request("POST", "/api/v1/import", body)
            answer = connection.getresponse()
            answer.read()
            took_s += time.perf_counter() - began
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                raise RuntimeError(f"VictoriaMetrics answered {answer.status}")
            count += rows
        connection.close()
    return Figures(readings_per_s=round(count / took_s), readings=count)


@contextmanager
def _running_victoria(program: str) -> Iterator[int]:
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tenfold-") as folder, subprocess.Popen(
            [program, f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent) as process:   # noqa: PLW1509
        try:
            end = time.monotonic() + STARTED_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{program} does not start")
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STARTED_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
