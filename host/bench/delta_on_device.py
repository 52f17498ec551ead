"""Applies a delta and measures it: run by MicroPython, told by arguments what to measure; prints one line of JSON.

Arguments: folder of the compiled modules, base, delta, place for the target, `measure` or `apply`. What the heap holds is looked
at after a collection, every 64 pieces, when it is to be measured.
"""

import gc
import json
import sys
import time


def main(folder, base_path, delta_path, target_path, what):
    sys.path.insert(0, folder)
    gc.collect()
    before = gc.mem_alloc()
    import hashlib  # in the order of a device: what is measured begins here

    from deflate import RAW, DeflateIO

    from node.wire.delta import HEAD_BYTES, WINDOW_BITS, Patch, head
    gc.collect()
    modules = gc.mem_alloc() - before

    with open(base_path, "rb") as base, open(delta_path, "rb") as delta, open(target_path, "wb") as target:
        gc.collect()
        before = gc.mem_alloc()

        def read(at, out):
            base.seek(at)
            base.readinto(out)

        base_bytes, size = head(delta.read(HEAD_BYTES))
        patch = Patch(DeflateIO(delta, RAW, WINDOW_BITS), read, base_bytes, size)
        digest, peak, pieces = hashlib.sha256(), 0, 0
        started = time.ticks_ms()
        while True:
            piece = patch.piece()
            if not piece:
                break
            digest.update(piece)
            target.write(piece)
            pieces += 1
            if what == "measure" and pieces % 64 == 1:
                gc.collect()
                peak = max(peak, gc.mem_alloc() - before)
        spent = time.ticks_diff(time.ticks_ms(), started)
    sys.stdout.write(json.dumps({"ms": spent, "peak": peak, "modules": modules}))


main(*sys.argv[1:])
