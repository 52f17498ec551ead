"""What boot.py calls: shares out the memory, then runs the device.

Whatever escapes from run() makes boot.py record the reason and reset.
"""

import gc
import sys

gc.threshold(4096)   # before anything is imported: collecting as that goes keeps what stays from being scattered over the heap


def run(boot_info):
    """Run the device; returns only by an exception."""
    pin = _share()   # for as long as this runs
    import device
    device.run(boot_info)
    del pin


def _share():
    if sys.platform == "linux":
        return None
    before = set(sys.modules)
    from board.esp32 import room
    pin = room.share()
    for name in set(sys.modules) - before:   # needed once
        del sys.modules[name]
    return pin
