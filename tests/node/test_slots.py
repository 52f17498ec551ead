"""Slots: a slot is complete or visibly not, and what runs is never written."""

import unittest

from node.agent.slots import Slots
from node.errors import FlashError
from node.wire import bundle
from tests.node.common import fault_of
from tests.sim.boot_stub import choose, stub
from tests.sim.memory import MemoryFiles

MARKER = {"release": "1.2.0", "counter": 2, "manifest": "cd" * 32, "model": "hall", "mpy": 6}
SHA = "ab" * 32


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
            for call, arguments in ((slots.prepare, (SHA,)), (slots.drop, ()), (slots.open, ()), (slots.append, ()),
                                    (slots.finish, (MARKER,)), (slots.begin_trial, ())):
                self.assertEqual(fault_of(call, slot, *arguments), "slot.protected")
        self.assertEqual(self.files.data, {})

    def test_target_is_neither_the_running_nor_the_confirmed_slot(self):
        self.assertEqual([self.slots(running).target() for running in ("a", "b", "factory")], ["b", "a", "a"])
        self.slots("a").confirm()
        self.assertEqual(self.slots("factory").target(), "b")

    def test_marker_goes_first_and_the_bundle_before_its_name_so_that_a_cut_leaves_no_mix(self):
        for name in ("release.json", "bundle", "part"):
            self.put("/slots/b/" + name)
        changed = []
        remove, write = self.files.remove, self.files.write_atomic
        self.files.remove = lambda path: (changed.append("-" + path[9:]), remove(path))
        self.files.write_atomic = lambda path, data: (changed.append("+" + path[9:]), write(path, data))
        self.slots().prepare("b", SHA)
        self.assertEqual(changed, ["-release.json", "-bundle", "-part", "+part"])

    def test_whatever_else_was_in_the_slot_is_removed(self):
        for name in ("main.mpy", "node/agent/uplink.mpy", "lost/deep/er.json", "release.json.tmp", "part.tmp"):
            self.put("/slots/b/" + name)
        self.put("/slots/a/bundle")
        self.put("/factory/bundle")
        self.slots().prepare("b", SHA)
        self.assertEqual(sorted(self.files.data), ["/factory/bundle", "/slots/a/bundle", "/slots/b/part"])
        self.assertEqual(self.files.list("/slots/b"), ["part"])

    def test_part_of_another_release_is_not_gone_on_with(self):
        for named, kept in ((SHA, True), ("cd" * 32, False), (SHA[:-1], False), ("", False)):
            self.put("/slots/b/part", named.encode())
            self.put("/slots/b/bundle", b"part")
            self.slots().prepare("b", SHA)
            self.assertEqual((named, self.files.read("/slots/b/bundle")), (named, b"part" if kept else None))
            self.assertEqual(self.files.read("/slots/b/part"), SHA.encode())

    def test_name_of_the_part_fits_an_inline_file_of_littlefs(self):
        self.slots().prepare("b", SHA)
        self.assertTrue(len(self.files.data["/slots/b/part"]) <= 128)

    def test_going_on_does_not_wear_the_flash(self):
        self.slots().prepare("b", SHA)
        self.files.refuse = "/slots/b/part"
        self.slots().prepare("b", SHA)

    def test_bundle_grows_at_its_end_and_is_dropped_whole(self):
        self.slots().prepare("b", SHA)
        for piece in (b"one", b"two"):
            file = self.slots().append("b")
            file.write(piece)
            file.close()
        self.assertEqual(self.slots().open("b").read(), b"onetwo")
        self.slots().drop("b")
        self.assertEqual(self.slots().open("b"), None)

    def test_slot_without_its_marker_cannot_be_tried(self):
        self.put("/slots/b/bundle")
        self.assertEqual(fault_of(self.slots().begin_trial, "b"), "slot.incomplete")
        self.assertEqual(stub.load(self.files)["trial"], None)

    def test_finished_slot_is_complete_for_the_stub(self):
        self.slots().finish("b", MARKER)
        self.assertEqual(stub.release(self.files, "b"), MARKER)

    def test_marker_that_does_not_read_back_is_an_error(self):
        self.files.write_atomic = lambda path, data: None
        self.assertEqual(fault_of(self.slots().finish, "b", MARKER), "slot.marker")

    def test_full_flash_is_a_flash_error(self):
        self.files.refuse = "/slots/b/release.json"
        self.assertEqual(fault_of(self.slots().finish, "b", MARKER), "files.io")
        self.files.refuse = "/slots/b/bundle"
        self.assertEqual(fault_of(self.slots().append, "b"), "slot.io")
        self.files.refuse = "/slots/b/part"
        self.assertEqual(fault_of(self.slots().prepare, "b", SHA), "files.io")

    def test_bundle_that_cannot_fit_is_fetched_all_the_same(self):
        slots = self.slots()
        slots.prepare("b", SHA)
        part = slots.append("b")
        part.write(bytes(1000))
        part.close()
        slots.room("b", 1500, 500)   # with what it has
        self.assertEqual(len(self.files.data["/slots/b/bundle"]), 1000)
        self.assertEqual(fault_of(slots.room, "b", 1501, 500), "slot.room")
        self.assertFalse("/slots/b/bundle" in self.files.data)   # it would take the room of what keeps the device alive

    def test_trial_runs_next_and_confirming_ends_it(self):
        self.slots("a").confirm()
        self.put("/slots/b/bundle", bundle.build({"main.mpy": b"main"}))
        self.slots("a").finish("b", MARKER)
        self.slots("a").begin_trial("b", "ota_1")
        self.assertEqual(choose.start(self.files, "ota_1")["slot"], "b")
        self.assertEqual(stub.load(self.files)["app"], "ota_1")
        self.slots("b").confirm()
        state = stub.load(self.files)
        self.assertEqual((state["slot"], state["trial"], state["tries"], state["app"]), ("b", None, 0, None))

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
