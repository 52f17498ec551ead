"""The boot stub: whatever the record and the slots look like, a complete slot runs, and a bad trial ends."""

import json
import unittest

from node.wire import bundle
from tests.sim.boot_stub import choose, complete, stub
from tests.sim.memory import MemoryFiles

ALL = {"a", "b", "factory"}
MODULES = {"main.mpy": b"main", "node/agent/http.mpy": b"http" * 1000, "node/ring.mpy": b"\n\nring.mpy 1 2\n"}
BUNDLE = bundle.build(MODULES)


def record(**values):
    state = stub.parse(None)
    state.update(values)
    return state


def chosen(state, have):
    slot, _, reason = choose.choose(state, have)
    return slot, reason


def install(files, slot, counter=1):
    marker = {"release": f"1.{counter}.0", "counter": counter, "manifest": "ab" * 32, "model": "hall", "mpy": 6}
    files.write_atomic(stub.DIRS[slot] + "/bundle", BUNDLE)
    files.write_atomic(stub.DIRS[slot] + "/release.json", json.dumps(marker).encode())


def errno(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.args[0]
    return None


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

    def test_longest_record_of_a_trial_with_an_image_fits_too(self):
        files = MemoryFiles()
        state = record(slot="factory", trial="b", tries=choose.MAX_TRIES, exit="e" * stub.MAX_REASON, app="x" * stub.MAX_LABEL)
        stub.save(files, state)
        self.assertTrue(len(files.data[stub.PATH]) <= stub.MAX_BYTES)
        self.assertEqual(stub.load(files), state)

    def test_label_outside_of_a_trial_is_forgotten_and_takes_no_room(self):
        files = MemoryFiles()
        self.assertEqual(stub.parse(b'{"slot":"a","trial":null,"tries":0,"bad":null,"app":"ota_1"}')["app"], None)
        stub.save(files, record(slot="a"))
        self.assertFalse(b"app" in files.data[stub.PATH])

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
            files.write_atomic("/slots/a/bundle", BUNDLE)
            files.write_atomic("/slots/a/release.json", raw)
            self.assertEqual(complete(files), set(), raw)


class TestChoice(unittest.TestCase):
    def test_confirmed_slot_runs_and_nothing_is_written(self):
        state = record(slot="b")
        self.assertEqual(choose.choose(state, ALL), ("b", state, "confirmed"))

    def test_attempt_is_counted_before_the_trial_runs(self):
        slot, after, reason = choose.choose(record(slot="a", trial="b"), ALL)
        self.assertEqual((slot, after["tries"], reason), ("b", 1, "trial"))

    def test_trial_runs_twice_then_the_confirmed_slot_returns(self):
        state, slots = record(slot="a", trial="b"), []
        for _ in range(4):
            slot, state, _ = choose.choose(state, ALL)
            slots.append(slot)
        self.assertEqual(slots, ["b", "b", "a", "a"])
        self.assertEqual(state["bad"], {"slot": "b", "reason": "unconfirmed"})

    def test_reason_of_the_last_trial_run_is_kept(self):
        _, after, _ = choose.choose(record(slot="a", trial="b", tries=2, exit="no ack"), ALL)
        self.assertEqual((after["bad"]["reason"], after["exit"]), ("no ack", ""))

    def test_trial_whose_image_the_bootloader_took_back_ends_at_once(self):
        slot, after, _ = choose.choose(record(slot="a", trial="b", tries=1, app="ota_1", exit=""), ALL, "ota_0")
        self.assertEqual((slot, after), ("a", record(slot="a", bad={"slot": "b", "reason": "image rolled back"})))

    def test_trial_runs_on_its_image_and_on_boards_without_images(self):
        for needed, running in (("ota_1", "ota_1"), ("ota_1", None), (None, "ota_0"), (None, None)):
            self.assertEqual(choose.choose(record(slot="a", trial="b", app=needed), ALL, running)[0], "b")

    def test_half_written_trial_slot_never_runs(self):
        slot, after, _ = choose.choose(record(slot="a", trial="b"), {"a", "factory"})
        self.assertEqual((slot, after["trial"], after["bad"]), ("a", None, {"slot": "b", "reason": "incomplete"}))

    def test_damaged_confirmed_slot_falls_back_to_the_other_then_factory(self):
        self.assertEqual(chosen(record(slot="a"), {"b", "factory"}), ("b", "incomplete"))
        self.assertEqual(chosen(record(slot="a"), {"factory"}), ("factory", "incomplete"))

    def test_rolled_back_slot_is_no_fallback(self):
        state = record(slot="a", bad={"slot": "b", "reason": "x"})
        self.assertEqual(choose.choose(state, {"b", "factory"})[0], "factory")

    def test_rolled_back_slot_runs_when_nothing_else_is_left(self):
        self.assertEqual(choose.choose(record(slot="a", bad={"slot": "b", "reason": "x"}), {"b"})[0], "b")

    def test_slot_that_keeps_crashing_gives_way_step_by_step(self):
        limit = choose.MAX_CRASHES
        slots = [chosen(record(slot="a", tries=tries), ALL)[0] for tries in (0, limit - 1, limit, 2 * limit, 3 * limit - 1)]
        self.assertEqual(slots, ["a", "a", "b", "factory", "factory"])

    def test_app_is_left_out_once_every_slot_keeps_crashing_and_each_gets_its_turn(self):
        limit = choose.MAX_CRASHES
        turns = [chosen(record(slot="b", tries=tries), ALL) for tries in (3 * limit, 4 * limit, 5 * limit, 6 * limit, 255)]
        self.assertEqual(turns, [(slot, choose.SAFE) for slot in ("b", "a", "factory", "b", "b")])
        self.assertEqual(chosen(record(slot="factory", tries=limit), {"factory"}), ("factory", choose.SAFE))
        self.assertEqual(chosen(record(slot="a", tries=limit, bad={"slot": "b", "reason": "x"}), {"a", "b"}), ("a", choose.SAFE))

    def test_trial_has_no_safe_mode_it_is_rolled_back(self):
        self.assertEqual(chosen(record(slot="a", trial="b", tries=1), {"a", "b"}), ("b", "trial"))

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
                            picked, after, _ = choose.choose(state, have)
                            self.assertTrue(picked in have)
                            self.assertEqual(stub.parse(json.dumps(after).encode()), after)


def whole(part, at_once=100):
    """What a stream gives until its end."""
    found, buffer = b"", bytearray(at_once)
    while n := part.readinto(buffer):
        found += buffer[:n]
    return found


class TestBundle(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        install(self.files, "a")

    def app(self):
        return choose.bundle(self.files, "a")

    def test_modules_come_whole_and_unmixed(self):
        app = self.app()
        for path, data in MODULES.items():
            self.assertEqual(whole(app.open("/" + path, "rb")), data)
            self.assertEqual(app.stat("/" + path), (0x8000, 0, 0, 0, 0, 0, len(data), 0, 0, 0))

    def test_packages_are_folders(self):
        for path in ("/node", "/node/agent"):
            self.assertEqual(self.app().stat(path)[0], 0x4000)

    def test_what_is_not_there_is_absent(self):
        for path in ("/main", "/main.py", "/ain.mpy", "/nod", "/node/agen", "/http.mpy", "/node/agent/http.mp", "/TFB1",
                     "/ring.mpy", "/2"):
            self.assertEqual((path, errno(self.app().stat, path), errno(self.app().open, path, "rb")), (path, 2, 2))

    def test_nobody_writes_into_what_runs(self):
        for mode in ("wb", "ab", "r+b", "w", "x"):
            self.assertEqual(errno(self.app().open, "/main.mpy", mode), 30)
        self.assertEqual(self.files.data["/slots/a/bundle"], BUNDLE)

    def test_slot_whose_bundle_is_damaged_cut_or_absent_is_not_complete(self):
        end = BUNDLE.find(b"\n\n")
        for raw in (None, b"", b"TFB1", BUNDLE[:11], BUNDLE[:12], BUNDLE[:end], BUNDLE[:end + 2], BUNDLE[:-1], BUNDLE + b"x",
                    b"TFB2" + BUNDLE[4:], b"TFB1 -00001\n" + BUNDLE[12:], b"TFB1 000000\n" + BUNDLE[12:],
                    b"TFB1 999999\n" + BUNDLE[12:],
                    b"TFB1 000500\n" + BUNDLE[12:], BUNDLE[:end] + b"xx" + BUNDLE[end + 2:], BUNDLE[:end - 1] + b"x" + BUNDLE[end:],
                    b"\xff" * 500, bytes(500), b"TFB1 000014\n\n\n"):
            install(self.files, "b")
            if raw is None:
                self.files.remove("/slots/b/bundle")
            else:
                self.files.data["/slots/b/bundle"] = raw
            self.assertEqual((raw and raw[:20], complete(self.files)), (raw and raw[:20], {"a"}))

    def test_trial_of_a_damaged_bundle_is_not_run(self):
        install(self.files, "b", 2)
        self.files.data["/slots/b/bundle"] = BUNDLE[:-1]
        stub.save(self.files, record(slot="a", trial="b"))
        info = choose.start(self.files)
        self.assertEqual((info["slot"], info["failed"]["reason"]), ("a", "incomplete"))

    def test_every_file_is_closed(self):
        opened = []
        files_open = self.files.open

        def counted(path):
            file = files_open(path)
            if file is not None:
                opened.append(file)
            return file

        self.files.open = counted
        install(self.files, "b")
        self.files.data["/slots/b/bundle"] = BUNDLE[:-1]
        complete(self.files)
        self.app().umount()
        self.assertEqual(len(opened), 3)
        for file in opened:
            self.assertRaises(ValueError, file.read)


class Chip:
    """What choose.unspoken() looks at of an ESP32's `machine`."""

    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5   # modmachine.h of the port

    def __init__(self, cause, memory=b""):
        self._cause = cause
        self.RTC = lambda: self
        self.memory = lambda: memory

    def reset_cause(self):
        return self._cause


class TestUnspoken(unittest.TestCase):
    def test_watchdog_is_told_by_the_chip_and_a_panic_by_the_mark_that_nobody_took_back(self):
        running, meant = b"TFR1\0crc.", b"TFR1\x01crc."
        for cause, memory, said in (
            (Chip.WDT_RESET, running, "watchdog"), (Chip.WDT_RESET, b"", "watchdog"), (Chip.HARD_RESET, running, "panic"),
            (Chip.HARD_RESET, meant, ""), (Chip.HARD_RESET, b"", ""), (Chip.PWRON_RESET, running, ""),
            (Chip.SOFT_RESET, running, ""), (Chip.DEEPSLEEP_RESET, running, ""), ("watchdog", b"", "watchdog"),
            ("panic", b"", "panic"), ("soft", b"", ""), ("power", b"", ""),
        ):
            self.assertEqual((cause, memory, choose.unspoken(Chip(cause, memory))), (cause, memory, said))


class TestStart(unittest.TestCase):
    def test_factory_runs_on_a_new_device(self):
        files = MemoryFiles()
        install(files, "factory")
        info = choose.start(files)
        self.assertEqual((info["slot"], info["trial"], info["release"]["counter"], info["failed"]), ("factory", False, 1, None))
        self.assertTrue(stub.PATH not in files.data)

    def test_ordinary_boot_looks_at_no_other_slot(self):
        files = MemoryFiles()
        for slot in ALL:
            install(files, slot)
        stub.save(files, record(slot="a"))
        looked = []
        read, files_open = files.read, files.open
        files.read = lambda path: looked.append(path) or read(path)
        files.open = lambda path: looked.append(path) or files_open(path)
        choose.start(files)
        self.assertEqual(set(looked), {stub.PATH, "/slots/a/release.json", "/slots/a/bundle"})

    def test_trial_that_cannot_be_counted_is_not_run(self):
        files = MemoryFiles()
        install(files, "a")
        install(files, "b", 2)
        stub.save(files, record(slot="a", trial="b"))
        def full(path, data):
            raise OSError(28)   # ENOSPC

        files.write_atomic = full
        info = choose.start(files)
        self.assertEqual((info["slot"], info["trial"]), ("a", False))

    def test_rollback_says_which_release_failed(self):
        files = MemoryFiles()
        install(files, "a")
        install(files, "b", 2)
        stub.save(files, record(slot="a", trial="b", tries=2))
        info = choose.start(files)
        self.assertEqual((info["slot"], info["failed"]), ("a", {"counter": 2, "manifest": "ab" * 32, "reason": "unconfirmed"}))

    def test_confirmed_slot_that_crashes_or_is_damaged_is_told_with_the_reason(self):
        for exit, tries, damaged, slot, reason in (
            ("watchdog", choose.MAX_CRASHES, False, "b", "crashes: watchdog"),
            ("", choose.MAX_CRASHES, False, "b", "crashes: unknown"),
            ("ValueError", 2 * choose.MAX_CRASHES, False, "a", "safe mode: ValueError"),
            ("", 0, True, "b", "incomplete"),
        ):
            files = MemoryFiles()
            install(files, "a", 2)
            install(files, "b")
            stub.save(files, record(slot="a", tries=tries, exit=exit))
            if damaged:
                files.data["/slots/a/bundle"] = BUNDLE[:-1]
            info = choose.start(files)
            self.assertEqual((info["slot"], info["safe"]), (slot, reason.startswith(choose.SAFE)))
            self.assertEqual(info["failed"], {"counter": 2, "manifest": "ab" * 32, "reason": reason})

    def test_crash_that_could_not_be_told_is_counted_before_the_slot_is_chosen(self):
        files = MemoryFiles()
        install(files, "a", 2)
        install(files, "b")
        stub.save(files, record(slot="a"))
        for _ in range(choose.MAX_CRASHES):
            self.assertEqual(choose.start(files)["slot"], "a")   # a power cut or a reset that was meant
            info = choose.start(files, crash="watchdog")
        self.assertEqual((info["slot"], info["failed"]["reason"]), ("b", "crashes: watchdog"))

    def test_crash_that_cannot_be_counted_does_not_stop_the_boot(self):
        files = MemoryFiles()
        install(files, "a")
        stub.save(files, record(slot="a"))

        def full(path, data):
            raise OSError(28)   # ENOSPC

        files.write_atomic = full
        self.assertEqual(choose.start(files, crash="panic")["slot"], "a")

    def test_unreadable_marker_of_a_failed_slot_does_not_stop_the_boot(self):
        files = MemoryFiles()
        install(files, "a")
        stub.save(files, record(slot="a", bad={"slot": "b", "reason": "x"}))
        self.assertEqual(choose.start(files)["failed"], None)


if __name__ == "__main__":
    unittest.main()
