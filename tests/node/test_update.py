"""The update: what follows what, what is told to the server, and that nothing but a verdict fails a release."""

import asyncio
import unittest

from node.agent import update, verify
from node.errors import CallerError, NetworkError
from tests.sim.boot_stub import choose, complete, stub
from tests.sim.memory import MemoryFiles
from tests.sim.ota_server import OtaServer
from tests.sim.releases import OTHER, RELEASE, ROOT, Release, root_envelope
from tests.sim.updates import DEVICE, Boots, Device

OLD = Release(1, {"main.mpy": b"one" * 300, "node/a.mpy": b"same" * 200})
NEW = Release(2, {"main.mpy": b"two" * 300, "node/a.mpy": b"same" * 200, "node/b.mpy": b"more" * 100})
NEXT = Release(3, {"main.mpy": b"three" * 300})


class Bench(Boots):
    """A device with OLD in its factory slot, its server, and its boots one after the other."""

    def __init__(self):
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, root_envelope())
        OLD.install(self.files, "factory")
        self.http = OtaServer(OLD, NEW, NEXT)
        self.boot()

    def boot(self):
        self.info = choose.start(self.files)
        self.device = Device(self.files, self.http, self.info)
        return self.device


class TestTable(unittest.TestCase):
    def test_event_that_cannot_happen_is_an_error_of_ours(self):
        self.assertRaises(CallerError, update.step, update.TRIAL, "offered")

    def test_every_state_is_reached_and_left(self):
        states = {state for state, _ in update.TABLE}
        self.assertEqual(states, set(update.TABLE.values()))

    def test_only_a_complete_slot_is_tried_and_only_a_trial_is_confirmed(self):
        self.assertEqual([before for (before, _), after in update.TABLE.items() if after == update.TRIAL], [update.STAGED])
        self.assertEqual([before for (before, _), after in update.TABLE.items() if after == update.CONFIRMED], [update.TRIAL])


