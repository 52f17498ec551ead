"""boot.py itself, from littlefs under real MicroPython: whatever a slot does, the watchdog is armed and the chip resets."""

import gc
import json
import os
import sys
import unittest

from host.sim.flash import NorFlash
from node.compat import IS_MICROPYTHON
from node.wire import bundle
from tests.sim.boot_stub import choose, stub

if IS_MICROPYTHON:
    gc.threshold(100_000)   # what stays of a boot must not be scattered over the heap: each test needs a hole for a flash
    from board.files import VfsFiles
    from tests.sim.bootable import Chip, Simchip, boot

ROOT = __file__[:-len("tests/node/test_boot.py")]
MARKER = json.dumps({"release": "1.0.0", "counter": 1, "manifest": "ab" * 32, "model": "hall", "mpy": 6})
SITE = "/state/site.json"
OK = "import bench\ndef run(info):\n    bench.ran.append(info)\n    raise SystemExit(75)\n"

MIXED = """
import bench, part_x, parts.b
def run(info):
    for lost in ("parts.only_frozen", "part_only_frozen"):
        try:
            __import__(lost)
        except ImportError:
            continue
        raise ValueError(lost)
    bench.ran.append(info)
    raise SystemExit(75)
"""   # a bundle beside an image that holds more


class Bench:
    """What a slot's main.py can reach: it appends what boot.py told it."""

    def __init__(self):
        self.ran = []


