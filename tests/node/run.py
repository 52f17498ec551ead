"""Runs tests of this folder under MicroPython: `micropython tests/node/run.py tests/node/test_x.py` from the project's root.

MicroPython has no unittest. This file is the part of it that these tests use, under the same names, so that one source runs on
both; on CPython pytest collects the files and the real unittest serves them. The last line of the output is
`ran N failed F skipped S`; the exit code is 1 when something failed or nothing ran.
"""

# ruff: noqa: N802, N815

import sys


class SkipTest(Exception):  # noqa: N818
    pass


class _Raises:
    """What assertRaises returns; `exception` is set when it was raised."""

    def __init__(self, expected):
        self.expected = expected
        self.exception = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _trace):
        if kind is None:
            raise AssertionError(f"{self.expected} was not raised")
        self.exception = value
        return issubclass(kind, self.expected)


class _SubTest:
    """Names the case in the failure; unlike unittest's, the first failure ends the test."""

    def __init__(self, named):
        self.named = named

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        if kind is not None:
            sys.stdout.write(f"  in case {self.named}\n")
        return False


class TestCase:
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def fail(self, msg=""):
        raise AssertionError(msg)

    def skipTest(self, reason):
        raise SkipTest(reason)

    def subTest(self, msg="", **params):
        return _SubTest(params or msg)

    def assertTrue(self, value, msg=""):
        if not value:
            raise AssertionError(msg or f"{value!r} is not true")

    def assertFalse(self, value, msg=""):
        self.assertTrue(not value, msg or f"{value!r} is not false")

    def assertEqual(self, first, second, msg=""):
        self.assertTrue(first == second, msg or f"{first!r} != {second!r}")

    def assertNotEqual(self, first, second, msg=""):
        self.assertTrue(first != second, msg or f"{first!r} == {second!r}")

    def assertIs(self, first, second, msg=""):
        self.assertTrue(first is second, msg or f"{first!r} is not {second!r}")

    def assertIsNone(self, value, msg=""):
        self.assertTrue(value is None, msg or f"{value!r} is not None")

    def assertIsNotNone(self, value, msg=""):
        self.assertTrue(value is not None, msg or "is None")

    def assertIn(self, item, container, msg=""):
        self.assertTrue(item in container, msg or f"{item!r} not in {container!r}")

    def assertNotIn(self, item, container, msg=""):
        self.assertTrue(item not in container, msg or f"{item!r} in {container!r}")

    def assertIsInstance(self, value, kind, msg=""):
        self.assertTrue(isinstance(value, kind), msg or f"{value!r} is no {kind}")

    def assertLess(self, first, second, msg=""):
        self.assertTrue(first < second, msg or f"{first!r} >= {second!r}")

    def assertLessEqual(self, first, second, msg=""):
        self.assertTrue(first <= second, msg or f"{first!r} > {second!r}")

    def assertGreater(self, first, second, msg=""):
        self.assertTrue(first > second, msg or f"{first!r} <= {second!r}")

    def assertGreaterEqual(self, first, second, msg=""):
        self.assertTrue(first >= second, msg or f"{first!r} < {second!r}")

    def assertRaises(self, expected, function=None, *args, **kwargs):
        caught = _Raises(expected)
        if function is None:
            return caught
        with caught:
            function(*args, **kwargs)
        return None


def skipUnless(condition, reason):
    def decorate(function):
        def skipped(self):
            raise SkipTest(reason)
        return function if condition else skipped
    return decorate


def main(*_args, **_kwargs):
    """unittest.main of a test file: this runner collects by itself."""


class _Unittest:
    """Stands for the module `unittest`."""

    TestCase = TestCase
    SkipTest = SkipTest
    main = staticmethod(main)
    skipUnless = staticmethod(skipUnless)


def run_case(case, counts):
    for name in sorted(dir(case)):
        if not name.startswith("test"):
            continue
        counts["ran"] += 1
        test = case()
        try:
            test.setUp()
            try:
                getattr(test, name)()
            finally:
                test.tearDown()
        except SkipTest as reason:
            counts["skipped"] += 1
            sys.stdout.write(f"skipped {name}: {reason}\n")
        except BaseException as error:   # PowerCut is no Exception
            counts["failed"] += 1
            sys.stdout.write(f"FAILED {case.__name__}.{name}\n")
            sys.print_exception(error)


def run(root, paths):
    for place in (root + "/firmware", root + "/firmware/lib", root, root + "/tests/node"):
        sys.path.insert(0, place)
    sys.modules["unittest"] = _Unittest
    counts = {"ran": 0, "failed": 0, "skipped": 0}
    for path in paths:
        module = __import__(path.split("/")[-1].split(".")[0])
        for name in sorted(dir(module)):
            case = getattr(module, name)
            if isinstance(case, type) and issubclass(case, TestCase):
                run_case(case, counts)
    sys.stdout.write("ran {ran} failed {failed} skipped {skipped}\n".format(**counts))
    return counts["ran"] > counts["skipped"] and not counts["failed"]


if __name__ == "__main__":
    parts = sys.argv[0].split("/")
    sys.exit(0 if run("/".join(parts[:-3]) or ".", sys.argv[1:]) else 1)
