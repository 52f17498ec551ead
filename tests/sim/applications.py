"""Applications for a chip as a linker lays them out, without a compiler: what an update changes in them beside its own functions.

A function's words are instructions, a few of them calls (relative to their place) and literals (addresses of other functions).
When a function grows, all behind it move, and so do calls across and addresses of what moved. Shares are those of a stock ESP32
image, about: a call each 80 bytes, an address each 100.
"""

import random
import struct
from collections.abc import Container

BASE = 0x400D0020   # where the code is mapped
FUNCTION_WORDS = (8, 80)
ADDRESSES, CALLS, COMMON = 0.04, 0.05, 0.4   # shares of words
VOCABULARY = 400   # instructions that come again and again
MOST_NEW_WORDS = 40   # in a changed function


def application(size: int, seed: int, changed: Container[int] = ()) -> bytes:
    """About so many bytes, the same from the same seed; `changed` functions, by number, have some words more."""
    chance = random.Random(seed)
    common = [chance.getrandbits(32) for _ in range(VOCABULARY)]
    count = size // (2 * sum(FUNCTION_WORDS))
    functions = [_function(random.Random(f"{seed}/{number}"), count, common, number in changed) for number in range(count)]
    places, at = [], BASE
    for words in functions:
        places.append(at)
        at += 4 * len(words)
    out, at = bytearray(), BASE
    for words in functions:
        for kind, value in words:
            out += struct.pack("<I", places[value] if kind == "address" else
                               0x25 | ((places[value] - at >> 2) & 0x3FFFF) << 6 if kind == "call" else value)
            at += 4
    return bytes(out)


def _function(chance: random.Random, count: int, common: list[int], is_changed: bool) -> list[tuple[str, int]]:
    words = []
    for _ in range(chance.randrange(*FUNCTION_WORDS)):
        die = chance.random()
        if die < ADDRESSES + CALLS:
            words.append(("address" if die < ADDRESSES else "call", chance.randrange(count)))
        else:
            words.append(("code", chance.choice(common) if chance.random() < COMMON else chance.getrandbits(32)))
    if is_changed:
        at = chance.randrange(len(words))
        words[at:at] = [("code", chance.getrandbits(32)) for _ in range(chance.randrange(1, MOST_NEW_WORDS))]
    return words
