"""Whether a board passed its self-test: what was measured, held against limits. Pure.

A limit is (least, most), either may be None. What has a limit and was not measured is a fault, and so is what could not be
measured; what was measured without a limit stands in the report and is not judged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioning.errors import ProvisioningError

Limit = tuple[float | None, float | None]

LIMITS: Mapping[str, Limit] = {
    "heap_free_bytes": (40_000, None),      # a stock ESP32 has 160,000 at its prompt, the firmware needs 24,000 at work
    "clock_ratio": (0.8, 1.25),             # board's time over the host's; a wrong crystal is off by 1.54 (40 for 26 MHz) or 0.65
    "radio_mac_bytes": (1, 6),              # an address that is not all zeros
    "networks": (1, None),                  # the line has an access point; the limit is for those who have none to change
    "random_distinct": (110, None),         # of 256 bytes: 162 on average, standard deviation 6.6
    "random_run": (None, 5),                # equal bytes in a row
    "random_repeats": (None, 0),            # 256 bytes come twice
    "flash_wrong_bytes": (None, 0),         # of a sector erased, programmed and read, twice
}
TICKS = 3   # marks of the board's clock, at least: two spans


@dataclass(frozen=True)
class Measured:
    """What a board's self-test told: its MAC address (12 hex), numbers, and why others are missing."""

    mac: str
    numbers: Mapping[str, float]
    missing: Mapping[str, str]


def limits(own: Mapping[str, object], sensors: Mapping[str, Limit]) -> dict[str, Limit]:
    """All limits of a lot.

    Args:
        own: the lot's, name -> [least, most]; they replace the usual ones. sensors: of the channels that are wired.

    Raises:
        ProvisioningError: "line.limits".
    """
    found: dict[str, Limit] = {**LIMITS, **sensors}
    for name, value in own.items():
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2 or not all(
                one is None or (isinstance(one, int | float) and not isinstance(one, bool)) for one in value):
            raise ProvisioningError("line.limits", f"{name}: got {value!r}, expected [least, most], each a number or null")
        found[name] = (value[0], value[1])
    return found


def clock_ratio(ticks_ms: Sequence[int], heard_s: Sequence[float]) -> float | None:
    """A board's time over the host's, by marks that the board sent; None when there are too few.

    Each span is late by what the host was busy with, at either end; a clock that is wrong is wrong in each. So the best counts.
    """
    if len(ticks_ms) < TICKS or len(ticks_ms) != len(heard_s):
        return None
    pairs = zip(ticks_ms[1:], ticks_ms, heard_s[1:], heard_s, strict=False)
    ratios = [(ticks - before) / 1000 / (at - then) for ticks, before, at, then in pairs if at > then and ticks > before]
    return min(ratios, key=lambda ratio: abs(math.log(ratio))) if ratios else None


def judge(measured: Measured, wanted: Mapping[str, Limit]) -> list[str]:
    """The faults, in words; none: passed."""
    faults = [f"{name}: {why or 'not measured'}" for name, why in measured.missing.items()]
    for name, (least, most) in wanted.items():
        number = measured.numbers.get(name)
        if number is None:
            if name not in measured.missing:
                faults.append(f"{name}: not measured")
        elif (least is not None and number < least) or (most is not None and number > most):
            faults.append(f"{name}: got {number:g}, expected {_range(least, most)}")
    return faults


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return f"{most:g} or less"
    return f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
