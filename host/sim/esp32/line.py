"""The production line of emulated boards: what each is made from, what it is given over its serial port, and how it is born.

Decides what an emulated board's site says where it differs from a simulated board's. The lot is its own, with a station key that
lives in memory only; boards join a demo's fleet, whose servers know the devices from the ledger.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.ecdsa import point
from host.sim.esp32 import efuse
from host.sim.esp32.board import Emulated
from host.sim.esp32.qemu import MODELS, Emulator, EmulatorError, check
from host.sim.plant import FIRMWARE, PRODUCT, Plant
from host.sim.powered import Listener
from node.wire import identity
from provisioning.ca import make_key
from provisioning.errors import ProvisioningError
from provisioning.line import esp_image, serial
from provisioning.line.image import base_files, boots_at, compact, plant_files
from provisioning.line.station import Station

GATEWAY = "10.0.2.2"        # this machine's loopback, as a guest of QEMU's user-mode network sees it
SSID = "PICSimLabWifi"      # the emulated access point's default; open
FLASH_BYTES = 4 << 20
LOT_S = 86_400
PROVISION_TRIES = 3         # a soft reset of the emulated chip on a loaded machine can outlast the 10 s for which mpremote waits
# The emulator's flash costs 5 ms an operation, and TLS 0.6 s a handshake: its world turns slower than a simulated board's.
PACE = {"period_ms": 500, "uplink_s": 5, "checkin_s": 8, "ack_timeout_s": 20, "trial_s": 180, "keepalive_s": 30}
CHANNELS: dict[str, list[dict[str, Any]]] = {
    "esp32": [{"name": "adc34", "unit": "V", "resolution": "0.001"}, {"name": "temp_chip", "unit": "Cel", "resolution": "0.1"}],
    "esp32c3": [{"name": "adc0", "unit": "V", "resolution": "0.001"}, {"name": "temp_chip", "unit": "Cel", "resolution": "0.1"}],
}


@dataclass(frozen=True)
class Wifi:
    """The network that a board joins."""

    ssid: str = SSID
    password: str = ""


@dataclass(frozen=True)
class Parts:
    """What emulated boards are made from, all of it checked: `find` makes it."""

    emulator: Emulator
    stock: esp_image.Stock
    wifi: Wifi

    @classmethod
    def find(cls, qemu: Path, image: Path, wifi: Wifi, chip: str | None = None, roms: Path | None = None) -> "Parts":
        """Check the user's QEMU and image.

        Args:
            chip: what the user believes; None takes the image's word.

        Raises:
            EmulatorError: QEMU. ImageError: the image.
        """
        stock = esp_image.read_stock(image)
        if stock.chip not in MODELS:
            raise EmulatorError(f"{image}: is for {stock.chip}, which cannot be emulated; take one for {' or '.join(MODELS)}")
        if chip is not None and chip != stock.chip:
            raise EmulatorError(f"{image}: is for {stock.chip}, not {chip}; take the image for {chip}, or leave --chip out")
        return cls(check(qemu, stock.chip, roms), stock, wifi)

    def flash(self, bundle: dict[str, bytes], release: dict[str, object]) -> bytes:
        """Build the flash that a board comes to the line with: code, but neither trust nor site."""
        files = base_files(FIRMWARE, bundle, release)
        return esp_image.build_esp_flash(self.stock, esp_image.layout(FIRMWARE / "image", FLASH_BYTES), files, FLASH_BYTES)

    async def boards(self, plant: Plant, bundle: dict[str, bytes], release: dict[str, object], listener: Listener,
                     devices: Sequence[str] = ()) -> dict[str, Emulated]:
        """Put fresh boards on the bench, without power; files left by earlier ones of their names are replaced.

        Args:
            devices: their device ids; none means the plant's emulated ones.
        """
        flash = await asyncio.to_thread(self.flash, bundle, release)
        made = {}
        for device in devices or plant.emulated:
            place = plant.flash(device)
            place.write_bytes(flash)
            place.with_suffix(".efuse").unlink(missing_ok=True)
            made[device] = Emulated(device, device[-12:], place, plant.log(device), listener, emulator=self.emulator)
        return made

    async def bring(self, board: Emulated, plant: Plant, lot: str) -> None:
        """Power a board, and give it its trust, its network and its site.

        Raises:
            EmulatorError: see `provision`.
        """
        now_s = int(time.time())
        said = site(plant.site(), self.stock.chip, lot, now_s)
        board.power_on()
        await provision(board, files(self.wifi, said, plant.pki.root_der.read_bytes(), plant.root, now_s))


def device(number: int) -> str:
    """Device id of the emulated board with this number."""
    return identity.device_id(PRODUCT, efuse.mac(number))


def site(plant_site: dict[str, object], chip: str, lot: str, now_s: int) -> dict[str, object]:
    """What site.json of an emulated board says: as other boards', on its own channels, and past DNS and NTP."""
    return {**plant_site, **PACE, "lot": lot, "channels": CHANNELS[chip], "address": GATEWAY, "ntp": "", "time_floor_s": now_s}


def files(wifi: Wifi, site: dict[str, object], ca_der: bytes, root: bytes, now_s: int) -> dict[str, bytes]:
    """What the line writes over the serial port."""
    return {"/state/wifi.json": compact({"ssid": wifi.ssid, "password": wifi.password}),
            **plant_files(ca_der, root, site, boots_at(now_s))}


async def provision(board: Emulated, written: dict[str, bytes]) -> None:
    """Wait for the board's prompt, write the files and let it start into its life.

    Raises:
        EmulatorError: the board does not come to its prompt, or refuses a file; the message shows its last words.
    """
    await board.wait_for_line()
    async with board.serial() as port:
        for tries_left in reversed(range(PROVISION_TRIES)):
            try:
                await asyncio.to_thread(serial.provision, port, written)
                return
            except ProvisioningError as error:
                if not tries_left:
                    raise EmulatorError(f"{board.device}: {error}; log: {board.log}") from None


class Bench:
    """One bench of the line, with a lot of its own."""

    def __init__(self, plant: Plant, quota: int) -> None:
        now_s = int(time.time())
        key = make_key()   # in memory only
        self.lot = f"esp32-{time.time_ns() // 1_000_000}"
        plant.ledger.open_lot(self.lot, point(key.public_key()).hex(), quota, now_s + LOT_S, now_s)
        self._station = Station(plant.ledger, self.lot, "bench-esp32", key)

    def hear(self, values: dict[str, object]) -> str:
        """Take what a board announces of itself; empty when it was born, else why not."""
        try:
            self._station.hear(f"BIRTH {json.dumps(values)}", int(time.time()))
        except ProvisioningError as error:
            return str(error)
        return ""
