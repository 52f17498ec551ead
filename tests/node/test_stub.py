"""The boot stub: whatever the record and the slots look like, a complete slot runs, and a bad trial ends."""

import json
import unittest

from tests.sim.updates import MemoryFiles, stub

ALL = {"a", "b", "factory"}


def record(**values):
    state = stub.parse(None)
    state.update(values)
    return state


def chosen(state, have):
    slot, _, reason = stub.choose(state, have)
    return slot, reason


def install(files, slot, counter=1):
    marker = {"release": f"1.{counter}.0", "counter": counter, "manifest": "ab" * 32, "model": "hall", "mpy": 6}
    files.write_atomic(stub.DIRS[slot] + "/release.json", json.dumps(marker).encode())


class TestRecord(unittest.TestCase):
    def test_missing_empty_or_corrupt_record_means_factory(self):
        for raw in (None, b"", b"{", b"\xff\xfe", b"[]", b"null", b"7", b"{}", b'{"slot":"c","trial":null,"tries":0,"bad":null}',
                    b'{"slot":"a","trial":"factory","tries":0,"bad":null}', b'{"slot":"a","trial":null,"tries":-1,"bad":null}',
                    b'{"slot":"a","trial":null,"tries":true,"bad":null}', b'{"slot":["a"],"trial":null,"tries":0,"bad":null}',
                    b'{"slot":"a","trial":null,"tries":0,"bad":7}', b'{"slot":"a","trial":null,"tries":0,"bad":{"slot":"b"}}',
                    b"[" * 500):
            self.assertEqual(stub.parse(raw)["slot"], "factory", raw)

    def test_record_of_an_older_stub_without_exit_is_read(self):
        self.assertEqual(stub.parse(b'{"slot":"a","trial":null,"tries":0,"bad":null}')["exit"], "")

    def test_longest_record_fits_an_inline_file_of_littlefs(self):
        files = MemoryFiles()
        stub.save(files, record(slot="factory", trial=None, tries=255, bad={"slot": "b", "reason": "r" * stub.MAX_REASON},
                                exit="e" * stub.MAX_REASON))
        self.assertTrue(len(files.data[stub.PATH]) <= stub.MAX_BYTES)

    def test_reason_that_json_would_lengthen_is_made_plain(self):
        files = MemoryFiles()
        stub.ended(files, '"\\\n\u00e9\u4e16' * 10, True)
        self.assertEqual(stub.load(files)["exit"], "?" * stub.MAX_REASON)
        self.assertTrue(len(files.data[stub.PATH]) <= stub.MAX_BYTES)

    def test_crashes_of_a_confirmed_slot_are_counted_and_saturate(self):
        files = MemoryFiles()
        stub.save(files, record(slot="a", tries=254))
        for _ in range(3):
            stub.ended(files, "ValueError", True)
        self.assertEqual(stub.load(files)["tries"], 255)

    def test_crash_that_changes_nothing_does_not_wear_the_flash(self):
        files = MemoryFiles()
        stub.save(files, record(tries=255, exit="ValueError"))
        files.refuse = stub.PATH
        stub.ended(files, "ValueError", True)

    def test_crash_during_a_trial_keeps_the_count_of_boots(self):
        files = MemoryFiles()
        stub.save(files, record(slot="a", trial="b", tries=1))
        stub.ended(files, "ImportError", True)
        self.assertEqual(stub.load(files), record(slot="a", trial="b", tries=1, exit="ImportError"))

    def test_damaged_marker_is_no_complete_slot(self):
        for raw in (b"", b"{", b"[]", b"null", b"{}", b"\xff",
                    b'{"release":"1.0.0","counter":"1","manifest":"","model":"hall","mpy":6}'):
            files = MemoryFiles()
            files.write_atomic("/slots/a/release.json", raw)
            self.assertEqual(stub.complete(files), set(), raw)


