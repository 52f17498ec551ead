"""The boot stub and its neighbours, which lie outside every package, as on the device."""

import sys

sys.path.insert(0, __file__[:-len("tests/sim/boot_stub.py")] + "firmware")
import choose
import parts  # noqa: F401  tests import all three from here
import stub

sys.path.pop(0)


def complete(files):
    """Names of the complete slots."""
    have = choose.Complete(files)
    return {slot for slot in stub.DIRS if slot in have}
