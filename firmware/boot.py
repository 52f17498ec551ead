"""Boot: arm the watchdog, run the slot that choose.py chooses, and end in a reset whatever happens.

Runs once the file system is mounted. Decides nothing and never leaves the device at a prompt, except on the production line:
without /state/site.json, which the line writes last. Never updated over the air.
"""

import os
import sys

import micropython

WATCHDOG_MS = 60000   # a first TLS handshake behind a slow DNS blocks about 20 s; the slot's supervisor feeds it
SITE = "/state/site.json"
APP = "/app"   # where the slot's bundle is mounted
FROZEN = ".frozen/tenfold"   # the agent in an image of our own: on the path only when no bundle runs (DESIGN, "Frozen")

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

    def open(self, path):
        try:
            return open(path, "rb")
        except OSError:
            return None

    def write_atomic(self, path, data):
        with open(path + ".tmp", "wb") as file:
            file.write(data)
        os.rename(path + ".tmp", path)   # littlefs: old or new, if the new one was closed before


def on_the_line():
    """Whether site.json is absent or empty. A flash that cannot be read says nothing of it: that device must reset."""
    try:
        return not os.stat(SITE)[6]
    except OSError as error:
        return error.errno == 2   # ENOENT


if on_the_line():
    sys.stdout.write("LINE no site.json: waiting for the production line\n")
else:
    why = "returned"
    try:
        if hasattr(micropython, "kbd_intr"):   # not on unix
            micropython.kbd_intr(-1)   # bytes on the console must not interrupt a device
        watchdog = (getattr(chip, "Watchdog", None) or chip.WDT)(timeout=WATCHDOG_MS)
        micropython.opt_level(3)   # what is compiled here stays in memory: without line numbers
        import choose
        import stub
        info = choose.start(Disk(), choose.running_app(), choose.unspoken(chip), choose.frozen_release())
        info["watchdog"] = watchdog
        info["bundle"] = None if info["frozen"] else choose.bundle(Disk(), info["slot"])
        del choose, sys.modules["choose"], on_the_line   # done with
        if not info["frozen"]:
            os.mount(info["bundle"], APP)
        sys.path[:] = [FROZEN if info["frozen"] else APP, ".frozen"]   # never both: two releases must not mix
        import main
        main.run(info)
    except SystemExit:   # a reset that was asked for, on boards that end their process
        why = ""
    except BaseException as error:
        why = type(error).__name__
    try:
        if why:
            stub.ended(Disk(), why, True)
            chip.RTC().memory(b"")   # said: no panic
    finally:
        chip.reset()