class TestUpdate(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()

    def floor(self):
        return verify.Trust(self.bench.files, DEVICE).floor

    def test_release_is_installed_tried_confirmed_and_reported(self):
        bench = self.bench
        device = bench.install(NEW)
        self.assertEqual((bench.info["slot"], bench.info["trial"], bench.info["release"]), ("a", True, NEW.marker()))
        self.assertFalse(bench.tick())
        self.assertTrue(bench.confirm())
        self.assertEqual((device.update.state, stub.load(bench.files)["slot"], self.floor()), (update.CONFIRMED, "a", 2))
        bench.cycle()
        self.assertEqual([(r["counter"], r["trial"]) for r in bench.http.requests], [(1, False), (2, True), (2, False)])
        self.assertEqual(device.update.state, update.IDLE)

    def test_third_release_goes_to_the_other_slot(self):
        bench = self.bench
        bench.install(NEW)
        bench.confirm()
        bench.cycle()
        bench.install(NEXT)
        self.assertEqual((bench.info["slot"], complete(bench.files)), ("b", {"a", "b", "factory"}))

    def test_idle_checkin_verifies_and_writes_nothing(self):
        self.bench.cycle()   # the first of a device's life writes its floor
        before = dict(self.bench.files.data)
        self.bench.files.read = lambda path: self.fail("read " + path)
        self.bench.cycle()
        self.assertEqual(self.bench.files.data, before)

    def test_floor_is_not_raised_before_the_trial_has_proved_itself(self):
        self.bench.cycle()
        self.bench.install(NEW)
        self.bench.cycle()
        self.assertEqual(self.floor(), 1)
        self.bench.confirm()
        self.assertEqual(self.floor(), 2)

    def test_floor_is_raised_after_a_cut_between_confirming_and_raising(self):
        bench = self.bench
        bench.install(NEW)
        bench.device.slots.confirm()
        bench.boot()
        bench.cycle()
        self.assertEqual(self.floor(), 2)

    def test_trial_that_is_never_heard_is_rolled_back_and_told(self):
        bench = self.bench
        for boot in (1, 2):
            device = bench.install(NEW) if boot == 1 else bench.boot()
            self.assertTrue(bench.info["trial"])
            device.clock.now_ms = 30000
            self.assertEqual(bench.tick(), "no server")
        bench.http.offer = None
        bench.boot()
        self.assertEqual((bench.info["slot"], bench.device.update.state), ("factory", update.FAILED))
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], {"counter": 2, "manifest": NEW.sha, "reason": "no server"})
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], None)
        self.assertEqual((complete(bench.files), self.floor()), ({"factory"}, 1))

    def test_failure_is_told_until_the_server_has_heard(self):
        bench = self.bench
        bench.install(NEW)
        bench.boot()
        bench.boot()
        bench.http.offer = None
        for _ in range(2):
            bench.http.error = NetworkError("http.timeout", "")
            bench.cycle()
            bench.boot()
        bench.http.error = None
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"]["manifest"], NEW.sha)

    def test_release_that_failed_comes_back_only_with_a_new_direction(self):
        bench = self.bench
        bench.install(NEW)
        bench.boot()
        bench.boot()
        self.assertEqual(bench.info["slot"], "factory")
        seq = bench.device.trust().seq
        bench.http.spoil = {"seq": seq}
        self.assertEqual(bench.cycle(), None)
        bench.http.spoil = {}
        self.assertEqual(bench.cycle(), "update")
        self.assertEqual(bench.device.trust().seq, seq + 1)

    def test_crashing_app_gives_a_trial_up(self):
        bench = self.bench
        bench.install(NEW)
        bench.device.app_crashes = 5
        self.assertEqual(bench.tick(), "app crashes")
        self.assertEqual(stub.load(bench.files)["exit"], "app crashes")

    def test_direction_during_a_trial_does_not_touch_the_way_back(self):
        bench = self.bench
        bench.install(NEW)
        bench.confirm()
        bench.cycle()
        device = bench.install(NEXT)
        request = dict(bench.http.requests[-1], seq=device.trust().seq)
        asyncio.run(device.update.offered(bench.http.direct(request, NEXT), request["nonce"], lambda: device.server))
        self.assertEqual((device.update.state, stub.release(bench.files, "a")), (update.TRIAL, NEW.marker()))

    def test_network_failure_at_any_request_fails_no_release(self):
        for nth in range(2, 6):   # after the check-in: root, manifest, artifact; the fifth is an artifact that breaks off
            bench = Bench()
            bench.http.offer = NEW
            if nth == 5:
                bench.http.break_after = 1200
            else:
                self.fail_request(bench.http, nth)
            self.assertEqual(bench.cycle(), None)
            self.assertEqual((bench.device.update.state, bench.device.update.failed), (update.IDLE, None))
            bench.http.break_after = None
            self.assertEqual(bench.cycle(), "update")

    def fail_request(self, http, nth):
        request, download, count = http.request, http.download, [0]

        def judge():
            count[0] += 1
            if count[0] == nth:
                raise OSError(104)   # ECONNRESET

        async def failing_request(*arguments, **named):
            judge()
            return await request(*arguments, **named)

        async def failing_download(*arguments):
            judge()
            return await download(*arguments)

        http.request, http.download = failing_request, failing_download

    def test_overloaded_or_broken_server_uses_up_no_attempt(self):
        for status in (429, 500, 503):
            bench = Bench()
            bench.http.offer = NEW
            bench.http.status_after_checkin = status
            self.assertEqual(bench.cycle(), None)
            self.assertEqual((bench.device.update.state, bench.device.update.failed), (update.IDLE, None))

    def test_refused_release_is_told_with_its_reason(self):
        bench = self.bench
        wrong = Release(2, NEW.files, model="gate")
        bench.http.releases.append(wrong)
        bench.http.offer = wrong
        bench.cycle()
        bench.http.offer = None
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], {"counter": 0, "manifest": wrong.sha, "reason": "manifest.model"})
        self.assertEqual((bench.device.update.state, bench.device.update.failed), (update.IDLE, None))

    def test_altered_artifact_fails_the_release_and_boots_nothing_new(self):
        bench = self.bench
        bench.http.offer = NEW
        bench.http.corrupt_at = 1000
        self.assertEqual(bench.cycle(), None)
        self.assertEqual(bench.device.update.failed["reason"], "download.hash")
        self.assertEqual(complete(bench.files), {"factory"})

    def test_direction_of_a_stranger_is_no_news_of_a_release(self):
        bench = self.bench
        bench.http.offer = NEW
        bench.http.online = RELEASE
        bench.cycle()
        bench.http.offer = None
        bench.cycle()
        self.assertEqual([request["failed"] for request in bench.http.requests], [None, None])
        self.assertEqual(bench.device.update.state, update.IDLE)

    def test_worn_out_flash_fails_the_update_and_is_told(self):
        for path, reason in (("/slots/a/part", "files.io"), ("/slots/a/bundle", "slot.io"), ("/slots/a/release.json", "files.io")):
            bench = Bench()
            bench.http.offer = NEW
            bench.files.refuse = path
            self.assertEqual(bench.cycle(), None)
            self.assertEqual(bench.device.update.failed, {"counter": 2, "manifest": NEW.sha, "reason": reason})
            self.assertEqual(choose.start(bench.files)["slot"], "factory")

    def test_device_asleep_for_years_follows_the_roots_one_by_one(self):
        bench = self.bench
        bench.http.roots = {2: root_envelope(2), 3: root_envelope(3, own=OTHER, before=ROOT),
                            4: root_envelope(4, own=OTHER, online=OTHER)}
        bench.http.online = OTHER
        bench.install(NEW)
        self.assertEqual(bench.device.trust().root()["version"], 4)
        self.assertEqual([path for _, path, _ in bench.http.asked if "roots" in path], [f"/v1/roots/{n}" for n in (2, 3, 4, 5)])

    def test_forged_root_ends_the_update_and_changes_nothing(self):
        bench = self.bench
        bench.http.roots = {2: root_envelope(2, own=OTHER, online=OTHER)}
        bench.http.online = OTHER
        bench.http.offer = NEW
        self.assertEqual(bench.cycle(), None)
        self.assertEqual((bench.device.trust().root()["version"], complete(bench.files)), (1, {"factory"}))

    def test_crashes_of_earlier_boots_are_forgotten_after_healthy_uptime_only(self):
        bench = self.bench
        stub.ended(bench.files, "ValueError", True)
        device = bench.boot()
        device.acked = True
        bench.cycle()
        bench.tick()
        self.assertEqual(stub.load(bench.files)["tries"], 1)
        device.clock.now_ms = update.HEALTHY_MS
        bench.tick()
        self.assertEqual(stub.load(bench.files)["tries"], 0)

    def test_fallback_that_works_becomes_the_confirmed_slot(self):
        bench = self.bench
        bench.install(NEW)
        bench.confirm()
        for _ in range(choose.MAX_CRASHES):
            stub.ended(bench.files, "ImportError", True)
        device = bench.boot()
        self.assertEqual(bench.info["slot"], "factory")
        device.acked = True
        bench.http.offer = None
        bench.cycle()
        device.clock.now_ms = update.HEALTHY_MS
        bench.tick()
        state = stub.load(bench.files)
        self.assertEqual((state["slot"], state["tries"]), ("factory", 0))

    def crash_for_ever(self, reason="watchdog"):
        """Every slot has crashed in a row; boots into what is left."""
        slots = 1 + len(complete(self.bench.files) - {"factory"})
        for _ in range(slots * choose.MAX_CRASHES):
            stub.ended(self.bench.files, reason, True)
        return self.bench.boot()

    def test_device_that_only_lives_without_its_app_tells_why_and_takes_the_next_release(self):
        bench = self.bench
        bench.install(NEW)
        bench.confirm()
        bench.cycle()
        bench.http.offer = None
        self.crash_for_ever()
        self.assertEqual((bench.info["slot"], bench.info["safe"]), ("a", True))
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], {"counter": 2, "manifest": NEW.sha, "reason": "safe mode: watchdog"})
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], None)   # told once a boot
        bench.install(NEXT)
        self.assertEqual((bench.info["slot"], bench.info["trial"], bench.info["safe"]), ("b", True, False))
        self.assertTrue(bench.confirm())
        self.assertEqual(stub.load(bench.files)["tries"], 0)

    def test_whole_firmware_is_tried_again_after_a_while_of_safe_mode_even_if_no_server_answers(self):
        bench = self.bench
        device = self.crash_for_ever()
        device.clock.now_ms = update.SAFE_MS - 1
        self.assertFalse(bench.tick())
        device.clock.now_ms = update.SAFE_MS
        self.assertEqual(bench.tick(), "safe mode is over")
        bench.boot()
        self.assertEqual((bench.info["safe"], stub.load(bench.files)["tries"]), (False, 0))

    def test_confirmed_release_that_crashes_is_told_from_the_slot_that_took_its_place(self):
        bench = self.bench
        bench.install(NEW)
        bench.confirm()
        bench.cycle()
        bench.http.offer = None
        for _ in range(choose.MAX_CRASHES):
            stub.ended(bench.files, "panic", True)
        bench.boot()
        bench.cycle()
        self.assertEqual(bench.http.requests[-1]["failed"], {"counter": 2, "manifest": NEW.sha, "reason": "crashes: panic"})
        self.assertEqual((bench.info["slot"], bench.device.update.state), ("factory", update.IDLE))
        bench.install(NEW)   # it may come again: the floor is its own
        self.assertTrue(bench.confirm())


if __name__ == "__main__":
    unittest.main()
