"""Shares a chip's memory between Python's heap and what the radio and TLS take, which is the same memory.

MicroPython's heap begins with 56 KB and doubles when it is full, or takes all of the largest free block if that is less; a chip
without PSRAM then has too little left for a TLS session, or just enough to panic in one. So the heap grows here, at once and
for good, while somebody else holds what it must not have: a thread's stack is the one piece of any size that Python can ask of
ESP-IDF.
"""

import _thread
import time

import esp32

PSRAM_BYTES = 500_000   # no chip has such a block inside; where there is one, nothing is short
RESERVED_BYTES = 66 * 1024   # of the largest block: the radio takes 5 KB, a TLS session 32; 20 KB in one piece are to spare
LEAST_BYTES = 16 * 1024   # a new part of less is not worth its tables
PIECE_WORDS = 256   # 1 KB
PIECES = 128   # more than the first part of the heap can hold
PIN_WORDS = 8   # what stays of a piece
RETURN_MS = 50   # the stack of a thread that has ended goes back when FreeRTOS is idle


def share():
    """Let the heap grow by what may be Python's.

    Returns:
        What must be kept for as long as the heap is to be so large: it lies in the new part, and an empty part would go back.
    """
    block = _largest_block()
    if block > PSRAM_BYTES or block < RESERVED_BYTES + LEAST_BYTES:
        return None
    lock = _thread.allocate_lock()
    with lock:
        usual = _thread.stack_size(RESERVED_BYTES)
        try:
            _thread.start_new_thread(lock.acquire, ())
        except OSError:   # no room for it: the heap grows when it is full, as it always did
            return None
        finally:
            _thread.stack_size(usual)
        pin = _grown()
    time.sleep_ms(RETURN_MS)
    return pin


def _largest_block():
    """Bytes of the largest free block that ESP-IDF has."""
    return max(region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA))


def _grown():
    """Fill the heap until it grows; gives a few bytes in the new part."""
    before, hoard = _largest_block(), []
    try:
        while len(hoard) < PIECES and _largest_block() == before:
            hoard.append([None] * PIECE_WORDS)
        pin = [None] * PIECE_WORDS   # a second one: a part with nothing in it but at its very beginning is taken for empty
    except MemoryError:   # an interpreter that shares otherwise: the device runs all the same
        return None
    del pin[PIN_WORDS:]
    while len(pin) > PIN_WORDS // 2:   # shrinks by halves, where it lies
        pin.pop()
    return pin
