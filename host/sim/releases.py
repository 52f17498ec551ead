"""The demo's two releases: what is appended to main.py of each, so that the one works and the other does not."""

import hashlib
from collections.abc import Mapping

from host.sim.plant import FIRMWARE

MAIN = "main.py"

# Appended to main.py of the good release: so that its code can be told from its predecessor's on a flash file. It must do
# something, or the bundle leaves it out.
CHANGE = b"""

len("changed in 1.1.0")
"""

# Appended to main.py of the bad release: it boots, looks well for a moment, and dies.
CRASH = b"""

def run(info):
    import time
    time.sleep_ms(1500)
    raise RuntimeError("a fault that no test of this release found")
"""


def overlay(appended: bytes) -> dict[str, bytes]:
    """The one source in which a release of the demo differs from the firmware as it is."""
    return {MAIN: (FIRMWARE / MAIN).read_bytes() + appended}


def main_sha256(files: Mapping[str, bytes]) -> str:
    """The hash by which a bundle's code is known on a flash file."""
    return hashlib.sha256(files["main.mpy"]).hexdigest()
