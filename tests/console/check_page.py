"""To look at, never collected: the console over a made-up fleet that goes on sending.

From the repository: `python -m tests.console.check_page --scene rolling`, then open the page. With `--picture FILE` a headless
Chromium takes a picture of it, and the program ends.
"""

import argparse
import logging
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from host.clock import unix_ms
from host.console.app import create_app
from host.console.settings import ConsoleSettings
from host.tls import listen, make_server
from tests.console.fleet import NEW, Fleet, OtaWords, evening, names

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)
SCENES = ("evening", "rolling", "empty", "absent", "lost")


def build(arguments, folder):
    settings = ConsoleSettings(port=arguments.port, database=f"sqlite:///{folder / 'telemetry.db'}")
    if arguments.scene == "absent":
        return create_app(settings)
    now_ms = unix_ms()
    fleet = Fleet(folder, 0 if arguments.scene == "empty" else arguments.devices, now_ms - arguments.minutes * 60_000)
    words = OtaWords(fleet, unix_ms)
    if arguments.scene == "evening":
        evening(fleet, words, now_ms)
    elif arguments.scene in ("rolling", "lost"):
        fleet.advance(now_ms)
        for device in fleet.devices[:2]:
            fleet.drop(device)
            fleet.back(device, NEW)
        words.attempts[fleet.devices[1]] = ("trial", "", "the device is trying a release")
        words.configs[fleet.devices[2]] = ("5ad3f00ddecade01", True, "5ad3f00ddecade01", "", "")
        words.configs[fleet.devices[3]] = ("", False, "0badc0de00c0ffee", "0badc0de00c0ffee", "config.trial: no batch acknowledged")
        words.rollout("r3", ("1.3.0", 4), "draft", 0, asked_by="op.ann")
        words.rollout("r2", ("1.2.1", 3), "planned", 0, start_at=now_ms / 1000 + 3600)
        words.rollout("r1", NEW, "running", 1, counts=[(1, 1, 0, 1, 1, 0, 0), (2, 2, 1, 1, 0, 0, 0)], soak_left_s=6.0,
                      gate=("unknown", "failures: 0 of 1 devices have soaked"))
    threading.Thread(target=go_on, args=(fleet, words, arguments.scene), daemon=True).start()
    return create_app(settings, ota=words.source())


def go_on(fleet, words, scene):
    begin = time.monotonic()
    while True:
        fleet.advance(unix_ms())
        words.down = scene == "lost" and time.monotonic() - begin > 2
        time.sleep(1)


def picture(arguments):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        page = f"http://127.0.0.1:{arguments.port}/" + (f"#{names(arguments.device)[-1]}" if arguments.device else "")
        subprocess.run([
            arguments.browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={arguments.size.replace('x', ',')}",
            f"--blink-settings=preferredColorScheme={0 if arguments.dark else 1}", "--virtual-time-budget=6000",
            f"--screenshot={arguments.picture}", page,
        ], check=True, timeout=60, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description="Show the console over a made-up fleet.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--devices", type=int, default=24)
    parser.add_argument("--minutes", type=int, default=6, help="of history")
    parser.add_argument("--scene", choices=SCENES, default="evening")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    parser.add_argument("--size", default="1440x1000")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--device", type=int, default=0, help="open the view of this device, from 1")
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    arguments = parser.parse_args()
    logging.basicConfig(level="WARNING")
    with tempfile.TemporaryDirectory() as folder, listen("127.0.0.1", arguments.port) as listener:
        server = make_server(build(arguments, Path(folder)), None)
        if arguments.picture:
            threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
            picture(arguments)
        else:
            server.run(sockets=[listener])


if __name__ == "__main__":
    main()
