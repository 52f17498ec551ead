"""Temporary imports: on a device what came with a block leaves with it, and nothing else does."""

import sys
import unittest

import node.wire  # noqa: F401  the package stays when its module leaves
from node.compat import IS_MICROPYTHON
from node.loading import Loaded

NAME = "node.wire.limits"


def forget():
    for name in [name for name in sys.modules if name == NAME]:
        del sys.modules[name]


@unittest.skipUnless(IS_MICROPYTHON, "on CPython modules stay: a class that came back would be another class")
class TestLoaded(unittest.TestCase):
    def setUp(self):
        Loaded.keep = False

    def tearDown(self):
        Loaded.keep = True

    def test_import_of_the_block_leaves_with_it(self):
        forget()
        with Loaded():
            from node.wire import limits
            self.assertEqual(limits.ROOT, 1)
        self.assertFalse(NAME in sys.modules)
        self.assertFalse(hasattr(sys.modules["node.wire"], "limits"))

    def test_module_that_was_there_stays(self):
        from node.wire import limits
        with Loaded():
            from node.wire import limits as again
        self.assertTrue(again is limits and sys.modules[NAME] is limits)

    def test_leaves_after_an_error_too(self):
        forget()
        try:
            with Loaded():
                from node.wire import limits  # noqa: F401
                raise ValueError
        except ValueError:
            pass
        self.assertFalse(NAME in sys.modules)
