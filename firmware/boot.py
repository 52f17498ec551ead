"""Boot: arm the watchdog, run the slot that the stub chooses, and end in a reset whatever happens.

Runs once the file system is mounted. Decides nothing and never leaves the device at a prompt. Never updated over the air.
"""

import os
import sys

WATCHDOG_MS = 60000   # a first TLS handshake behind a slow DNS blocks about 20 s; the slot's supervisor feeds it

try:
    import simchip as chip
except ImportError:   # not the simulated board
    import machine as chip


class Disk:
    """The file operations that the stub needs, named as in the agent's Files port."""

    def read(self, path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return None

    def write_atomic(self, path, data):
        with open(path + ".tmp", "wb") as file:
            file.write(data)
        os.rename(path + ".tmp", path)   # littlefs: old or new, if the new one was closed before


why = "returned"
try:
    watchdog = (getattr(chip, "Watchdog", None) or chip.WDT)(timeout=WATCHDOG_MS)
    import stub
    info = stub.start(Disk())
    info["watchdog"] = watchdog
    sys.path[:] = [stub.DIRS[info["slot"]], ".frozen"]
    import main
    main.run(info)
except SystemExit:   # a reset that was asked for, on boards that end their process
    why = ""
except BaseException as error:   # also KeyboardInterrupt: bytes on the console must not stop a device
    why = type(error).__name__
try:
    if why:
        stub.ended(Disk(), why, True)
finally:
    chip.reset()
