"""Why this boot: told apart by the chip's reset cause and a few bytes in RTC memory, which outlive a reset but no power cut.

The chip says HARD_RESET for machine.reset() and for a panic alike, and power-on for a brown-out. So whoever means to reset leaves a
mark. boot.py resets without one after a failure; its record on flash tells those.

RTC memory (board/esp32 is its only user): "TFR1", 1 if the reset is meant, runs ended by themselves in a row, their reason, and
the CRC-32 of it all, big-endian: after a brown-out there may be junk.
"""

import binascii

import machine

MAGIC = b"TFR1"


class Causes:
    """Reads and clears the mark on construction.

    Args:
        exits: (reason, number in a row) of the runs that ended by themselves, as boot.py found them at this boot.

    Attributes:
        cause: "power", "soft" (meant, or after a failure that was caught), "watchdog", "panic" or "sleep".
    """

    def __init__(self, exits):
        self._memory = machine.RTC().memory
        self._body = bytes([min(exits[1], 255)]) + exits[0].encode()
        before = self._read()
        self._write(0)
        self.cause = self._judge(machine.reset_cause(), before, exits)

    def intend(self):
        """The reset that follows is meant."""
        self._write(1)

    def _judge(self, chip, before, exits):
        if chip == machine.HARD_RESET:
            if before is None:   # no run of ours since the power came: the line's reset
                return "soft"
            meant, number, reason = before
            return "soft" if meant or exits[1] > number or (exits[0] and exits[0] != reason) else "panic"
        return {machine.WDT_RESET: "watchdog", machine.DEEPSLEEP_RESET: "sleep", machine.SOFT_RESET: "soft"}.get(chip, "power")

    def _read(self):
        """(meant, number, reason) as the last run left them; None after a power cut."""
        raw = self._memory()
        body, crc = raw[:-4], raw[-4:]
        if not body.startswith(MAGIC) or len(body) < len(MAGIC) + 2 or binascii.crc32(body).to_bytes(4, "big") != crc:
            return None
        return bool(body[4]), body[5], body[6:].decode()

    def _write(self, meant):
        body = MAGIC + bytes([meant]) + self._body
        self._memory(body + binascii.crc32(body).to_bytes(4, "big"))
