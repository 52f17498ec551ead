"""The chip's own clock, by which TLS judges certificates' dates, and the time that is remembered over power cuts.

After power-on the chip says the year 2000, so it is set forward to the latest time known to have passed. A server that lied,
or erred, about it would close TLS to all servers for ever; so the remembered time is doubted when nobody has been heard for long.
Dates no readings: node.agent.clock does, which knows nothing of this one.
"""

import time

import machine

from node.errors import FlashError

TIME_PATH = "/state/time"   # Unix seconds, decimal: what a server last said. Never NTP: forged once, it would hold for ever
KEEP_S = 86_400      # rewritten when a day has passed: 365 small writes a year, about 50 erases spread over the file system
STEP_S = 2           # servers say whole seconds
LATEST_S = 7_258_118_400   # 2200: beyond is no time of day
EPOCH_S = 946_684_800 if time.gmtime(0)[0] == 2000 else 0   # Unix seconds of the port's time.time() == 0


class Rtc:
    """The chip's clock, set on construction.

    Args:
        floor_s: it is not earlier than this (Unix seconds).
        doubt: in this boot neither the remembered time counts nor what the chip's clock has gone on from.

    Attributes:
        seen_s: what a server said in an earlier boot, 0 if none did or if it is doubted.
    """

    def __init__(self, files, floor_s, doubt):
        self._files = files
        self.seen_s = 0 if doubt else self._read()
        self._turned_back = False
        now_s = self.unix_s()   # goes on over resets, not over power cuts
        first_s = max(floor_s, self.seen_s, EPOCH_S if doubt or now_s >= LATEST_S else now_s)
        if first_s != now_s:
            self._set(first_s)

    def unix_s(self):
        return time.time() + EPOCH_S

    def told(self, unix_ms, vouched):
        """Follow the firmware's clock; `vouched`: a server has confirmed it in this boot."""
        unix_s = unix_ms // 1000
        if abs(unix_s - self.unix_s()) >= STEP_S:
            self._set(unix_s)
        if vouched:
            self._keep(unix_s)

    def _keep(self, unix_s):
        if unix_s < self.seen_s:   # a server was wrong; once a boot, lest two that disagree wear the flash
            if self.seen_s - unix_s < KEEP_S or self._turned_back:
                return
            self._turned_back = True
        elif unix_s - self.seen_s < KEEP_S:
            return
        try:
            self._files.write_atomic(TIME_PATH, str(unix_s).encode())
        except FlashError:   # the remembered time is a help, not a need; tried again a day later
            pass
        self.seen_s = unix_s

    def _read(self):
        try:
            seen_s = int(self._files.read(TIME_PATH) or b"0")
        except ValueError:
            return 0
        return seen_s if 0 <= seen_s < LATEST_S else 0

    def _set(self, unix_s):
        year, month, day, hour, minute, second, weekday = time.gmtime(unix_s - EPOCH_S)[:7]
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
