"""The check-in cycle: what it says, when it comes again, and that no answer of a server breaks it."""

import asyncio
import unittest

from node.agent import rounds as module
from node.agent import verify
from node.agent.http import Response
from node.errors import NetworkError, PeerError
from node.wire import checkin
from tests.sim.boot_stub import parts
from tests.sim.memory import Chance, MemoryFiles, StepClock
from tests.sim.ota_server import NOW_S, OtaServer
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import DEVICE, Device

NEW = Release(2, {"main.mpy": b"two"})


def info(trial=False):
    return {"slot": "factory" if not trial else "a", "trial": trial, "tries": 0, "failed": None,
            "release": {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": 6}}


class TestCycle(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())
        self.http = OtaServer(NEW)
        self.clock = StepClock()
        self.device = Device(self.files, self.http, info(), self.clock)

    def cycle(self):
        return asyncio.run(self.device.cycle())

    def answer(self, body, status=200, headers=None):
        async def request(*arguments, **named):
            return Response(status, headers or {}, body)

        self.http.request = request

    def test_request_says_what_runs_and_is_accepted_by_the_server(self):
        self.cycle()
        sent = self.http.requests[0]
        del sent["nonce"]
        self.assertEqual(sent, {
            "v": 1, "device": DEVICE, "model": "hall", "release": "1.0.0", "counter": 1, "manifest": "", "boot": 1,
            "slot": "factory", "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": {"uptime_s": 0},
            "config": "", "config_trial": False, "config_failed": None,
        })

    def test_every_checkin_has_a_fresh_nonce(self):
        for _ in range(3):
            self.cycle()
        self.assertEqual(len({request["nonce"] for request in self.http.requests}), 3)

    def test_slot_without_a_marker_can_still_check_in(self):
        boot = info()
        boot["release"] = {}
        self.device = Device(self.files, self.http, boot, self.clock)
        self.cycle()
        self.assertEqual((self.http.requests[0]["release"], self.http.requests[0]["counter"]), ("0.0.0", 0))

    def test_server_tells_the_time(self):
        self.cycle()
        self.assertEqual(self.clock.unix_ms(), NOW_S * 1000)

    def test_servers_period_is_obeyed_and_scattered(self):
        self.http.period_s = 1000
        waits = []
        for _ in range(20):
            wait_ms = self.cycle()
            self.clock.now_ms += wait_ms
            waits.append(wait_ms)
        self.assertEqual(self.device.missed, [])
        self.assertTrue(all(800000 <= wait_ms <= 1200000 for wait_ms in waits[1:]), waits)
        self.assertTrue(len(set(waits)) > 10)

    def test_failure_is_tried_again_in_the_next_period_so_that_no_crowd_waits_for_the_server(self):
        self.http.error = NetworkError("http.timeout", "no answer")
        dues = []
        for _ in range(40):
            self.clock.now_ms += self.cycle()
            dues.append(self.clock.now_ms)
        self.assertEqual(self.device.missed, ["sync_failure"] * 40)
        self.assertEqual([due // 60000 for due in dues], list(range(dues[0] // 60000, dues[0] // 60000 + 40)))
        self.assertTrue(len({due % 60000 for due in dues}) > 30)

    def test_failure_in_a_trial_is_tried_again_soon_up_to_one_and_a_half_periods(self):
        self.device = Device(self.files, self.http, info(True), self.clock)
        self.http.error = NetworkError("http.timeout", "no answer")
        waits = [self.cycle() for _ in range(40)]
        self.assertTrue(waits[0] <= 2000)
        self.assertTrue(45000 < max(waits) <= 90000)
        self.assertTrue(len(set(waits)) > 30)

    def test_server_that_asks_us_to_stay_away_is_obeyed_and_the_return_is_scattered(self):
        self.http.status, self.http.headers = 503, {"retry-after": "120"}
        waits = [self.cycle() for _ in range(10)]
        self.assertTrue(all(120000 <= wait_ms <= 122000 for wait_ms in waits))
        self.assertTrue(len(set(waits)) > 5)
        self.http.headers = {"retry-after": "99999999999"}
        self.assertTrue(self.cycle() <= 86402000)

    def test_nonsense_in_retry_after_is_ignored(self):
        self.http.status, self.http.headers = 503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}
        self.assertTrue(self.cycle() <= 66000)

    def test_no_failure_of_the_connection_escapes(self):
        for error in (OSError(110), ValueError("certificate verification failed"), PeerError("http.head", "not HTTP"),
                      NetworkError("http.short", "")):
            self.http.error = error
            self.cycle()
        self.http.error = None
        self.cycle()
        self.assertEqual(len(self.http.requests), 1)

    def test_no_malformed_answer_escapes(self):
        for body in (b"", b"{", b"[]", b"{}", b"<html>", b"\xff" * 100,
                     b'{"v":1,"now_s":1,"period_s":0,"direction":null,"reason":""}',
                     b'{"v":1,"now_s":1,"period_s":60,"direction":7,"reason":""}'):
            self.answer(body)
            self.assertTrue(self.cycle() >= 0)
        self.assertEqual(self.device.update.state, "idle")

    def test_direction_that_is_no_envelope_is_refused_quietly(self):
        self.answer(checkin.encode_response({"now_s": NOW_S, "period_s": 60, "direction": b"junk", "reason": ""}))
        self.cycle()
        self.assertEqual(sorted(self.files.data), ["/state/trust.json", verify.PINNED])

    def test_failed_update_is_tried_again_soon_but_not_in_a_loop(self):
        self.http.offer = NEW
        self.http.break_after = 0
        waits = [self.cycle() for _ in range(12)]
        self.assertTrue(waits[0] <= 2000)
        self.assertTrue(max(waits) > 20000)


class Bare:
    """What parts.first_wait_ms needs of a device."""

    def __init__(self, name="hall-0242ac110001", trial=False):
        self.id, self.boot_info = name, {"trial": trial}
        self.config = self.board = self
        self.checkin_s, self.trial_s = 60, 30
        self.clock, self.chance = StepClock(), Chance()


class TestFirstWait(unittest.TestCase):
    def test_devices_that_boot_together_do_not_check_in_together(self):
        waits = [parts.first_wait_ms(Bare(f"hall-0242ac1100{n:02x}")) for n in range(50)]
        self.assertTrue(max(waits) > 40000)
        self.assertTrue(min(waits) < 15000)

    def test_trial_is_heard_early(self):
        device = Bare(trial=True)
        self.assertTrue(all(parts.first_wait_ms(device) <= 30000 // 8 for _ in range(20)))


class TestRun(unittest.TestCase):
    def run_for(self, device, seconds, ready=lambda: True):
        """Run the task on a clock that sleeping moves."""
        async def sleep(wait_s):
            if device.clock.now_ms > seconds * 1000:
                raise EOFError
            device.clock.now_ms += int(wait_s * 1000) + 1

        class Loop:
            pass

        loop = Loop()
        loop.sleep = sleep
        real, module.asyncio = module.asyncio, loop
        try:
            asyncio.run(device.rounds.run(ready))
        except EOFError:
            pass
        finally:
            module.asyncio = real

    def device(self, trial=False):
        self.files = MemoryFiles()
        self.http = OtaServer(NEW)
        return Device(self.files, self.http, info(trial), StepClock())

    def test_checks_in_once_a_period(self):
        device = self.device()
        self.run_for(device, 600)
        self.assertTrue(9 <= len(self.http.requests) <= 11, len(self.http.requests))

    def test_confirmed_trial_is_told_at_once(self):
        device = self.device(trial=True)
        device.acked = True
        self.run_for(device, 10)
        self.assertEqual([request["trial"] for request in self.http.requests[:2]], [True, False])

    def test_trial_without_a_certificate_ends_too(self):
        device = self.device(trial=True)
        with self.assertRaises(Exception) as caught:
            self.run_for(device, 100, lambda: False)
        self.assertEqual((caught.exception.args[0], self.http.requests), ("no server", []))


if __name__ == "__main__":
    unittest.main()
