"""`tenfold app`, `monitor`, `shell` and `provision`: one board at this desk, over its serial port."""

import datetime
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from host.cli.ports import Port
from host.cli.server import AsJson
from host.cli.shipped import Configs, chosen_drivers
from host.cli.sim import wifi
from host.db import open_engine
from host.ecdsa import point
from host.sim.plant import FIRMWARE, MODEL
from node import config as site_file
from node.settings import Config
from ota.release import bundle, keys
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.line import console, desk, mpremote
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import base_files, boots_at, compact, plant_files
from provisioning.line.ports import ask
from provisioning.line.serial import provision as write
from provisioning.line.serialport import want_port
from provisioning.line.station import Station
from provisioning.rules.quota import Reason

BOOTS = "/state/boot_count"   # a board counts on, and must never use a number twice
DAY_S = 86_400
LOOK_S = 300.0   # a person waits here: longer than for a list of ports


def app(
    port: Port,
    release: Annotated[str, typer.Option(help="Name of the release that is put there.")] = "desk",
    counter: Annotated[int, typer.Option(min=1, help="Its counter; an update over the air needs a higher one.")] = 1,
    model: Annotated[str, typer.Option(help="Device model.")] = MODEL,
    firmware: Annotated[Path, typer.Option(help="The firmware's folder.")] = FIRMWARE,
    config: Configs = None,
    as_json: AsJson = False,
) -> None:
    """Compile the firmware and copy to the board at its prompt what differs there, as its factory release; then reset it.

    The board must have been flashed once (tenfold flash). One that has its site listens to nobody: update it over the air.

    Example: tenfold app --port /dev/ttyUSB0
    """
    want_port(port)
    named = {"release": release, "counter": counter, "manifest": "", "model": model, "mpy": bundle.MPY_VERSION}
    files = base_files(firmware, bundle.compile_tree(firmware, fetch_umqtt(), drivers=chosen_drivers(config)), named)
    del files[BOOTS]
    written = desk.update(port, files)
    if as_json:
        sizes = {path: len(files[path]) for path in written}
        print(json.dumps({"port": port, "written": sizes, "same": len(files) - len(written)}))
        return
    for path in written:
        print(f"{path}  {len(files[path]):,} bytes")
    print(f"{port}: {len(written)} of {len(files)} files differed; the board was reset")


