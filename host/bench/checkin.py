"""Idle check-ins of the real update server: what one costs, with few and with many known devices, gooseBit beside it.

The server is `python -m ota.server` as it is run in the field: mutual TLS, SQLite in a file, one process. Its database holds as
many devices as the size says, all heard a minute ago; a server reads their last words when it starts, so it knows them all.
DRIVEN of them, spread over all, check in by their own certificates (`host.bench.fleet`), with bodies that the firmware's encoder
makes: a fresh nonce, metrics that grow. Not modelled: the network, and pauses between check-ins.
"""

import asyncio
import datetime as dt
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TypedDict

from host.bench import fleet, goosebit
from host.bench.fleet import Device, Rate, RefusedError
from host.db import migrate, open_engine
from host.sim.plant import REPOSITORY
from host.sim.ports import free_ports
from node.wire import checkin
from node.wire.metrics import METRICS
from ota.release import keys, sign
from ota.rules.values import Report
from ota.store import devices
from ota.store.devices import Sighting
from ota.store.session import writing
from provisioning import ca, pki

SIZES = (2_000, 20_000, 100_000)   # known devices
QUICK = SIZES[:2]
DRIVEN = 2_000          # that check in, each by its own connection and certificate: most check-ins of a second are another row
QUICK_DRIVEN = 1_000
DRIVEN_PEER = 64        # gooseBit is slower, and hangs up on who is silent for 5 s
IDLE_S, HANDSHAKE_S = 8.0, 5.0
QUICK_S = 2.0           # either
GROUP = 5_000           # rows a transaction when the database is filled
START_LIMIT_S = 120.0
MODEL, RELEASE, COUNTER = "hall", "1.1.0", 1


class Figures(Rate):
    """Of keep-alive connections; `handshake`: of a connection with a full handshake for each check-in. `rss_mb`: at the end."""

    rss_mb: float
    handshake: Rate


class Results(TypedDict):
    """By number of known devices; peers by name, and by that number."""

    sizes: dict[str, Figures]
    peers: dict[str, dict[str, Figures]]


class StartError(Exception):
    """A server did not start; the message is what it said last."""


@dataclass(frozen=True)
class Site:
    """Certificates and keys of one run, in one folder."""

    folder: Path
    pki: pki.FleetPki

    @classmethod
    def make(cls, folder: Path) -> "Site":
        """Make the PKI, the signing keys and the root."""
        made = pki.make_fleet_pki(folder / "pki")
        root, release, direction = (keys.generate(folder / f"{name}.key") for name in ("root", "release", "direction"))
        (folder / "root.bin").write_bytes(sign.first_root([root], [keys.public65(release)], [keys.public65(direction)]))
        pki.write_key(made.key("device"), ca.make_key())
        return cls(folder, made)

    def contexts(self, names: Sequence[str]) -> list[ssl.SSLContext]:
        """Issue a certificate to each device, all of one key (the server sees no difference); give what they connect with."""
        issuing = pki.load_authority(self.pki.cert("issuing"), self.pki.key("issuing"))
        public, now, made = pki.load_key(self.pki.key("device")).public_key(), dt.datetime.now(dt.UTC), []
        for name in names:
            pki.write_pem(self.pki.cert("device"), ca.issue_device(issuing, public, name, now))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(self.pki.cert("root"))
            context.load_cert_chain(self.pki.cert("device"), self.pki.key("device"))
            made.append(context)
        return made

    def config(self, size: int) -> tuple[int, Path]:
        """Fill a database with known devices, and write the settings of a server on it: the defaults. Gives port and file."""
        url = f"sqlite:///{self.folder}/{size}.db"
        engine, now_s = open_engine(url), time.time()
        migrate(engine, "ota.store")
        for start in range(0, size, GROUP):
            with writing(engine) as connection:
                devices.record(connection, [
                    Sighting(Report(name_of(index), MODEL, RELEASE, COUNTER, "", trial=False), 1, "a", 1, metrics(0), now_s - 60)
                    for index in range(start, min(start + GROUP, size))])
        engine.dispose()
        port, path = free_ports(1)[0], self.folder / f"{size}.json"
        path.write_text(json.dumps({
            "cert_file": str(self.pki.cert("svc.ota")), "key_file": str(self.pki.key("svc.ota")), "ca_file": str(self.pki.ca_file),
            "port": port, "database": url, "archive": str(self.folder / "archive"),
            "root_file": str(self.folder / "root.bin"), "direction_key": str(self.folder / "direction.key")}), encoding="utf-8")
        return port, path


