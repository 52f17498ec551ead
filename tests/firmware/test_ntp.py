"""The device's SNTP client under real MicroPython, against a UDP server that answers as the test says."""

import json
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from node.wire.batch import QUALITY_NTP
from tests.firmware.boards import FIRMWARE, MICROPYTHON

UNIX_AT_1900_S = 2_208_988_800
GOOD = 0x24          # no leap warning, version 4, server
KISS, SYNCHRONISED = 0, 2   # strata
YEAR_2040_S = 2_208_988_800   # Unix; NTP's second era
DEVICE = """
import asyncio, json, os, sys, time
sys.path[:] = [FIRMWARE, FIRMWARE + "/lib", ".frozen"]
from board.ntp import Ntp
from node.agent.clock import DeviceClock
later = [0]
clock = DeviceClock(lambda: (time.ticks_ms() + later[0]) & (1 << 30) - 1, 1 << 30, floor_s=FLOOR_S)
ntp = Ntp(SERVER, clock, os.urandom)
if SERVER_S:
    clock.learn(SERVER_S * 1000, 2)
for wait_ms in WAITS_MS:
    later[0] += wait_ms
    began = time.ticks_ms()
    asyncio.run(ntp.refresh())
    print(json.dumps({"took_ms": time.ticks_diff(time.ticks_ms(), began), "unix_ms": clock.unix_ms(), "quality": clock.quality}))
"""


def packet(question, at_s=None, first=GOOD, stratum=SYNCHRONISED, nonce=None, stamps=True):
    """An answer to a question; `at_s` is the server's time."""
    now_s = time.time() if at_s is None else at_s
    ntp_s = now_s + UNIX_AT_1900_S
    stamp = struct.pack("!II", int(ntp_s) % 2**32, int(ntp_s % 1 * 2**32)) if stamps else bytes(8)
    return bytes([first, stratum, 6, 0xEC]) + bytes(8) + b"RATE" + bytes(8) + (nonce or question[40:48]) + stamp + stamp


class Server:
    """Answers each question with what `answers(question)` gives; keeps the questions. `forged` comes before, from another port."""

    def __init__(self, answers, forged=lambda _question: []):
        self.questions = []
        self._forged = forged
        self._stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._udp.getsockname()[1]}"
        self._answers = answers
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._udp.sendto(b"stop", self._udp.getsockname())
        self._thread.join(5)
        self._udp.close()
        self._stranger.close()

    def _run(self):
        while True:
            question, sender = self._udp.recvfrom(100)
            if question == b"stop":
                return
            self.questions.append(question)
            for answer in self._forged(question):
                self._stranger.sendto(answer, sender)
            for answer in self._answers(question):
                self._udp.sendto(answer, sender)


def run(server, waits_ms=(0,), floor_s=0, server_s=0):
    """What the device knows after each refresh."""
    settings = {"FIRMWARE": str(FIRMWARE), "SERVER": server, "WAITS_MS": list(waits_ms), "FLOOR_S": floor_s, "SERVER_S": server_s}
    script = "".join(f"{name} = {value!r}\n" for name, value in settings.items()) + DEVICE
    done = subprocess.run([MICROPYTHON, "-c", script], capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, "MICROPYPATH": ".frozen"})
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_now(state):
    return state["quality"] == QUALITY_NTP and abs(state["unix_ms"] / 1000 - time.time()) < 2


def test_answer_sets_the_clock_and_the_question_tells_nothing_of_ours():
    with Server(lambda question: [packet(question)]) as server:
        (state,) = run(server.address)
    assert is_now(state)
    assert state["took_ms"] < 1000
    assert len(server.questions[0]) == 48
    assert server.questions[0][:40] == b"\x23" + bytes(39)


def test_each_question_bears_another_number():
    with Server(lambda question: [packet(question)]) as server:
        run(server.address, waits_ms=(0, 600_000))
    assert len({question[40:] for question in server.questions}) == 2


@pytest.mark.parametrize("bad", [
    pytest.param({"nonce": b"guessed!"}, id="spoofed"),
    pytest.param({"nonce": bytes(8)}, id="unasked"),
    pytest.param({"first": 0x23}, id="a client's question"),
    pytest.param({"first": 0x25}, id="broadcast"),
    pytest.param({"first": 0xE4}, id="server has lost the time"),
    pytest.param({"stratum": 16}, id="stratum 16"),
    pytest.param({"stamps": False}, id="no transmit time"),
])
def test_what_is_no_answer_is_passed_over_and_the_true_one_heard(bad):
    with Server(lambda question: [packet(question, time.time() + 86_400, **bad), packet(question)]) as server:
        (state,) = run(server.address)
    assert is_now(state)


@pytest.mark.parametrize("length", [0, 1, 47, 49, 68])
def test_datagram_of_another_length_is_passed_over(length):
    with Server(lambda question: [(packet(question, time.time() + 86_400) + bytes(20))[:length], packet(question)]) as server:
        (state,) = run(server.address)
    assert is_now(state)


def test_answer_from_another_port_does_not_arrive():
    with Server(lambda question: [packet(question)], lambda question: [packet(question, time.time() + 86_400)]) as server:
        (state,) = run(server.address)
    assert is_now(state)


def test_kiss_of_death_is_obeyed_for_an_hour():
    with Server(lambda question: [packet(question, stratum=KISS), packet(question)]) as server:
        states = run(server.address, waits_ms=(0, 3_500_000, 200_000))
    assert [state["quality"] for state in states] == [0, 0, 0]
    assert len(server.questions) == 2


def test_silence_ends_at_the_deadline_and_is_asked_again_ten_minutes_later():
    with Server(lambda _question: []) as server:
        states = run(server.address, waits_ms=(0, 590_000, 15_000))
    assert [state["quality"] for state in states] == [0, 0, 0]
    assert len(server.questions) == 2
    assert all(state["took_ms"] < 3000 for state in states)


def test_nobody_at_the_port_and_no_server_at_all_raise_nothing():
    with Server(lambda _question: []) as server:
        address = server.address
    assert [state["quality"] for address in (address, "") for state in run(address)] == [0, 0]


def test_answer_that_no_server_has_vouched_for_is_asked_again_soon():
    with Server(lambda question: [packet(question)]) as server:
        run(server.address, waits_ms=(0, 590_000, 15_000))
    assert len(server.questions) == 2


def test_confirmed_clock_is_asked_for_once_a_day():
    with Server(lambda question: [packet(question)]) as server:
        run(server.address, waits_ms=(0, 610_000, 85_000_000, 1_000_000), server_s=int(time.time()))
    assert len(server.questions) == 2


def test_forged_time_before_the_floor_is_not_heard():
    with Server(lambda question: [packet(question, time.time() - 86_400)]) as server:
        (state,) = run(server.address, floor_s=int(time.time()) - 3600)
    assert (state["quality"], state["unix_ms"]) == (0, 0)


def test_time_goes_on_after_the_end_of_ntps_era_in_2036():
    with Server(lambda question: [packet(question, YEAR_2040_S)]) as server:
        (state,) = run(server.address)
    assert 0 <= state["unix_ms"] - YEAR_2040_S * 1000 < 2000
