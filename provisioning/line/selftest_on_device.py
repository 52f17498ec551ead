"""The self-test of a board on the line, run at its prompt by MicroPython: measures and judges nothing.

Prints `BOARD` with its MAC address, `TEST ["name", number]` for each thing measured, with null and a reason when it could not be,
and `TICK n` with the board's own milliseconds, which the station holds against the host's clock. The host appends a call of main.
"""

import gc
import json
import os
import sys
import time

SECTOR_BYTES = 4096
SAMPLE_BYTES = 256   # of the random source
TICKS, GAP_MS = 4, 400


def tell(name, number, why=""):
    print("TEST " + json.dumps([name, number, why]))


def clock():
    for _ in range(TICKS):
        print("TICK", time.ticks_ms())
        time.sleep_ms(GAP_MS)


def radio():
    """Left on: what comes after it needs true randomness."""
    import network
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    tell("radio_mac_bytes", len(bytes(wlan.config("mac")).strip(b"\0")))
    tell("networks", len(wlan.scan()))


def chance():
    data = os.urandom(SAMPLE_BYTES)
    longest = run = 1
    for i in range(1, SAMPLE_BYTES):
        run = run + 1 if data[i] == data[i - 1] else 1
        longest = max(longest, run)
    tell("random_distinct", len(set(data)))
    tell("random_run", longest)
    tell("random_repeats", int(os.urandom(SAMPLE_BYTES) == data))


def scratch():
    """The last sector of the ring, which is empty before a device's life."""
    try:
        import simchip
        return simchip.partition("ring")
    except ImportError:
        import esp32
        return esp32.Partition.find(esp32.Partition.TYPE_DATA, label="ring")[0]


def flash():
    device = scratch()
    last = device.ioctl(4, 0) - 1
    seen = bytearray(SECTOR_BYTES)
    wrong = 0
    for pattern in (b"\x55", b"\x00"):   # each bit is programmed once
        device.ioctl(6, last)
        device.readblocks(last, seen, 0)
        wrong += SECTOR_BYTES - seen.count(b"\xff")
        device.writeblocks(last, pattern * SECTOR_BYTES, 0)
        device.readblocks(last, seen, 0)
        wrong += SECTOR_BYTES - seen.count(pattern)
    device.ioctl(6, last)
    tell("flash_wrong_bytes", wrong)


def sensors(site):
    """Each channel of the configuration once, in its unit, by the drivers of the firmware on the board."""
    import machine

    from node import config as reader
    from node.settings import Config
    from node.wire import identity
    if sys.platform == "linux":
        from board.unix.board import Board
    else:
        from board.esp32.board import Board
    config = reader.parse(site, Config())
    for source in Board.sources(None, identity.device_id(config.product, machine.unique_id()), config):
        try:
            source.start()
            time.sleep_ms(source.lead_ms)
            values, why = source.read(), ""
        except Exception as error:
            values, why = [None] * len(source.channels), str(error) or type(error).__name__
        for number, place in enumerate(source.channels):
            channel, value = config.channels[place], values[number]
            tell("sensor_" + channel.name, None if value is None else value * float(channel.resolution), why)


def main(site):
    """Everything; `site`: a configuration whose sensors are wired to the board, b"" for none."""
    import machine
    print("BOARD", "".join("%02x" % byte for byte in machine.unique_id()))
    gc.collect()
    tell("heap_free_bytes", gc.mem_free())
    for name, measure in (("clock", clock), ("radio", radio), ("random", chance), ("flash", flash)):
        try:
            measure()
        except Exception as error:
            tell(name, None, str(error) or type(error).__name__)
    if site:
        try:
            sensors(site)
        except Exception as error:
            tell("sensors", None, str(error) or type(error).__name__)
