"""Time on the device: ticks that never wrap, and the time of day once somebody trusted has told it.

A Clock port (node.ports) whose raw ticks come as a function. The time of day is kept as the Unix time of the boot's tick 0,
the epoch, so that readings taken before it was known are dated too. Nothing is scheduled by the time of day. Asks nobody: the
check-in and enrolment hand it what servers said, the board what NTP said. A remembered time (QUALITY_FLOOR) dates no readings:
it only refuses words that would turn the clock back.
"""

from node.wire.batch import QUALITY_NONE, QUALITY_NTP, QUALITY_SERVER

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable

STEP_MS = 2000   # servers say whole seconds: a difference below this is their rounding, and the epoch stays as it is
AGREE_MS = 60_000   # NTP and a server that differ by more contradict each other; only the server is authenticated
EARLIEST_MS = 1704067200000   # 2024
LATEST_MS = 7258118400000     # 2200


class DeviceClock:
    """The firmware's one clock.

    Args:
        raw_ticks_ms: the port's ticks_ms.
        wrap_ms: where raw ticks start again from 0 (a power of two; 2^30 on ESP32); call ticks_ms() more often than that.
        floor_s: Unix seconds; nobody is heard who says an earlier time.
        seen_s: Unix seconds that a server has said in an earlier boot; NTP is not heard when it says an earlier time. A server is,
            or one which was wrong for a moment would have set all devices' clocks for ever.
        told: called with (Unix ms, vouched) after each word that was heard, also one that moved nothing.

    Attributes:
        vouched: a server has been heard in this boot.
    """

    def __init__(self, raw_ticks_ms: "Callable[[], int]", wrap_ms: int, *, floor_s: int = 0, seen_s: int = 0,
                 told: "Callable[[int, bool], None] | None" = None) -> None:
        self._raw_ticks_ms = raw_ticks_ms
        self._wrap_ms = wrap_ms
        self._floor_ms = max(floor_s * 1000, EARLIEST_MS)
        self._seen_ms = seen_s * 1000
        self._told = told
        self._last_raw = raw_ticks_ms()
        self._ticks_ms = 0
        self.epoch_ms = 0
        self.quality = QUALITY_NONE
        self.vouched = False

    def ticks_ms(self) -> int:
        raw = self._raw_ticks_ms()
        self._ticks_ms += (raw - self._last_raw) % self._wrap_ms
        self._last_raw = raw
        return self._ticks_ms

    def unix_ms(self) -> int:
        return self.epoch_ms + self.ticks_ms() if self.quality >= QUALITY_SERVER else 0

    def learn(self, unix_ms: int, quality: int) -> bool:
        """Take a source's word; True when the epoch moved.

        NTP is finer, a server is trusted: NTP replaces a server's word if it is within AGREE_MS of it, a server replaces NTP's if
        it is not. The same source corrects the epoch only by steps of STEP_MS or more. Not heard at all: words before the floor
        or after 2200, and NTP before `seen_s`.
        """
        ntp = quality == QUALITY_NTP
        if quality < QUALITY_SERVER or not self._floor_ms <= unix_ms < LATEST_MS or (ntp and unix_ms < self._seen_ms):
            return False
        epoch_ms = unix_ms - self.ticks_ms()
        apart_ms = abs(epoch_ms - self.epoch_ms)
        if ntp and self.vouched and apart_ms >= AGREE_MS:
            return False
        moved = apart_ms >= (STEP_MS if quality == self.quality else AGREE_MS if quality < self.quality else 0)
        if moved:
            self.quality, self.epoch_ms = quality, epoch_ms
        self.vouched = self.vouched or not ntp
        if self._told is not None:
            self._told(self.unix_ms(), self.vouched)
        return moved
