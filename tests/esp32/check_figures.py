"""The figures of firmware/DESIGN.md, measured on the device by the firmware itself and printed.

TENFOLD_BATCHES: over how many batches the memory is watched (1000).
"""

import json
import os
from collections import Counter

import pytest

from ota.release.bundle import compile_tree
from tests.esp32.conftest import UMQTT
from tests.esp32.rig import UPDATE_S, roll_out, runs, show, until
from tests.firmware.boards import FIRMWARE

BATCHES = int(os.environ.get("TENFOLD_BATCHES") or 1000)
BATCHES_S = 3600   # at 0.8 batches a second, three times over

# Appended to device.py: measures, and prints what it finds. Sampling and sending are the firmware's own.
PROBE = b'''

_phase = ["boot", 0]

def _print(what, **values):
    import json
    print("FIGURE " + json.dumps(dict(values, what=what)))

def _heap(what):
    import esp32
    gc.collect()
    regions = esp32.idf_heap_info(esp32.HEAP_DATA)
    block = max([region[2] for region in regions])
    _print(what, used=gc.mem_alloc(), free=gc.mem_free() - block,   # it counts what the heap could grow by
           idf_free=sum([region[1] for region in regions]), idf_block=block)

def _times():
    import time
    from node.wire import batch, p256
    d, public = p256.keygen(bytes(range(1, 33)))
    began = time.ticks_ms()
    signed = p256.sign(d, bytes(32))
    between = time.ticks_ms()
    good = p256.verify(public, bytes(32), signed)
    ended = time.ticks_ms()
    columns = [[2000 + i * j % 17 for i in range(60)] for j in (3, 5)]
    start = time.ticks_us()
    raw = batch.encode(1, 2, bytes(4), 3000, 0, 0, 1000, columns, [])
    _print("times", good=good, sign_ms=between - began, verify_ms=ended - between, encode_us=(time.ticks_us() - start) // 120,
           bytes=len(raw))

def run(info):
    _heap("imports")
    with Loaded():
        _times()
    device = Device(info)
    _heap("device")
    opens = device.net.open

    def peak(name, value, real=device.metrics.peak):
        if value > _phase[1]:
            _phase[1] = value
        real(name, value)

    def turn_to(phase):
        _print("late", phase=_phase[0], ms=_phase[1])
        _phase[0], _phase[1] = phase, 0

    async def opened(*arguments):
        turn_to("tls connect")
        try:
            return await opens(*arguments)
        finally:
            turn_to("at work")
            _heap("connected")

    def log(event, detail, real=device.board.system.log):
        if event in ("fetching", "staged"):
            turn_to("update" if event == "fetching" else "at work")
        real(event, detail)

    device.metrics.peak, device.net.open, device.board.system.log = peak, opened, log

    async def watch():
        while True:
            await asyncio.sleep(10)
            _heap("work")

    async def both():
        watching = asyncio.create_task(watch())
        await device.run()

    asyncio.run(both())
'''


@pytest.fixture
def bundle(drivers):
    return compile_tree(FIRMWARE, UMQTT, {"device.py": (FIRMWARE / "device.py").read_bytes() + PROBE}, drivers)


@pytest.fixture
def ports(ports):
    return {**ports, "batch_samples": 1, "period_ms": 1200, "uplink_s": 1, "checkin_s": 60}


def figures(board, what, since_s=0.0):
    lines = [text for at_s, text in list(board.lines) if text.startswith("FIGURE ") and at_s >= since_s]
    found = [json.loads(text.partition(" ")[2]) for text in lines]
    return [values for values in found if values["what"] == what]


def heap(values):
    return (f"Python heap {values['used']:,} B used, {values['free']:,} B free; IDF heap {values['idf_free']:,} B free, "
            f"largest block {values['idf_block']:,} B")


def spare(found):
    """What is left, at the worst of all moments and at most of them."""
    def said(key):
        values = sorted(one[key] for one in found)
        return f"{values[0]:,} B at least, mostly {values[len(values) // 2]:,} B"

    return f"Python heap free {said('free')}; IDF heap free {said('idf_free')}; its largest block {said('idf_block')}"


def test_memory_is_eaten_batch_by_batch(born, field, ingest, bundle):
    until(lambda: figures(born, "times"))
    sizes = Counter()
    for path, content in bundle.items():
        sizes[path.rpartition("/")[0] or path] += len(content)
    show("\n.mpy bytes: " + ", ".join(f"{part} {size:,}" for part, size in sizes.most_common()) + f"; together {sizes.total():,}")
    show(f"after imports: {heap(figures(born, 'imports')[0])}")
    show(f"with all that stays: {heap(figures(born, 'device')[0])}")
    times = figures(born, "times")[0]
    assert times["good"]
    show(f"P-256: sign {times['sign_ms']} ms, verify {times['verify_ms']} ms; encoding {times['encode_us']} us a reading, "
         f"{times['bytes']} B for 120 readings")
    until(lambda: ingest.records)   # each is acked as it comes
    show(f"new board: first ack {born.seconds():.1f} s after the power came on, the line, key and certificate included")
    until(lambda: len(ingest.records) > BATCHES // 10, BATCHES_S)
    early_s = born.seconds()
    show(f"connecting: {spare(figures(born, 'connected'))}")
    until(lambda: len(ingest.records) > BATCHES, BATCHES_S, every_s=2)
    late_s = born.seconds()
    until(lambda: len(figures(born, "work", late_s)) > 5)
    first = max(figures(born, "work", early_s)[:6], key=lambda values: values["used"])
    last = max(figures(born, "work", late_s), key=lambda values: values["used"])
    show(f"after {len(ingest.records):,} batches: {heap(last)}")
    show(f"at work: {spare(figures(born, 'work'))}")
    size = sum(map(len, ingest.records.values())) / len(ingest.records)
    show(f"{size:.0f} B a batch of one row, and 8 B of record around it")
    roll_out(field, {**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
    until(lambda: runs(field, "1.1.0"), UPDATE_S)
    for phase in ("tls connect", "update", "at work"):
        worst = max((values["ms"] for values in figures(born, "late") if values["phase"] == phase), default=None)
        show(f"worst lateness of a sample, {phase}: {worst} ms")
    born.power_off()
    stored = len(ingest.records)
    born.power_on()
    until(lambda: len(ingest.records) > stored)
    show(f"board in the field: first ack {born.seconds():.1f} s after the power came on")
    assert last["used"] < first["used"] + 2048, "memory grows"

