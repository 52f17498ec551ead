"""What import finds first, a slot's module or one that is frozen into the interpreter: facts that boot.py's sys.path stands on.

On real MicroPython, with the modules that are frozen into this one; that FROZEN can be a folder of them, too.
"""

import os
import sys
import unittest

from node.compat import IS_MICROPYTHON
from node.wire import bundle
from tests.sim.boot_stub import stub

SLOT, IMAGE = "/app", ".frozen"
FROZEN_MODULE, FROZEN_PACKAGE, FROZEN_PART = "argparse", "asyncio", "core"   # in MicroPython's own images, all standard


class Broken:
    """A slot's file system that fails where a bundle's would on bad flash or in a full heap."""

    def __init__(self, error):
        self.error = error

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        raise self.error


class TestFrozenOrder(unittest.TestCase):
    def setUp(self):
        if not IS_MICROPYTHON:
            raise unittest.SkipTest("nothing is frozen into CPython")
        self.path, self.modules, self.mounted = list(sys.path), dict(sys.modules), False
        self.is_path, bundle.is_path = bundle.is_path, lambda path: True   # slots of sources: there is no compiler here
        for name in list(sys.modules):
            if name.split(".")[0] in (FROZEN_MODULE, FROZEN_PACKAGE, FROZEN_PART):
                del sys.modules[name]

    def tearDown(self):
        if IS_MICROPYTHON:
            bundle.is_path = self.is_path
            sys.path[:] = self.path
            sys.modules.update(self.modules)
            if self.mounted:
                os.umount(SLOT)

    def mount(self, file_system):
        os.mount(file_system, SLOT)
        self.mounted = True

    def mount_bundle(self, **sources):
        raw = bundle.build({name.replace("__", "/") + ".py": text.encode() for name, text in sources.items()})
        with open("build-frozen-order.tmp", "wb") as file:
            file.write(raw)
        file = open("build-frozen-order.tmp", "rb")   # noqa: SIM115   (the bundle keeps it)
        self.mount(stub.Bundle(file, int(raw[5:11])))
        os.remove("build-frozen-order.tmp")

    def test_module_of_the_slot_comes_before_a_frozen_one_of_its_name(self):
        self.mount_bundle(**{FROZEN_MODULE: "WHOSE = 'slot'"})
        sys.path[:] = [SLOT, IMAGE]
        self.assertEqual(__import__(FROZEN_MODULE).WHOSE, "slot")

    def test_package_is_the_slots_or_the_images_never_half_of_each(self):
        self.mount_bundle(**{FROZEN_PACKAGE + "__other": "WHOSE = 'slot'"})
        sys.path[:] = [SLOT, IMAGE]
        self.assertEqual(__import__(FROZEN_PACKAGE + ".other").other.WHOSE, "slot")
        with self.assertRaises(ImportError):
            __import__(FROZEN_PACKAGE + "." + FROZEN_PART)

    def test_what_a_failing_slot_does_not_give_comes_out_of_the_image(self):
        """Why our modules are not frozen under their own names: a fault would put an old module into a new release."""
        for error in (OSError(5), MemoryError()):
            sys.modules.pop(FROZEN_MODULE, None)
            self.mount(Broken(error))
            sys.path[:] = [SLOT, IMAGE]
            self.assertTrue(hasattr(__import__(FROZEN_MODULE), "ArgumentParser"))
            os.umount(SLOT)
            self.mounted = False

    def test_folder_of_frozen_modules_is_reached_when_the_path_names_it_and_only_then(self):
        sys.path[:] = [IMAGE]
        with self.assertRaises(ImportError):
            __import__(FROZEN_PART)
        sys.path[:] = [IMAGE + "/" + FROZEN_PACKAGE, IMAGE]
        self.assertTrue(hasattr(__import__(FROZEN_PART), "run_until_complete"))


if __name__ == "__main__":
    unittest.main()
