"""The names that bundles borrow are in the image; on one that lacks some of them each costs what a name of our own would."""

from ota.release.bundle import compile_sources
from ota.release.names import INTERNED
from tests.esp32.rig import show, until

ALLOWED = 30   # other versions and chips lack some
AT_ONCE = 100   # names in memory together
ASKING = b'''
import sys, time

class Empty:
    pass

def number(name):
    """What the interpreter counts it as: what is in its image has the lower numbers."""
    one = Empty()
    setattr(one, name, 1)
    return [id(each) for each in dir(one) if each == name][0]

def run(info):
    new = number("zqzqzq")
    for n in range(PARTS):
        part = __import__("part_%d" % n)
        for name in part.NAMES.split():
            if number(name) >= new:
                print("LACKS", name)
        del part, sys.modules["part_%d" % n]
    print("ASKED")
    while True:
        time.sleep(1)
'''


def test_names_that_the_image_does_not_hold(make_board, trust, ports):
    names = INTERNED.read_text(encoding="utf-8").split()
    parts = [names[at:at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]
    sources = {f"part_{n}.py": f"NAMES = {' '.join(part)!r}\n".encode() for n, part in enumerate(parts)}
    board = make_board(files=compile_sources({**sources, "main.py": b"PARTS = %d\n" % len(parts) + ASKING}))
    board.power_on()
    board.provision(trust, **ports)
    until(lambda: any(text == "ASKED" for _, text in list(board.lines)))
    lacks = [text.partition(" ")[2] for _, text in board.lines if text.startswith("LACKS ")]
    show(f"\n{len(names) - len(lacks)} of {len(names)} names are in the image; not in it: {' '.join(lacks) or 'none'}")
    assert len(lacks) <= ALLOWED
