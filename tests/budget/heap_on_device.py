"""Run by MicroPython: fills a batch and commits it beside a ballast; prints what the app took and what the ballast left.

Arguments: folder of the compiled modules, channels, samples, pieces of ballast.
"""

import gc
import sys

STEPS = 9   # between the readings' least and most: a coding of about 0.5 bytes


class Clock:
    epoch_ms = 1795306472000
    quality = 3
    now = 0

    def ticks_ms(self):
        return self.now


class Sensors:
    lead_ms = 0

    def __init__(self, channels):
        self.x = 7
        self.channels = tuple(range(channels))

    def start(self):
        pass

    def read(self):
        row = []
        for _ in self.channels:
            self.x = (self.x * 1103515245 + 12345) & 0x3FFFFFFF
            row.append(2000 + (self.x >> 16) % STEPS)
        return row


def main(folder, channels, samples, pieces):
    sys.path.insert(0, folder)
    from flash import NorFlash

    from node.app import alarms, filters  # noqa: F401  code is not what is measured
    from node.app.application import Application
    from node.app.assembly import assemble
    from node.app.batcher import Journal
    from node.ring import Ring
    from node.rows import schemas
    from node.settings import Channel, Config
    from node.wire import schema

    ring, clock = Ring(NorFlash(3)), Clock()
    ring.mount()
    gc.collect()
    before = gc.mem_alloc()
    config = Config()
    config.period_ms, config.batch_samples, config.channels = 1000, samples, []
    for i in range(channels):
        one = Channel()
        one.name, one.unit, one.resolution, one.median, one.ema_pct = "channel%d" % i, "degC", "0.01", 5, 50
        one.deadband, one.high, one.low, one.hysteresis, one.edge = 0, 100000, -100000, 3, False
        config.channels.append(one)
    config.groups = [(1000, 0, tuple(range(channels)))]
    journal = Journal(ring, 1, [(schema.schema_hash(raw), raw) for raw in schemas(config)], clock, lambda: None)
    journal.announce()
    groups, sampler = assemble(config, [Sensors(channels)], journal, 0, lambda period_ms: 0)
    app = Application(groups, sampler, clock, batch_samples=samples, next_flush_ms=lambda now: now + (1 << 28),
                      on_late=lambda late_ms: None)
    gc.collect()
    stays = gc.mem_alloc() - before
    ballast = [bytearray(256) for _ in range(pieces)]
    gc.collect()
    free = gc.mem_free()
    for i in range(samples):
        clock.now = (i + 1) * 1000
        app.tick()
    print(stays, free, len(next(ring.records(1 + channels))[2]), len(ballast))   # the first batch is behind the schemas


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