def measure(sizes: Sequence[int], *, quick: bool, peer: Path | None, step: Callable[[str], None]) -> Results:
    """Measure each size, and the peer at the smallest.

    Args:
        peer: the Python of gooseBit's environment; None leaves it out.
        step: called before each of `steps` parts with what it is.

    Raises:
        StartError, RefusedError, PeerError: a server failed.
    """
    seconds = (QUICK_S, QUICK_S) if quick else (IDLE_S, HANDSHAKE_S)
    report = Results(sizes={}, peers={})
    with tempfile.TemporaryDirectory(prefix="tenfold-") as made:
        step("certificates")
        site = Site.make(Path(made))
        names = [name_of(index) for index in range(QUICK_DRIVEN if quick else DRIVEN)]
        contexts = site.contexts(names)
        for size in sizes:
            step(f"{size:,} devices")
            port, path = site.config(size)
            asking = [Device(context, port, requests(name)) for name, context in zip(names, contexts, strict=True)]
            with running([sys.executable, "-m", "ota.server", "--config", str(path)], site.folder, port, {}) as pid:
                report["sizes"][str(size)] = asyncio.run(figures(asking, pid, seconds, step))
        if peer is not None:
            step("gooseBit")
            port, few = free_ports(1)[0], names[:DRIVEN_PEER]
            env = goosebit.prepare(peer, site.folder / "goosebit", [name_of(index) for index in range(sizes[0])])
            asking = [Device(context, port, goosebit.requests(name)) for name, context in zip(few, contexts, strict=False)]
            with running(goosebit.command(peer, port, site.pki), site.folder, port, env) as pid:
                report["peers"]["goosebit"] = {str(sizes[0]): asyncio.run(figures(asking, pid, seconds, step))}
    return report


def steps(sizes: Sequence[int], *, peer: Path | None) -> int:
    """How many parts `measure` has."""
    return 1 + 3 * (len(sizes) + (peer is not None))


async def figures(asking: Sequence[Device], pid: int, seconds: tuple[float, float], step: Callable[[str], None]) -> Figures:
    """Measure a server that runs: first with connections that are kept, then with one for each check-in."""
    try:
        async with fleet.connected(asking) as waiting:
            step("connections kept")
            kept = await fleet.drive(waiting, pid, seconds[0], hang_up=False)
            for device in waiting:
                device.hang_up()
            step("a handshake each")
            fresh = await fleet.drive(waiting, pid, seconds[1], hang_up=True)
    except TimeoutError:
        raise RefusedError("a server took too long for its answers; is this machine busy with something else?") from None
    return Figures(**kept, rss_mb=fleet.rss_mb(pid), handshake=fresh)


@contextmanager
def running(command: Sequence[str], folder: Path, port: int, env: Mapping[str, str]) -> Iterator[int]:
    """Run a server until the block ends; gives its process id once it listens."""
    path = folder / "server.log"
    with path.open("wb") as log, subprocess.Popen(
            command, cwd=REPOSITORY, env=os.environ | env, stdout=log, stderr=log) as process:
        try:
            _wait_for(process, port, path)
            yield process.pid
        finally:
            process.terminate()


def name_of(index: int) -> str:
    """A device's id; the first ones lie anywhere among all, as those that check in next do."""
    return f"{MODEL}-{sha256(str(index).encode()).hexdigest()[:12]}"


def metrics(uptime_s: int) -> dict[str, int]:
    """What a device counts."""
    return dict.fromkeys(METRICS, 7) | {"uptime_s": uptime_s}


def requests(name: str) -> Callable[[], bytes]:
    """Build one device's check-ins, each the next of its boot."""
    uptimes = count(300, 300)

    def request() -> bytes:
        uptime_s = next(uptimes)
        body = checkin.encode_request({
            "device": name, "model": MODEL, "release": RELEASE, "counter": COUNTER, "manifest": "", "boot": 1,
            "nonce": os.urandom(16).hex(), "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 0,
            "metrics": metrics(uptime_s)})
        return b"POST /v1/checkin HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    return request


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise StartError(log.read_text(encoding="utf-8", errors="replace")[-2000:].strip() or f"{log.name}: it did not start in time")
