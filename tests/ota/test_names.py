"""Borrowed names: fewer in memory, and nothing that anybody reaches by its name is lost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ota.release.bundle import compile_sources, firmware_sources
from ota.release.merge import TAKEN, merge
from ota.release.names import INTERNED, borrow, mentioned, shelve
from ota.release.shake import shake
from ota.release.source import parse, unparse

PROGRAM = b"""import json
from os import path as where

class OddError(ValueError):
    pass

class Meter:
    unit_name = 'V'

    def __init__(self, channel_no, *, offset_mv=0):
        self.channel_no = channel_no
        self.offset_mv = offset_mv
        self.append = []

    def read_all(self, reading_mv):
        def corrected(channel_no):
            return channel_no + reading_mv - self.offset_mv
        return [corrected(channel_no) for channel_no in range(self.channel_no)]

    @property
    def first_one(self):
        return self.read_all(reading_mv=100)[0]

def report_all(meter, **more):
    text = json.dumps(dict(more, first_mv=meter.first_one), sort_keys=True)
    try:
        raise OddError(getattr(meter, 'unit_name') + meter.unit_name)
    except OddError as error:
        return text, type(error).__name__, str(error), where.join('a', 'b')

def run():
    return report_all(Meter(3, offset_mv=7), level_no=4), gathered(level_no=5), Gathered(upper_no=6).all_of

def gathered(**level_by_name):
    return sorted(level_by_name)

class Gathered:
    def __init__(self, **upper_no):
        self.all_of = sorted(upper_no)

def level_no(upper_no, level_no):
    return level_no(upper_no=1, level_no=2)
"""


def renamed(source: bytes, kept: set[str] | None = None) -> str:
    program = parse({"main.py": source})
    borrow(program, {"run"} if kept is None else kept)
    return unparse(program)["main.py"].decode()


def result(source: str | bytes) -> object:
    space: dict[str, object] = {}
    exec(source, space)  # noqa: S102
    return space["run"]()   # type: ignore[operator]


def test_renamed_program_behaves_otherwise() -> None:
    found = renamed(PROGRAM)
    assert result(found) == result(PROGRAM)
    for name in ("Meter", "channel_no", "offset_mv", "read_all", "report_all", "first_one"):
        assert f"{name}(" not in found
        assert f".{name}" not in found


@pytest.mark.parametrize("name", ["OddError", "unit_name", "first_mv", "append", "json", "join", "__init__"])
def test_name_that_others_know_is_changed(name: str) -> None:
    assert name in renamed(PROGRAM)


def test_name_that_others_use_is_changed_or_given_away() -> None:
    program = parse({"main.py": PROGRAM})
    borrow(program, {"run", "read_all", *INTERNED.read_text().split()})
    found = mentioned(program)
    assert "read_all" in found
    assert "report_all" not in found
    assert not set(INTERNED.read_text().split()) & (found - mentioned(parse({"main.py": PROGRAM})))


NESTED = b"""def run():
    def outer(left, right):
        def inner(near, far=left):
            return left, right, near, far
        return inner(3)
    return outer(1, 2)
