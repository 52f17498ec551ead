"""An ESP32's clock and RTC memory, on CPython over a chip that only has these: times that lie, resets that are told apart."""

import calendar
import importlib
import sys
import time
import types

import pytest

from node.agent.clock import DeviceClock
from node.agent.supervisor import SILENCE_RESET_MS
from node.wire.batch import QUALITY_NTP, QUALITY_SERVER
from tests.sim.memory import MemoryFiles

YEAR_S = 365 * 86_400
NOW_S = 1_800_000_000
FLOOR_S = NOW_S - YEAR_S
IN_2106_S = 0xFFFFFFFF   # the latest that a check-in's answer can say
CERTIFICATE_S = NOW_S - 30 * 86_400, NOW_S + YEAR_S   # the servers' validity
EPOCH_2000_S = 946_684_800


class Chip:
    """What `machine` and `time` are on the port whose epoch is 2000. RTC memory and clock outlive a reset."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    def __init__(self):
        self.clock_s, self.kept, self.cause = EPOCH_2000_S, b"", self.PWRON_RESET
        causes = {name: getattr(Chip, name) for name in dir(Chip) if name.endswith("RESET")}
        self.machine = types.SimpleNamespace(RTC=lambda: self, reset_cause=lambda: self.cause, **causes)
        self.time = types.SimpleNamespace(
            time=lambda: self.clock_s - EPOCH_2000_S,
            gmtime=lambda at_s: (*time.gmtime(at_s + EPOCH_2000_S)[:6], time.gmtime(at_s + EPOCH_2000_S)[6], 0))

    def datetime(self, parts):
        year, month, day, _, hour, minute, second, _ = parts
        self.clock_s = calendar.timegm((year, month, day, hour, minute, second))

    def memory(self, *data):
        if data:
            self.kept = data[0]
        return self.kept


@pytest.fixture
def chip(monkeypatch):
    chip = Chip()
    for name in ("machine", "time"):
        monkeypatch.setitem(sys.modules, name, getattr(chip, name))
    for name in ("rtc", "reset"):
        monkeypatch.delitem(sys.modules, f"board.esp32.{name}", raising=False)
        setattr(chip, name, importlib.import_module(f"board.esp32.{name}"))
    return chip


class Boot:
    """One boot, as Board and parts.compose put it together; what it can reach is a matter of the clock."""

    def __init__(self, chip, files, ntp_s=None):
        self.causes = chip.reset.Causes()
        self.rtc = chip.rtc.Rtc(files, FLOOR_S, self.causes.silent % 4 == 3)
        self.clock = DeviceClock(lambda: 0, 1 << 30, floor_s=FLOOR_S, seen_s=self.rtc.seen_s, told=self.rtc.told)
        if ntp_s:
            self.clock.learn(ntp_s * 1000, QUALITY_NTP)

    def reaches_servers(self):
        return CERTIFICATE_S[0] <= self.rtc.unix_s() <= CERTIFICATE_S[1]

    def server_says(self, unix_s):
        self.clock.learn(unix_s * 1000, QUALITY_SERVER)


def boots_until_reached(chip, files, ntp_s=None):
    for n in range(20):
        chip.cause = chip.HARD_RESET
        boot = Boot(chip, files, ntp_s)
        if boot.reaches_servers():
            return n, boot
        boot.causes.intend(silence=True)
    raise AssertionError("never again")


def test_server_that_says_2106_closes_tls_for_some_hours_not_for_ever(chip):
    files = MemoryFiles()
    boot = Boot(chip, files, NOW_S)
    assert boot.reaches_servers()
    boot.server_says(IN_2106_S)
    assert not boot.reaches_servers()
    boot.causes.intend(silence=True)
    n, boot = boots_until_reached(chip, files, NOW_S)
    assert (n + 1) * SILENCE_RESET_MS <= 8 * 3_600_000
    boot.server_says(NOW_S)   # an honest one
    boot.causes.intend(silence=False)
    chip.cause = chip.HARD_RESET
    assert Boot(chip, files).reaches_servers()   # and the lie is forgotten


def test_outage_on_a_network_without_ntp_does_not_lose_the_remembered_time(chip):
    files = MemoryFiles()
    boot = Boot(chip, files, NOW_S)
    boot.server_says(NOW_S)
    reached = []
    for _ in range(12):   # a day without any server, and no time server ever
        boot.causes.intend(silence=True)
        chip.cause = chip.HARD_RESET
        boot = Boot(chip, files)
        reached.append(boot.reaches_servers())
    assert reached == [True, True, False, True] * 3


def test_cold_board_asleep_for_years_takes_the_time_from_ntp(chip):
    files = MemoryFiles()
    boot = Boot(chip, files, NOW_S - 5 * YEAR_S)
    boot.server_says(NOW_S - 5 * YEAR_S)
    chip.clock_s, chip.kept, chip.cause = EPOCH_2000_S, b"", chip.PWRON_RESET
    assert Boot(chip, files, NOW_S).reaches_servers()


def test_forged_ntp_turns_no_clock_back_behind_what_a_server_said(chip):
    files = MemoryFiles()
    Boot(chip, files, NOW_S).server_says(NOW_S)
    chip.cause = chip.HARD_RESET
    assert Boot(chip, files, NOW_S - 200 * 86_400).rtc.unix_s() == NOW_S


@pytest.mark.parametrize(("cause", "before", "told"), [
    ("PWRON_RESET", None, "power"), ("WDT_RESET", 0, "watchdog"), ("DEEPSLEEP_RESET", 0, "sleep"), ("SOFT_RESET", 0, "soft"),
    ("HARD_RESET", 0, "panic"),      # it ran, and nobody took the mark back
    ("HARD_RESET", 1, "soft"),       # a reset that was meant
    ("HARD_RESET", None, "soft"),    # boot.py recorded a failure and removed the mark, or the line reset the board
])
def test_why_the_board_starts_is_told_apart(chip, cause, before, told):
    if before is not None:
        causes = chip.reset.Causes()
        if before:
            causes.intend(silence=False)
    chip.cause = getattr(chip, cause)
    assert chip.reset.Causes().cause == told


@pytest.mark.parametrize("junk", [b"", b"T", b"TFR1", b"TFR1\0", b"TFR1\x01\x03abcd", b"\xff" * 2048])
def test_junk_in_rtc_memory_after_a_brown_out_says_nothing(chip, junk):
    chip.kept, chip.cause = junk, chip.HARD_RESET
    causes = chip.reset.Causes()
    assert (causes.cause, causes.silent) == ("soft", 0)
