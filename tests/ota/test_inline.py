"""Functions written where they are called: the program does the same, and holds nothing for longer."""

import subprocess
import sys
from pathlib import Path

import pytest

from ota.release.inline import bare, inline
from ota.release.source import parse, unparse

PROGRAM = b"""import asyncio

class OddError(ValueError):
    pass

class Meter:
    def __init__(self, first):
        self.first = first
        self._fill_all(first, [4])

    def _fill_all(self, first, more):
        values = [first]
        for value in more:
            values.append(value)
            first = value
        self.values = values

    def mean_of(self, values):
        total = self._sum_up(values)
        count = self.tell(values)
        return total / count

    def _sum_up(self, items):
        total = 0
        for item in items:
            total += item
        return total

    def tell(self, values):
        return len(values)

    def kind_of(self, value):
        return self._kind_as(value)

    def _kind_as(self, value):
        if value > 3:
            return 'many'
        if value:
            return 'few'

    async def wait_for(self, values):
        last = 0
        for _ in range(2):
            last = self._last_in(values)
            await self._rest_now()
        return last, await self._later_on(values)

    def _last_in(self, values):
        seen = list(values)
        return seen[-1]

    async def _rest_now(self):
        await asyncio.sleep(0)

    async def _later_on(self, values):
        copy = list(values)
        await asyncio.sleep(0)
        return copy

def _twice_as(number, values):
    number = number * 2
    return [number for values in [1]]

def loaded_by():
    return _import_it()

def _import_it():
    import sys
    return len(sys.path) > 0

def run():
    values, number = [1, 2, 3], 5
    meter = Meter(number)
    doubled = _twice_as(number, values)
    try:
        raise OddError('odd')
    except ValueError as error:
        said = type(error).__name__, str(error), isinstance(error, OddError)
    return (meter.values, meter.mean_of(values), meter.kind_of(4), meter.kind_of(1), meter.kind_of(0), number, doubled, said,
            asyncio.run(meter.wait_for(values)), loaded_by())
print(run())
"""


def inlined(source: bytes = PROGRAM) -> bytes:
    program = parse({"main.py": source, "other.py": PROGRAM})
    program["other.py"].body.clear()
    inline(program, {"run"}, {"main.py"})
    bare(program)
    return unparse(program)["main.py"]


@pytest.mark.parametrize("interpreter", [Path(sys.executable), Path(sys.executable).parent / "micropython"])
def test_program_does_something_else(interpreter: Path) -> None:
    said = [subprocess.run([interpreter, "-c", source.decode()], capture_output=True, check=True, timeout=10).stdout
            for source in (PROGRAM, inlined())]
    assert said[0] == said[1] != b""


def test_function_that_is_called_once_stays_one() -> None:
    made = inlined()
    for name in (b"_fill_all", b"_sum_up", b"_kind_as", b"_last_in", b"_rest_now", b"_twice_as"):
        assert name not in made
    assert b"OddError = type('OddError', (ValueError,), {})" in made


@pytest.mark.parametrize("name", [b"_import_it", b"_later_on"])
def test_memory_of_a_function_is_held_by_who_calls_it(name: bytes) -> None:
    assert name in inlined()


def test_coroutine_holds_what_a_function_in_it_had() -> None:
    assert b"seen = None" in inlined()


@pytest.mark.parametrize("source", [
    b"def _f(a):\n    return len(a)\n\ndef g(len):\n    x = _f(len)\n    return x\n",   # it means something else there
    b"def _f(a):\n    if a:\n        return 1\n    return 2\n\ndef g(a):\n    x = _f(a)\n    return x\n",   # which end?
    b"def _f(a, b=1):\n    return a\n\ndef g(a):\n    x = _f(a)\n    return x\n",
    b"def _f(a):\n    return a\n\ndef g(a):\n    x = _f(*a)\n    return x\n",
    b"def _f(a):\n    yield a\n\ndef g(a):\n    x = _f(a)\n    return x\n",
    b"def _f(a):\n    return a\n\ndef g(a):\n    return _f(a) + _f(a)\n",
    b"def _f(a):\n    return a\n\ndef g(a):\n    return map(_f, a)\n",
    b"def _f(a):\n    return _f(a)\n",
])
def test_function_that_cannot_stand_elsewhere_is_moved(source: bytes) -> None:
    assert inlined(source) == source


def test_name_that_others_use_is_gone() -> None:
    source = (b"def run(a):\n    return a\n\ndef g(a):\n    return run(a)\n\n"
              b"class C:\n\n    def write(self, a):\n        self.a = a\n\n    def h(self):\n        self.write(1)\n")
    assert inlined(source) == source
