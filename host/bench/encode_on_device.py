"""Encodes batches and measures it: run by MicroPython, told by arguments what to measure; prints one line of JSON.

Arguments: folder of the compiled modules, file of batches (a JSON list of lists of columns), `once` or `measure`. Garbage is what
an encoding leaves on the heap besides its result; the collector does not run meanwhile.
"""

import gc
import json
import sys
import time


def main(folder, path, what):
    sys.path.insert(0, folder)
    from node.wire import batch  # out of the folder

    def ours(columns):
        return batch.encode(3, 1000, b"abcd", 3600000, 1795306472000, 3, 10000, columns, [])

    def as_json(columns):
        return json.dumps({"ts": 1795306472000, "period": 10000, "columns": columns})

    with open(path) as file:
        batches = json.load(file)
    if what == "once":
        sys.stdout.write(str(len(ours(batches[0]))))
        return
    report = {}
    for name, encode in (("ours", ours), ("json", as_json)):
        spent, garbage, size = [], 0, 0
        for columns in batches:
            gc.collect()
            gc.disable()
            before = gc.mem_alloc()
            start = time.ticks_us()
            raw = encode(columns)
            spent.append(time.ticks_diff(time.ticks_us(), start))
            garbage += gc.mem_alloc() - before - len(raw)
            gc.enable()
            size += len(raw)
        readings = sum([len(columns) * len(columns[0]) for columns in batches])
        spent.sort()
        report[name] = {"us_per_reading": spent[len(spent) // 2] * len(batches) / readings,
                        "garbage_bytes_per_reading": garbage / readings, "bytes_per_reading": size / readings}
    sys.stdout.write(json.dumps(report))


main(*sys.argv[1:])