class TestChoice(unittest.TestCase):
    def test_confirmed_slot_runs_and_nothing_is_written(self):
        state = record(slot="b")
        self.assertEqual(stub.choose(state, ALL), ("b", state, "confirmed"))

    def test_attempt_is_counted_before_the_trial_runs(self):
        slot, after, reason = stub.choose(record(slot="a", trial="b"), ALL)
        self.assertEqual((slot, after["tries"], reason), ("b", 1, "trial"))

    def test_trial_runs_twice_then_the_confirmed_slot_returns(self):
        state, slots = record(slot="a", trial="b"), []
        for _ in range(4):
            slot, state, _ = stub.choose(state, ALL)
            slots.append(slot)
        self.assertEqual(slots, ["b", "b", "a", "a"])
        self.assertEqual(state["bad"], {"slot": "b", "reason": "unconfirmed"})

    def test_reason_of_the_last_trial_run_is_kept(self):
        _, after, _ = stub.choose(record(slot="a", trial="b", tries=2, exit="no ack"), ALL)
        self.assertEqual((after["bad"]["reason"], after["exit"]), ("no ack", ""))

    def test_half_written_trial_slot_never_runs(self):
        slot, after, _ = stub.choose(record(slot="a", trial="b"), {"a", "factory"})
        self.assertEqual((slot, after["trial"], after["bad"]), ("a", None, {"slot": "b", "reason": "incomplete"}))

    def test_damaged_confirmed_slot_falls_back_to_the_other_then_factory(self):
        self.assertEqual(chosen(record(slot="a"), {"b", "factory"}), ("b", "incomplete"))
        self.assertEqual(chosen(record(slot="a"), {"factory"}), ("factory", "incomplete"))

    def test_rolled_back_slot_is_no_fallback(self):
        state = record(slot="a", bad={"slot": "b", "reason": "x"})
        self.assertEqual(stub.choose(state, {"b", "factory"})[0], "factory")

    def test_rolled_back_slot_runs_when_nothing_else_is_left(self):
        self.assertEqual(stub.choose(record(slot="a", bad={"slot": "b", "reason": "x"}), {"b"})[0], "b")

    def test_slot_that_keeps_crashing_gives_way_step_by_step(self):
        limit = stub.MAX_CRASHES
        slots = [chosen(record(slot="a", tries=tries), ALL)[0] for tries in (0, limit - 1, limit, 2 * limit, 255)]
        self.assertEqual(slots, ["a", "a", "b", "factory", "factory"])

    def test_no_complete_slot_still_runs_something(self):
        self.assertEqual(chosen(record(slot="a", trial="b"), set()), ("factory", "nothing"))

    def test_every_record_and_every_set_of_slots_gives_a_complete_slot(self):
        for slot in stub.DIRS:
            for trial in (None, "a", "b"):
                for tries in (0, 1, 2, 5, 10, 255):
                    for bad in (None, "a", "b"):
                        for bits in range(1, 8):
                            have = {name for n, name in enumerate(("a", "b", "factory")) if bits >> n & 1}
                            state = record(slot=slot, trial=trial, tries=tries, bad=bad and {"slot": bad, "reason": ""})
                            picked, after, _ = stub.choose(state, have)
                            self.assertTrue(picked in have)
                            self.assertEqual(stub.parse(json.dumps(after).encode()), after)


class TestStart(unittest.TestCase):
    def test_factory_runs_on_a_new_device(self):
        files = MemoryFiles()
        install(files, "factory")
        info = stub.start(files)
        self.assertEqual((info["slot"], info["trial"], info["release"]["counter"], info["failed"]), ("factory", False, 1, None))
        self.assertTrue(stub.PATH not in files.data)

    def test_trial_that_cannot_be_counted_is_not_run(self):
        files = MemoryFiles()
        install(files, "a")
        install(files, "b", 2)
        stub.save(files, record(slot="a", trial="b"))
        def full(path, data):
            raise OSError(28)   # ENOSPC

        files.write_atomic = full
        info = stub.start(files)
        self.assertEqual((info["slot"], info["trial"]), ("a", False))

    def test_rollback_says_which_release_failed(self):
        files = MemoryFiles()
        install(files, "a")
        install(files, "b", 2)
        stub.save(files, record(slot="a", trial="b", tries=2))
        info = stub.start(files)
        self.assertEqual((info["slot"], info["failed"]), ("a", {"counter": 2, "manifest": "ab" * 32, "reason": "unconfirmed"}))

    def test_unreadable_marker_of_a_failed_slot_does_not_stop_the_boot(self):
        files = MemoryFiles()
        install(files, "a")
        stub.save(files, record(slot="a", bad={"slot": "b", "reason": "x"}))
        self.assertEqual(stub.start(files)["failed"], None)


if __name__ == "__main__":
    unittest.main()
