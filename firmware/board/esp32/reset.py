"""Why this boot: told apart by the chip's reset cause and a few bytes in RTC memory, which outlive a reset but no power cut.

The chip says HARD_RESET for machine.reset() and for a panic alike, and power-on for a brown-out. So a run leaves a mark, and who
means to reset changes it: boot.py removes it after a failure that it has recorded, and takes one that is left for a crash
(choose.unspoken).

RTC memory (this and boot.py are its only users): "TFR1", 1 if the reset is meant, how many boots in a row have ended as no server
was heard, and the CRC-32 of it all, big-endian: after a brown-out there may be junk.
"""

import binascii

import machine

MAGIC = b"TFR1"


class Causes:
    """Reads and clears the mark on construction.

    Attributes:
        cause: "power", "soft" (meant, or after a failure that was caught), "watchdog", "panic" or "sleep".
        silent: boots in a row before this one that ended for silence.
    """

    def __init__(self):
        self._memory = machine.RTC().memory
        before = self._memory()
        running = before == _mark(0, 0)
        self.silent = before[5] if len(before) > 5 and before == _mark(1, before[5]) else 0
        self._memory(_mark(0, 0))
        self.cause = {machine.WDT_RESET: "watchdog", machine.DEEPSLEEP_RESET: "sleep", machine.SOFT_RESET: "soft",
                      machine.HARD_RESET: "panic" if running else "soft"}.get(machine.reset_cause(), "power")

    def intend(self, silence):
        """The reset that follows is meant."""
        self._memory(_mark(1, min(self.silent + 1, 255) if silence else 0))


def _mark(meant, silent):
    body = MAGIC + bytes([meant, silent])
    return body + binascii.crc32(body).to_bytes(4, "big")
