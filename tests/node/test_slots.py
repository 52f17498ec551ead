"""Slots: a slot is complete or visibly not, and what runs is never written."""

import unittest

from node.agent.slots import Slots
from node.compat import hexstr, sha256
from node.errors import CallerError, FlashError
from tests.sim.updates import MemoryFiles, stub

MARKER = {"release": "1.2.0", "counter": 2, "manifest": "cd" * 32, "model": "hall", "mpy": 6}


def digest(data):
    return hexstr(sha256(data))


def code_of(call, *arguments):
    """The code of the NodeError that the call raises."""
    try:
        call(*arguments)
    except (CallerError, FlashError) as error:
        return error.code
    return None


class TestSlots(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()

    def slots(self, running="a"):
        return Slots(self.files, stub, running)

    def put(self, path, data=b"x"):
        self.files.write_atomic(path, data)

    def test_running_slot_and_factory_are_never_written(self):
        slots = self.slots("a")
        for slot in ("a", "factory", "c"):
            for call, arguments in ((slots.clear, ([],)), (slots.create, ("main.mpy",)), (slots.holds, ("main.mpy", 1, "")),
                                    (slots.finish, (MARKER,)), (slots.begin_trial, ())):
                self.assertEqual(code_of(call, slot, *arguments), "slot.protected")
        self.assertEqual(self.files.data, {})

    def test_target_is_neither_the_running_nor_the_confirmed_slot(self):
        self.assertEqual([self.slots(running).target() for running in ("a", "b", "factory")], ["b", "a", "a"])
        self.slots("a").confirm()
        self.assertEqual(self.slots("factory").target(), "b")

    def test_marker_goes_first_so_that_a_cut_leaves_no_mix(self):
        self.put("/slots/b/release.json")
        self.put("/slots/b/main.mpy")
        removed = []
        remove = self.files.remove
        self.files.remove = lambda path: (removed.append(path), remove(path))
        self.slots().clear("b", [])
        self.assertEqual(removed[0], "/slots/b/release.json")

    def test_files_of_the_old_release_are_removed(self):
        for name in ("main.mpy", "asyncio.py", "node/old.mpy", "node/agent/uplink.mpy", "lost/deep/er.json", "main.mpy.tmp"):
            self.put("/slots/b/" + name)
        self.put("/slots/a/main.mpy")
        self.put("/factory/main.mpy")
        self.slots().clear("b", ["main.mpy", "node/agent/uplink.mpy"])
        self.assertEqual(sorted(self.files.data), ["/factory/main.mpy", "/slots/a/main.mpy", "/slots/b/main.mpy",
                                                   "/slots/b/node/agent/uplink.mpy"])
        self.assertEqual(self.files.list("/slots/b"), ["main.mpy", "node"])

    def test_clearing_a_slot_that_does_not_exist_is_fine(self):
        self.slots().clear("b", ["main.mpy"])

    def test_partial_or_altered_file_is_not_held_and_is_removed(self):
        for data in (b"goo", b"good!", b"gooD", b""):
            self.put("/slots/b/main.mpy", data)
            self.assertFalse(self.slots().holds("b", "main.mpy", 4, digest(b"good")))
            self.assertTrue("/slots/b/main.mpy" not in self.files.data)
        self.put("/slots/b/main.mpy", b"good")
        self.assertTrue(self.slots().holds("b", "main.mpy", 4, digest(b"good")))

    def test_slot_without_its_marker_cannot_be_tried(self):
        self.put("/slots/b/main.mpy")
        self.assertEqual(code_of(self.slots().begin_trial, "b"), "slot.incomplete")
        self.assertEqual(stub.load(self.files)["trial"], None)

    def test_finished_slot_is_complete_for_the_stub(self):
        self.slots().finish("b", MARKER)
        self.assertEqual(stub.release(self.files, "b"), MARKER)

    def test_marker_that_does_not_read_back_is_an_error(self):
        self.files.write_atomic = lambda path, data: None
        self.assertEqual(code_of(self.slots().finish, "b", MARKER), "slot.marker")

    def test_full_flash_is_a_flash_error(self):
        self.files.refuse = "/slots/b/release.json"
        self.assertEqual(code_of(self.slots().finish, "b", MARKER), "files.io")
        self.files.refuse = "/slots/b/main.mpy"
        self.assertEqual(code_of(self.slots().create, "b", "main.mpy"), "slot.io")

    def test_trial_runs_next_and_confirming_ends_it(self):
        self.slots("a").confirm()
        self.slots("a").finish("b", MARKER)
        self.slots("a").begin_trial("b")
        self.assertEqual(stub.start(self.files)["slot"], "b")
        self.slots("b").confirm()
        state = stub.load(self.files)
        self.assertEqual((state["slot"], state["trial"], state["tries"]), ("b", None, 0))

    def test_confirming_again_does_not_wear_the_flash(self):
        self.slots("a").confirm()
        self.files.refuse = stub.PATH
        self.slots("a").confirm()

    def test_failed_slot_is_made_incomplete_before_it_is_forgotten(self):
        self.slots("a").finish("b", MARKER)
        state = stub.load(self.files)
        state.update({"slot": "a", "bad": {"slot": "b", "reason": "no ack"}})
        stub.save(self.files, state)
        slots = self.slots("a")
        self.assertEqual(slots.failed_slot(), "b")
        self.files.refuse = stub.PATH   # the power goes in between
        self.assertRaises(FlashError, slots.forget_failed)
        self.assertEqual((stub.release(self.files, "b"), slots.failed_slot()), (None, "b"))
        self.files.refuse = None
        slots.forget_failed()
        self.assertEqual(slots.failed_slot(), None)

    def test_only_slot_left_is_kept_although_it_failed(self):
        self.slots("a").finish("b", MARKER)
        state = stub.load(self.files)
        state.update({"slot": "a", "bad": {"slot": "b", "reason": "x"}})
        stub.save(self.files, state)
        self.slots("b").forget_failed()
        self.assertEqual(stub.release(self.files, "b"), MARKER)


if __name__ == "__main__":
    unittest.main()
