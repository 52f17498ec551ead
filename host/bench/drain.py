"""How fast a device gets rid of a backlog over a bad link, and whether it samples meanwhile.

The firmware of a simulated board on real MicroPython, its ring full of batches of a boot before, a real nats-server with mutual TLS
and the real ingest with its database; between device and broker a proxy that emulates the link (lossy.py says how). The board's
samples are judged by what it sent itself: times in its batches, where a lateness below an eighth of the period is not kept. A PC is
faster than a chip; of a chip, firmware/DESIGN.md tells.
"""

import asyncio
import datetime as dt
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from host import broker
from host.bench.lossy import Path as Link
from host.bench.lossy import Proxy
from host.bench.workload import CHANNELS, typical
from host.ecdsa import point
from host.sim import signals
from host.sim.fleet import HEAP, ROM, micropython
from host.sim.plant import FIRMWARE, REPOSITORY
from host.sim.ports import free_ports
from host.sim.processes import Child, Program, die_with_parent, stop_all
from node import config
from node.ring import Ring
from node.settings import Config
from node.wire import batch, der, schema
from ota.release.bundle import MPY_VERSION, compile_tree
from provisioning import ca, pki
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import SECTOR_BYTES, build_flash, compact, device_files, ring_partition

ORDERS = ("oldest", "newest")   # of the setting `drain`
MAC, DEVICE = "0242ac110001", "hall-0242ac110001"
SAMPLES = 60            # of a backlog batch, 4 channels
BACKLOG_BOOT = 1
PERIOD_MS = 100         # between the board's samples while it drains: any stall of its loop shows
VFS_BYTES = 0x17F000    # as on the simulated board
SPARE_SECTORS = 64      # of the ring, for what is committed meanwhile
WAYS = 20               # different batches; encoding is not what is measured
LOOK_S = 0.1            # between looks at the database
A_BATCH_S, PATIENCE_S = 0.5, 120.0   # given up after so long


class DrainError(RuntimeError):
    """The board, the broker or ingest did not do it; the message says how far it came."""


class Sampling(TypedDict):
    """What a board's own batches say of its samples. `skipped_samples`: places of its grid that went by."""

    samples: int
    skipped_samples: int
    worst_gap_ms: int
    worst_late_ms: int


class Report(Sampling):
    """What draining took, and the board's own samples from its start until then.

    `seconds` from the connection's first packet until ingest has committed the last of the backlog. `first_fresh_s`: until the
    first record of the board's own boot. `sent_again`: records that came more than once.
    """

    batches: int
    drain: str
    window: int
    rtt_ms: int
    loss_pct: float
    seconds: float
    batches_per_s: float
    payload_bytes: int
    up_bytes: int
    down_bytes: int
    up_bytes_per_batch: float
    segments: int
    lost_segments: int
    connections: int
    sent_again: int
    first_fresh_s: float
    period_ms: int


@dataclass(frozen=True)
class Case:
    """What is measured. `window` None is the firmware's default."""

    batches: int
    drain: str
    window: int | None
    rtt_ms: int
    loss_pct: float
    seed: int = 1