class TestBoot(unittest.TestCase):
    def setUp(self):
        if not IS_MICROPYTHON:
            raise unittest.SkipTest("boots from VfsLfs2")
        self.path, self.folder = list(sys.path), os.getcwd()
        self.sources = {}
        for name in ("boot.py", "choose.py", "stub.py"):
            with open(ROOT + "firmware/" + name) as file:
                self.sources["/" + name] = file.read()
        os.umount("/")
        self.flash = NorFlash(32)
        os.VfsLfs2.mkfs(self.flash)
        self.bench = sys.modules["bench"] = Bench()
        self.is_path, bundle.is_path = bundle.is_path, lambda path: True   # slots of sources: there is no compiler here
        self.write(self.sources)
        self.write({SITE: "{}"})

    def tearDown(self):
        if IS_MICROPYTHON:
            bundle.is_path = self.is_path
            os.mount(os.VfsPosix(), "/")
            os.chdir(self.folder)
            sys.path[:] = self.path

    def write(self, sources):
        os.mount(os.VfsLfs2(self.flash), "/")
        for path, text in sources.items():
            if text is None:
                VfsFiles().remove(path)
            else:
                VfsFiles().write_atomic(path, text.encode() if isinstance(text, str) else text)
        os.umount("/")

    def install(self, slot, main, **others):
        files = {"main.py": main or "#"}
        files.update({name.replace("__", "/") + ".py": text for name, text in others.items()})
        raw = bundle.build({path: text.encode() for path, text in files.items()})
        self.write({stub.DIRS[slot] + "/bundle": raw, stub.DIRS[slot] + "/release.json": MARKER})

    def boot(self):
        armed = Simchip.Watchdog.armed
        self.assertTrue(boot(Chip(self.flash)), "no reset: the device is at a prompt")
        self.assertEqual(Simchip.Watchdog.armed, armed + 1)

    def at_prompt(self):
        """Boot a device on the line: no reset, no watchdog."""
        armed = Simchip.Watchdog.armed
        self.assertFalse(boot(Chip(self.flash)))
        self.assertEqual((Simchip.Watchdog.armed, self.bench.ran), (armed, []))

    def record(self):
        os.mount(os.VfsLfs2(self.flash), "/")
        state, raw = stub.load(VfsFiles()), VfsFiles().read(stub.PATH)
        os.umount("/")
        self.assertTrue(raw is None or len(raw) <= stub.MAX_BYTES)
        return state

    def test_factory_of_a_new_device_runs_and_learns_what_it_is(self):
        self.install("factory", OK)
        self.boot()
        info = self.bench.ran[0]
        self.assertEqual((info["slot"], info["trial"], info["failed"], info["release"]["counter"]), ("factory", False, None, 1))
        self.assertEqual(self.record()["exit"], "")   # a reset that was asked for is no crash

    def test_whatever_main_does_the_chip_resets_and_the_reason_is_kept(self):
        for main, reason in (
            ("def run(info): pass", "returned"), ("def run(info): raise ValueError(1)", "ValueError"), ("", "AttributeError"),
            ("def run(info): raise KeyboardInterrupt", "KeyboardInterrupt"), ("def run(", "SyntaxError"),
            ("import lost", "ImportError"), ("def run(info): raise MemoryError", "MemoryError"),
            ("def run(info): run(info)", "RuntimeError"),
            ("class E(BaseException): pass\ndef run(info): raise E", "E"), ("def run(info): import sys; sys.exit(1)", ""),
        ):
            self.write({stub.PATH: b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}'})
            self.install("a", main)
            self.boot()
            self.assertEqual((main, self.record()["exit"]), (main, reason))

    def test_slot_that_always_crashes_gives_way_to_factory(self):
        self.install("a", "import lost")
        self.install("factory", OK)
        self.write({stub.PATH: b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}'})
        for _ in range(choose.MAX_CRASHES + 1):
            self.boot()
        self.assertEqual([(info["slot"], info["reason"]) for info in self.bench.ran], [("factory", "crashes")])

    def test_slot_that_hangs_until_the_watchdog_bites_gives_way_and_then_runs_without_its_app(self):
        self.install("a", OK)   # ends without a word in the record, as a hang does
        self.install("factory", OK)
        self.write({stub.PATH: b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}'})
        runs = []
        for boot in range(choose.MAX_CRASHES * 2 + 2):
            Simchip.cause = "watchdog" if boot else "power"
            self.boot()
            runs.append((self.bench.ran[-1]["slot"], self.bench.ran[-1]["safe"]))
        limit = choose.MAX_CRASHES
        self.assertEqual(runs, [("a", False)] * limit + [("factory", False)] * limit + [("a", True)] * 2)
        self.assertEqual(self.bench.ran[-1]["failed"]["reason"], "safe mode: watchdog")

    def test_panic_of_the_interpreter_counts_as_a_crash(self):
        self.install("factory", OK)
        Simchip.cause = "panic"
        self.boot()
        self.assertEqual((self.record()["tries"], self.record()["exit"]), (1, "panic"))
        self.boot()   # after the reset that OK asked for
        self.assertEqual(self.record()["tries"], 1)

    def test_watchdog_during_a_trial_is_its_reason(self):
        self.install("a", OK)
        self.install("b", OK)
        self.write({stub.PATH: b'{"slot":"a","trial":"b","tries":2,"bad":null,"exit":""}'})
        Simchip.cause = "watchdog"
        self.boot()
        self.assertEqual([(info["slot"], info["failed"]["reason"]) for info in self.bench.ran], [("a", "watchdog")])

    def test_release_that_cannot_even_be_imported_is_rolled_back(self):
        self.install("a", OK)
        self.install("b", "\0")
        self.write({stub.PATH: b'{"slot":"a","trial":"b","tries":0,"bad":null,"exit":""}'})
        for _ in range(3):
            self.boot()
        self.assertEqual([(info["slot"], info["failed"]["reason"]) for info in self.bench.ran], [("a", "SyntaxError")])

    def test_no_state_of_the_record_keeps_the_device_from_booting(self):
        self.install("factory", OK)
        for raw in (None, b"{", b"\xff" * 128, b"null", b"[" * 200, b'{"slot":"b","trial":"a","tries":9,"bad":9}'):
            self.write({stub.PATH: raw})
            self.boot()
        self.assertEqual([info["slot"] for info in self.bench.ran], ["factory"] * 6)

    def test_record_left_at_length_zero_is_as_none(self):
        self.install("factory", OK)
        os.mount(os.VfsLfs2(self.flash), "/")
        open(stub.PATH, "wb").close()
        os.umount("/")
        self.boot()
        self.assertEqual(len(self.bench.ran), 1)

    def test_device_without_any_slot_or_stub_still_resets(self):
        self.boot()
        self.write({"/stub.py": None})
        self.boot()
        self.write({"/stub.py": "("})
        self.boot()

    def test_stray_files_at_the_root_do_not_replace_a_slots_modules(self):
        self.install("factory", "import part_x\n" + OK, part_x="pass")
        self.write({"/part_x.py": "raise ValueError", "/main.py": "raise ValueError", "/factory/part_x.py": "raise ValueError"})
        self.boot()
        self.assertEqual(len(self.bench.ran), 1)

    def test_packages_are_imported_out_of_the_bundle(self):
        self.install("factory", "from parts.deep import c\nimport parts.b\nassert c.X + parts.b.X == 3\n" + OK,
                     parts__b="X = 1", parts__deep__c="X = 2")
        self.boot()
        self.assertEqual(len(self.bench.ran), 1)

    def test_slot_whose_bundle_is_damaged_gives_way(self):
        self.install("a", OK)
        self.install("factory", OK)
        self.write({stub.PATH: b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}', "/slots/a/bundle": b"TFB1 000100\n"})
        self.boot()
        self.assertEqual([(info["slot"], info["reason"]) for info in self.bench.ran], [("factory", "incomplete")])

    def freeze(self, **modules):
        """An agent in the image, as far as boot.py sees one: a folder that only FROZEN leads to."""
        boot = self.sources["/boot.py"]
        self.assertTrue('FROZEN = ".frozen/tenfold"' in boot)
        self.write({"/boot.py": boot.replace(".frozen/tenfold", "/tenfold")})
        self.write({"/tenfold/release.py": "RELEASE = " + repr(json.loads(MARKER.replace("1.0.0", "frozen")))})
        self.write({"/tenfold/" + name.replace("__", "/") + ".py": text for name, text in modules.items()})

    def test_slots_bundle_comes_before_the_agent_of_the_image_and_never_mixes_with_it(self):
        paths = "import sys\nassert sys.path == ['/app', '.frozen'], sys.path\n"
        self.freeze(main="raise ValueError", part_x="raise ValueError", part_only_frozen="", parts__only_frozen="")
        self.install("factory", paths + MIXED, part_x="pass", parts__b="pass")
        self.boot()
        self.assertEqual([(info["frozen"], info["release"]["release"]) for info in self.bench.ran], [(False, "1.0.0")])

    def test_agent_of_the_image_is_the_factory_slot_that_has_no_bundle(self):
        self.freeze(main="import sys\nimport part_x\nassert sys.path == ['/tenfold', '.frozen'], sys.path\n" + OK, part_x="")
        self.boot()
        info = self.bench.ran[0]
        self.assertEqual((info["slot"], info["frozen"], info["bundle"], info["release"]["release"], info["reason"]),
                         ("factory", True, None, "frozen", "confirmed"))
        self.assertEqual(self.record()["exit"], "")

    def test_agent_of_the_image_never_runs_in_a_slots_name(self):
        self.freeze(main=OK)
        self.install("a", OK)
        self.write({"/slots/a/bundle": b"TFB1 000100\n", stub.PATH: b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}'})
        self.boot()
        self.assertEqual([(info["slot"], info["frozen"], info["reason"], info["failed"]["reason"]) for info in self.bench.ran],
                         [("factory", True, "incomplete", "incomplete")])

    def test_board_on_the_line_is_left_at_the_prompt(self):
        self.install("factory", OK)
        self.write({SITE: None})
        self.at_prompt()
        os.mount(os.VfsLfs2(self.flash), "/")
        open(SITE, "wb").close()   # the power went while the line wrote it
        os.umount("/")
        self.at_prompt()
        self.write({SITE: "{}"})
        self.boot()
        self.assertEqual(len(self.bench.ran), 1)

    def test_flash_that_cannot_be_read_is_no_production_line(self):
        self.install("factory", OK)

        class Unreadable:
            def stat(self, path):
                raise OSError(5)   # EIO

            def __getattr__(self, name):
                return getattr(os, name)

        sys.modules["os"] = Unreadable()
        try:
            self.boot()
        finally:
            del sys.modules["os"]


if __name__ == "__main__":
    unittest.main()
