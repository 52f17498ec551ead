"""Time on the device: ticks that never wrap, and the time of day once somebody trusted has told it.

A Clock port (node.ports) whose raw ticks come as a function. The time of day is kept as the Unix time of the boot's tick 0,
the epoch, so that readings taken before it was known are dated too. Nothing is scheduled by the time of day. Asks nobody:
the check-in and enrolment hand it what servers said.
"""

from node.wire.batch import QUALITY_NONE, QUALITY_SERVER

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable

STEP_MS = 2000   # servers say whole seconds: a difference below this is their rounding, and the epoch stays as it is


class DeviceClock:
    """The firmware's one clock.

    Args:
        raw_ticks_ms: the port's ticks_ms.
        wrap_ms: where raw ticks start again from 0 (a power of two; 2^30 on ESP32); call ticks_ms() more often than that.
    """

    def __init__(self, raw_ticks_ms: "Callable[[], int]", wrap_ms: int) -> None:
        self._raw_ticks_ms = raw_ticks_ms
        self._wrap_ms = wrap_ms
        self._last_raw = raw_ticks_ms()
        self._ticks_ms = 0
        self.epoch_ms = 0
        self.quality = QUALITY_NONE

    def ticks_ms(self) -> int:
        raw = self._raw_ticks_ms()
        self._ticks_ms += (raw - self._last_raw) % self._wrap_ms
        self._last_raw = raw
        return self._ticks_ms

    def unix_ms(self) -> int:
        return self.epoch_ms + self.ticks_ms() if self.quality >= QUALITY_SERVER else 0

    def learn(self, unix_ms: int, quality: int) -> bool:
        """Take a source's word; True when the epoch moved.

        A better source replaces a worse one; the same source corrects the epoch only by steps of STEP_MS or more; a worse
        one is not heard. Words before 2024 or after 2200 are no times of day.
        """
        if quality < self.quality or not 1704067200000 <= unix_ms < 7258118400000:
            return False
        epoch_ms = unix_ms - self.ticks_ms()
        if quality == self.quality and abs(epoch_ms - self.epoch_ms) < STEP_MS:
            return False
        self.quality = quality
        self.epoch_ms = epoch_ms
        return True


_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def http_date_s(text: str) -> int:
    """Unix seconds of an HTTP Date header ("Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 5.6.7), or 0 when it is none."""
    parts = text.split(" ")
    if len(parts) != 6 or parts[5] != "GMT":
        return 0
    try:
        day, year = int(parts[1]), int(parts[3])
        month = _MONTHS.find(parts[2]) // 3 + 1
        hour, minute, second = [int(part) for part in parts[4].split(":")]
    except ValueError:
        return 0
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1970 <= year <= 9999):
        return 0
    return days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; ports disagree on time.mktime's epoch (Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468
