"""Simulated boards from the production line into a running demo.

Decides what the line makes there, what a board's site says, what its sensors show, and what counts as come: not what the board
says, but what the servers have of it. The line is provisioning's, which knows of no demo.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.db import open_engine
from host.ecdsa import point
from host.sim import signals
from host.sim.boards import place
from host.sim.boards.bench import MAX_BOARDS
from host.sim.boards.stock import flash_image
from host.sim.plant import FIRMWARE, MODEL, PRODUCT, Plant
from host.store.queries import Queries
from ota.client import OtaClient
from provisioning.ca import make_key
from provisioning.line import serial
from provisioning.line.bench import Order
from provisioning.line.image import base_files, boots_at, plant_files, read_vfs
from provisioning.line.station import Pen
from provisioning.pki import load_key, write_key
from provisioning.rules.selftest import limits

LOT, STATION = "line-1", "bench-1"
LOT_S = 86_400
FOLDER = "line"   # in the demo's: what the station keeps


def order(plant: Plant, ports: Sequence[Path]) -> Order:
    """What the line makes: the demo's factory release, for boards of the kind that is behind the first port.

    Raises:
        BoardError: one of the ports has no simulated board: others could not run the image. ImageError: the flash is too small.
    """
    kind, *_ = [place.behind(port) for port in ports]   # of each, whether it is one
    image = flash_image(kind.chip, kind.flash_bytes, base_files(FIRMWARE, *plant.factory()))
    return Order(LOT, PRODUCT, MODEL, image, limits({}, {}))


def station(plant: Plant, key: Path, now_s: int) -> Pen:
    """The demo's station, with its lot open in the demo's ledger. Its key is made once and kept in this file."""
    if not key.exists():
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key(key, make_key())
    mine = load_key(key)
    if plant.ledger.lot(LOT) is None:
        plant.ledger.open_lot(LOT, point(mine.public_key()).hex(), MAX_BOARDS, now_s + LOT_S, now_s)
    return Pen(LOT, STATION, mine)


def commission(plant: Plant, port: Path, device: str) -> bool:
    """Put a board that the line has made in its place: sensors, and over its serial port trust and site, with which it starts.

    Returns:
        False when it has had its site before, which it keeps.

    Raises:
        BoardError: no simulated board. ImageError: it was not flashed. SignalError: no sensors. ProvisioningError: no prompt.
    """
    kind = place.behind(port)
    if serial.SITE in read_vfs(kind.flash.read_bytes()):
        return False
    signals.lend(plant.bench / signals.FOLDER, kind.bench, device, int(device[-4:], 16))
    serial.provision(str(port), plant_files(
        plant.pki.root_der.read_bytes(), plant.root, {**plant.site(), "lot": LOT}, boots_at(int(time.time()))))
    return True


@dataclass(frozen=True)
class Seen:
    """What the servers have of a device.

    Attributes:
        release: what it said at its last check-in; "": none yet. acked: records that ingest had acknowledged by then.
        online: connected to the broker. readings: in the database.
    """

    release: str = ""
    acked: int = 0
    online: bool = False
    readings: int = 0

    @property
    def has_come(self) -> bool:
        return bool(self.release and self.acked and self.online and self.readings)


class Arrivals:
    """Looks whether devices have come, in the demo's telemetry and at its OTA server."""

    def __init__(self, plant: Plant, client: OtaClient) -> None:
        self._queries, self._client = Queries(open_engine(plant.url("telemetry"), read_only=True)), client

    def look(self, devices: Sequence[str]) -> Mapping[str, Seen]:
        """What there is of these devices now.

        Raises:
            OtaError: the server does not answer.
        """
        stored = {row.device: row for row in self._queries.devices()}
        runs = {row["device"]: str(row["release"]) for row in self._client.devices()}
        found = {}
        for device in devices:
            row = stored.get(device)
            acked = self._client.explain(device)["metrics"].get("acked", 0) if device in runs else 0
            found[device] = Seen(runs.get(device, ""), acked, bool(row and row.online), int(row.readings or 0) if row else 0)
        return found