def monitor(port: Port, as_json: AsJson = False) -> None:
    """Show what a board says, with the time of each line, until Ctrl-C. A cable that is pulled is waited for.

    Example: tenfold monitor --port /dev/ttyUSB0
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    words = {"open": "— connected, Ctrl-C ends", "lost": "— the port is gone; waiting for it"}
    for event in console.listen(port, stop.is_set):
        at = datetime.datetime.fromtimestamp(event.at_s).astimezone()
        if as_json:
            print(json.dumps({"at": at.isoformat(timespec="milliseconds"), "kind": event.kind, "text": event.text}), flush=True)
        else:
            print(f"{at:%H:%M:%S}.{at.microsecond // 1000:03}  {words.get(event.kind, event.text)}", flush=True)


def shell(port: Port) -> None:
    """Open MicroPython's prompt of a board, by mpremote; Ctrl-X or Ctrl-] ends it. A board that has its site has no prompt.

    Example: tenfold shell --port /dev/ttyUSB0
    """
    want_port(port)
    if not sys.stdin.isatty():
        raise ProvisioningError("shell.terminal", f"{port}: got no terminal, expected a person at one; for scripts: mpremote "
                                                  f"connect {port} exec …")
    raise typer.Exit(mpremote.shell(port))


def provision(
    port: Port,
    site: Annotated[Path, typer.Option(help="site.json: servers, product, model, channels (firmware/image/site.json is one).")],
    ca: Annotated[Path, typer.Option(help="Root certificate of the fleet's PKI, DER (root.der).")],
    root: Annotated[Path, typer.Option(help="Signed root of the update keys (root.bin).")],
    ledger: Annotated[str, typer.Option(envvar="TENFOLD_LEDGER", help="The ledger's URL, e.g. sqlite:///ledger.db.")],
    lot: Annotated[str, typer.Option(help="The lot that the device is entered in.")],
    key: Annotated[Path, typer.Option(help="The lot's station key, PEM.")],
    ssid: Annotated[str, typer.Option(help="Wi-Fi network; without one the board is not given any.")] = "",
    password_file: Annotated[Path | None, typer.Option(
        help="File with the Wi-Fi password in its first line; else TENFOLD_WIFI_PASSWORD, else none.")] = None,
    open_lot: Annotated[int | None, typer.Option(
        min=1, help="Make the station key and open the lot for so many devices, for a day, when neither is there.")] = None,
    station: Annotated[str, typer.Option(help="This desk's name, in the birth record.")] = "desk",
    as_json: AsJson = False,
) -> None:
    """Make a flashed board a device: write network, trust and site, let it make its key, enter its birth into the ledger.

    Cut off anywhere, the same command goes on: a board that has its site keeps it, and one device has one key for life.

    Example: tenfold provision --port /dev/ttyUSB0 --site site.json --ca pki/root.der --root keys/root.bin --ssid plant
      --ledger sqlite:///ledger.db --lot desk-1 --key station.pem --open-lot 10
    """
    parsed = site_file.parse(site.read_bytes(), Config())
    files = plant_files(_der(ca), root.read_bytes(), {**json.loads(site.read_bytes()), "lot": lot}, boots_at(int(time.time())))
    if ssid:
        network = wifi(ssid, password_file)
        files["/state/wifi.json"] = compact({"ssid": network.ssid, "password": network.password})
    want_port(port)
    desk_station = _station(Ledger(open_engine(ledger)), lot, station, key, open_lot)
    found = ask(port, timeout_s=LOOK_S)
    if found.fault is not None:
        raise found.fault
    runs = found.contents
    if runs is None or runs.runs != "tenfold":
        raise ProvisioningError("board.firmware", f"{port}: got a board with {runs.text if runs else 'nothing'} on it, expected "
                                                  "Tenfold's firmware; flash it first (tenfold flash, make flash)")
    kept = bool(runs.device)
    if not kept:
        write(port, files)
    heard = desk_station.hear(console.birth(port), int(time.time()))
    assert heard is not None  # noqa: S101  console.birth gives nothing else
    birth, reason = heard
    if as_json:
        print(json.dumps({"port": port, "device": birth.device, "mac": found.mac, "lot": birth.lot, "birth": reason.value,
                          "site_kept": kept}))
        return
    says = "its birth is in the ledger" if reason is Reason.NEW else "was in the ledger before"
    print(f"{birth.device}: {says}, lot {birth.lot}{'; the site that it had was kept' if kept else ''}")
    print(f"Next: put it in its place. It enrols at {parsed.host}:{parsed.est_port} by itself; tenfold devices list shows it then")


def _station(ledger: Ledger, lot: str, name: str, path: Path, quota: int | None) -> Station:
    """The desk as a station of its lot, both made when that was asked for and neither is there."""
    if quota is not None and not path.exists() and ledger.lot(lot) is None:
        made = keys.generate(path, keys.passphrase())
        now_s = int(time.time())
        ledger.open_lot(lot, point(made.public_key()).hex(), quota, now_s + DAY_S, now_s)
    if ledger.lot(lot) is None:
        raise ProvisioningError("birth.lot_unknown", f"lot {lot!r}: the ledger has no such lot; open it for so many devices with "
                                                     "a new key: --open-lot 10")
    return Station(ledger, lot, name, keys.load(path, keys.passphrase()))


def _der(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(b"\x30"):
        raise ProvisioningError("board.trust", f"{path}: got {raw[:4]!r} at its start, expected a certificate as DER: a device "
                                               "reads no PEM. make_fleet_pki writes it as root.der")
    return raw