"""


def test_parameter_of_an_inner_function_takes_that_of_the_outer_one() -> None:
    found = renamed(NESTED)
    assert result(found) == (1, 2, 3, 1)
    assert not {"inner", "outer", "near", "left"} & mentioned(parse({"main.py": found.encode()}))


def test_small_change_renames_everything() -> None:
    source = b"".join(b"def function_%d():\n    pass\n" % n for n in range(300))
    before = renamed(source).split("\n")
    for more in (b"def another():\n    pass\n", b"def uses():\n    math.acos(math.isfinite(1))\n"):
        after = renamed(source + more).split("\n")
        assert sum(old != new for old, new in zip(before, after, strict=False)) < 30


def test_more_names_than_the_interpreter_has() -> None:
    source = b"".join(b"def function_%d():\n    return %d\n" % (n, n) for n in range(2000))
    found = renamed(source + b"def run():\n    return function_1999()\n")
    assert result(found) == 1999
    assert "function_" not in found


def test_name_that_the_compiler_takes_for_its_own() -> None:
    source = b"".join(b"def function_%d(a):\n    return a\n" % n for n in range(2000)) + b"".join(
        b"x_%d = function_%d(function_1(2))\n" % (n, n) for n in range(2000))
    compile_sources({"main.py": renamed(source).encode()})


def test_names_are_those_of_an_interpreter() -> None:
    """Most of the list, asked of a real one: a name that it holds already has a lower number than one that is new to it."""
    names = [name for name in INTERNED.read_text().split() if not name.startswith("__")]
    asked = ("class Empty: pass\ndef number(name):\n    one = Empty()\n    setattr(one, name, 1)\n"
             "    return [id(each) for each in dir(one) if each == name][0]\nnew = number('zqzqzq')\n"
             f"print(sum(number(name) < new for name in {' '.join(names)!r}.split()))\n")
    command = [Path(sys.executable).parent / "micropython", "-X", "heapsize=32m", "-c", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    assert int(done.stdout) > len(names) // 2   # the list is an ESP32's; this is the port for PCs


def test_names_of_the_machine_are_renamed_where_they_come_in_as_an_argument() -> None:
    root = Path(__file__).parents[2]
    roots = [("main.py", "run")]
    program = merge(shake(parse({**dict(firmware_sources(root / "firmware")), "umqtt/simple.py": b""}), roots), roots, "device.py")
    borrow(program, {"run"})
    said = mentioned(program)
    names = ("I2C SPI UART Pin ADC Counter RISING FALLING OPEN_DRAIN PULL_UP PULL_DOWN IN OUT IRQ_RISING IRQ_FALLING ATTN_11DB irq "
             "value read_uv scan select_rom writebyte readinto flush write_readinto readfrom writeto readfrom_mem writeto_mem "
             "sleep_us sleep_ms ticks_ms scl sda freq baudrate polarity phase sck mosi miso parity stop bits tx rx timeout "
             "atten edge")
    assert not set(names.split()) - said


SHARING = b"""
class Cat:
    def __init__(self, legs):
        self._cat_legs = legs
        self._cat_purr = 'purr'

    def said(self):
        return self._cat_purr

class Dog:
    def __init__(self, cat):
        self._dog_cat = cat
        self._dog_bark = 'bark'

    def said(self):
        return self._dog_bark + self._dog_cat.said()

class Wolf(Dog):
    def __init__(self, cat):
        super().__init__(cat)
        self._wolf_howl = 'howl'

    def said(self):
        return self._wolf_howl + super().said() + self._dog_bark

def peek(dog):
    return dog._dog_cat

def run():
    return Wolf(Cat(4)).said(), peek(Wolf(7))
"""


def test_shared_names_meet_on_one_object() -> None:
    """A wolf is a dog, and a dog has a cat: what its own class, its base and others look at is apart."""
    found = renamed(SHARING)
    assert result(found) == result(SHARING)
    tree = ast.parse(found)
    names = {node.name: {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)} for node in tree.body
             if isinstance(node, ast.ClassDef)}
    dog, wolf = list(names.values())[1:3]
    assert len((dog | wolf) - {"__init__"}) == 4   # cat, bark, howl and said


def test_each_class_has_names_of_its_own() -> None:
    made = "".join(f"class C{c}:\n" + "".join(f"    def _f{c}_{i}(self): return self._f{c}_{i - 1}\n" for i in range(12))
                   for c in range(9))
    found = renamed((made + "def run(): return 1\n").encode())
    assert len({node.name for node in ast.walk(ast.parse(found)) if isinstance(node, ast.FunctionDef)}) <= 16 + 1


def test_file_is_called_like_a_module_of_the_interpreter() -> None:
    program = parse({f"thing{i}.py": b"x = 1" for i in range(100)} | {"main.py": b"import thing7\nfrom thing8 import x\n"})
    found = shelve(program, {"main.py"})
    assert len(found) == len(program)
    assert not {path.removesuffix(".py") for path in found} & TAKEN
    assert "import thing7" not in ast.unparse(found["main.py"])
    assert "as thing7" in ast.unparse(found["main.py"])


def test_file_that_no_name_is_left_for_takes_anothers() -> None:
    program = parse({f"thing{i}.py": b"x = 1" for i in range(1000)})
    found = shelve(program, {"main.py"})
    assert len(found) == len(program)
    assert set(found) & set(program)   # there were not enough