def measure(case: Case, step: Callable[[int], None]) -> Report:
    """Drain once.

    Args:
        step: told how many batches of the backlog are stored by now.

    Raises:
        DrainError: it was not done in time.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_Bench(Path(folder), case).run(step))


def sampling(payloads: Sequence[bytes], until_ms: int) -> Sampling:
    """Judge the samples of one boot by its records, in their order.

    A place of the grid without any reading is one that went by.

    Args:
        until_ms: of the boot; what was sampled later does not count.
    """
    times, late, skipped = [], 0, 0
    for one in map(batch.decode, filter(_is_batch, payloads)):
        for i, at_ms in enumerate(one["times"]):
            if at_ms > until_ms:
                break
            if all(column[i] is None for column in one["columns"]):
                skipped += 1
                continue
            times.append(at_ms)
            late = max(late, at_ms - one["uptime_ms"] - i * one["period_ms"])
    gaps = np.diff(times)
    return Sampling(samples=len(times), skipped_samples=skipped, worst_gap_ms=int(gaps.max(initial=0)), worst_late_ms=int(late))


def _is_batch(payload: bytes) -> bool:
    return batch.record_name(payload)[0] == batch.BATCH


def _last_ms(payloads: Sequence[bytes]) -> int:
    """When the last sample was taken; -1 when there is none."""
    last = next(filter(_is_batch, reversed(payloads)), None)
    return -1 if last is None else batch.decode(last)["times"][-1]


class _Bench:
    def __init__(self, folder: Path, case: Case) -> None:
        self._folder, self._case = folder, case
        self._pki = pki.make_fleet_pki(folder / "pki")
        self._ports = free_ports(3)
        self._database = folder / "telemetry.db"
        self._flash = folder / "flash.bin"
        self._bench = folder / "bench"
        self._payload_bytes = 0
        self._window = 0
        self._power_s = 0.0   # by the loop's clock

    async def run(self, step: Callable[[int], None]) -> Report:
        mqtt_port = self._ports[0]
        proxy = Proxy(Link(self._case.rtt_ms / 1000, self._case.loss_pct / 100), mqtt_port, self._case.seed)
        self._flash.write_bytes(self._image(await proxy.start()))
        self._write_signals()
        servers = [Child(self._broker()), Child(self._ingest())]
        board = None
        try:
            for server in servers:
                await server.start()
            await self._subscribed()
            board = await self._power_on()
            return await self._watch(proxy, step)
        finally:
            if board is not None and board.returncode is None:
                board.kill()
                await board.wait()
            await proxy.stop()
            await stop_all(servers)

    async def _watch(self, proxy: Proxy, step: Callable[[int], None]) -> Report:
        loop, case = asyncio.get_running_loop(), self._case
        give_up_s = loop.time() + case.batches * A_BATCH_S + PATIENCE_S
        fresh_s = drained_s = 0.0   # 0.0: not yet
        until_ms = up_bytes = down_bytes = again = 0
        own: list[bytes] = []
        reader = sqlite3.connect(self._database)
        try:
            while not drained_s or _last_ms(own) < until_ms:   # what was sampled meanwhile must arrive, too
                await asyncio.sleep(LOOK_S)
                now_s = loop.time()
                next_seq, stored, fresh, again = self._stored(reader)
                step(min(stored, case.batches))
                if fresh and not fresh_s:
                    fresh_s = now_s
                if next_seq >= case.batches:
                    own = self._own(reader)
                    if not drained_s:
                        drained_s, until_ms = now_s, int((now_s - self._power_s) * 1000)
                        up_bytes, down_bytes = proxy.up_bytes, proxy.down_bytes
                if now_s > give_up_s:
                    raise DrainError(f"{next_seq} of {case.batches} batches were acknowledged: {self._last_words()}")
        finally:
            reader.close()
        await proxy.stop()
        begin_s = proxy.first_s or self._power_s
        seconds = drained_s - begin_s
        return Report(
            batches=case.batches, drain=case.drain, window=self._window, rtt_ms=case.rtt_ms, loss_pct=case.loss_pct,
            seconds=round(seconds, 2), batches_per_s=round(case.batches / seconds, 1), payload_bytes=self._payload_bytes,
            up_bytes=up_bytes, down_bytes=down_bytes, up_bytes_per_batch=round(up_bytes / case.batches, 1),
            segments=proxy.segments, lost_segments=proxy.lost, connections=proxy.connections, sent_again=again,
            first_fresh_s=round(fresh_s - begin_s, 2), period_ms=PERIOD_MS, **sampling(own, until_ms))

    def _stored(self, reader: sqlite3.Connection) -> tuple[int, int, int, int]:
        """(The next record that is missing, records of the backlog, records of the board's own, records that came again)."""
        row = reader.execute("SELECT next_seq, records, duplicates FROM progress").fetchone()
        if row is None:
            return 0, 0, 0, 0
        (own,) = reader.execute("SELECT count(*) FROM batch WHERE boot > ?", (BACKLOG_BOOT,)).fetchone()
        return row[0], row[1] - own, own, row[2]

    def _own(self, reader: sqlite3.Connection) -> list[bytes]:
        """The records of the board's own boot that have arrived."""
        rows = reader.execute("SELECT payload FROM batch WHERE boot > ? ORDER BY seq", (BACKLOG_BOOT,))
        return [bytes(row[0]) for row in rows]

    def _image(self, port: int) -> bytes:
        """A board off the line that has its certificate, and a full ring of a boot before."""
        key = ca.make_key()
        issuing = pki.load_authority(self._pki.cert("issuing"), self._pki.key("issuing"))
        site: dict[str, object] = {
            "host": "localhost", "address": "127.0.0.1", "mqtt_port": port, "ota_port": 1, "est_port": 1, "product": "hall",
            "model": "hall", "period_ms": PERIOD_MS, "batch_samples": SAMPLES, "uplink_s": 2, "drain": self._case.drain,
            "channels": [{"name": name, "unit": unit, "resolution": step} for name, unit, step in CHANNELS],
        }
        if self._case.window is not None:
            site["window"] = self._case.window
        self._window = config.parse(compact(site), Config()).window
        files = device_files(
            FIRMWARE, compile_tree(FIRMWARE, fetch_umqtt(REPOSITORY / "build")),
            {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": MPY_VERSION},
            ca_der=self._pki.root_der.read_bytes(), root=b"none", site=site)
        files["/state/key.der"] = der.sec1(key.private_numbers().private_value, point(key.public_key()))
        files["/state/cert.der"] = ca.der(ca.issue_device(issuing, key.public_key(), DEVICE, dt.datetime.now(dt.UTC)))
        records = self._backlog()
        self._payload_bytes = sum(map(len, records))
        sectors = (self._payload_bytes + 16 * len(records)) // (SECTOR_BYTES - 256) + SPARE_SECTORS
        csv = self._folder / "partitions.csv"
        ring_at = SECTOR_BYTES + VFS_BYTES
        csv.write_text(f"vfs, data, littlefs, {SECTOR_BYTES:#x}, {VFS_BYTES:#x}\n"
                       f"ring, data, 0x40, {ring_at:#x}, {sectors * SECTOR_BYTES:#x}\n", encoding="utf-8")
        flash = bytearray(build_flash(csv, files))
        ring = Ring(ring_partition(flash))
        ring.mount()
        for seq, record in enumerate(records):
            ring.append(BACKLOG_BOOT, seq, record, SAMPLES * len(CHANNELS))
        if ring.dropped:
            raise DrainError(f"the ring of {sectors} sectors is too small")
        return bytes(flash)

    def _backlog(self) -> list[bytes]:
        canonical = schema.build(list(CHANNELS))
        ways: list[list[list[int | None]]] = [
            [[*column] for column in typical(self._case.seed + way, SAMPLES)] for way in range(WAYS)]
        records = [batch.schema_record(BACKLOG_BOOT, 0, canonical)]
        for seq in range(1, self._case.batches):
            records.append(batch.encode(BACKLOG_BOOT, seq, schema.schema_hash(canonical), seq * 60_000, 0, 0, 1000,
                                        ways[seq % WAYS], []))
        return records

    def _write_signals(self) -> None:
        steps = np.array(typical(self._case.seed, 600), np.int32).T
        channels = tuple(signals.Channel(*channel) for channel in CHANNELS)
        signals.write(self._bench / "signals", {DEVICE: signals.SignalTable(PERIOD_MS, channels, steps)})

    def _broker(self) -> Program:
        mqtt_port, client_port, monitor_port = self._ports
        settings = broker.BrokerSettings(
            mqtt_port=mqtt_port, client_port=client_port, monitor_port=monitor_port, cert_file=self._pki.cert("svc.broker"),
            key_file=self._pki.key("svc.broker"), ca_file=self._pki.ca_file, store_dir=self._folder / "store")
        path = broker.write(self._folder / "broker", settings, [DEVICE])
        return Program("broker", (str(broker.nats_server_binary()), "-c", str(path)), self._folder, self._log("broker"), mqtt_port)

    def _ingest(self) -> Program:
        path = self._folder / "ingest.json"
        path.write_text(json.dumps({
            "database": f"sqlite:///{self._database}", "port": self._ports[0], "ca_file": str(self._pki.ca_file),
            "cert_file": str(self._pki.cert("svc.ingest")), "key_file": str(self._pki.key("svc.ingest"))}), encoding="utf-8")
        return Program("ingest", (sys.executable, "-m", "host.ingest", "--config", str(path)), REPOSITORY, self._log("ingest"))

    async def _subscribed(self) -> None:
        """Wait until ingest hears: what the broker gets before, a first subscription does not bring."""
        log = self._log("ingest")
        for _ in range(int(PATIENCE_S / LOOK_S)):
            if log.exists() and "subscribed" in log.read_text(encoding="utf-8", errors="replace"):
                return
            await asyncio.sleep(LOOK_S)
        raise DrainError(f"ingest did not subscribe: {self._last_words()}")

    async def _power_on(self) -> asyncio.subprocess.Process:
        self._power_s = asyncio.get_running_loop().time()
        with self._log("board").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                micropython(), "-X", f"heapsize={HEAP}", ROM, "--flash", self._flash, "--mac", MAC, "--bench", self._bench,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _last_words(self) -> str:
        return "; ".join(f"{name}: {path.read_text(errors='replace')[-400:]}"
                         for name in ("board", "ingest", "broker") if (path := self._log(name)).exists())
