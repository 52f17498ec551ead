"""How strong a simulated board's access point comes in: RSSI in dBm, of a hall with boards near the access point and far from it.

Decides from device and time alone: each board has its distance, what is moved about in the hall fades it slowly, and what goes by
does so for a moment. Nothing is lost for a weak signal: links are broken by chaos.py only.
"""

import hashlib
import math

STEP_S = 10                 # the chip averages over beacons; nobody asks more often
NEAR_DBM, FAR_DBM = -46, -80
FADE_DB, FADE_S = 4.0, 900  # slowly: a pallet, a gate, a lorry
PASSING_DB = 3              # in a step


def rssi(device: str, at_s: float) -> int:
    """In dBm; `at_s` is Unix seconds. Equal arguments give equal values."""
    place, phase = _share(device, "place"), _share(device, "phase")
    step = int(at_s // STEP_S)
    fade = FADE_DB * math.sin(2 * math.pi * (step * STEP_S / FADE_S + phase))
    passing = PASSING_DB * (2 * _share(device, str(step)) - 1)
    return round(NEAR_DBM + (FAR_DBM - NEAR_DBM) * place + fade + passing)


def _share(device: str, purpose: str) -> float:
    """0..1, as if by chance."""
    digest = hashlib.sha256(f"{device}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
