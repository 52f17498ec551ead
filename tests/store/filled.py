"""A store with two groups of channels, gaps, a changed resolution and two boots whose clocks disagree; and what is in it."""

from decimal import Decimal

from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store.telemetry import Telemetry
from node.wire import batch, schema
from tests.ingest.records import DEVICE, OTHER, state, up

NOW = 1_800_000_000_000
FAST = [("temperature", "Cel", "0.01"), ("odd", "a,b", "0.03"), ("big", "W", "1000")]
SLOW = [("oil.mean", "Cel", "0.1")]
FINER = [("temperature", "Cel", "0.001")]


class Filled:
    """Sends batches through ingest's own commit and keeps what was sent: [(device, t_ms, channel, unit, Decimal)]."""

    def __init__(self, engine):
        self.engine = engine
        self.committer = Committer(Telemetry(engine))
        self.rows = []
        self.seq = {}

    def told(self, device, channels, boot=1):
        self.send(device, batch.schema_record(boot, self._next(device), schema.build(channels)))

    def put(self, device, channels, uptime_ms, columns, *, boot=1, period_ms=250, epoch_ms=NOW, quality=3, exceptions=(),
            now_ms=NOW):
        hashed = schema.schema_hash(schema.build(channels))
        self.send(device, batch.encode(boot, self._next(device), hashed, uptime_ms, epoch_ms, quality, period_ms, columns,
                                       list(exceptions)), now_ms)
        off = dict(exceptions)
        for (name, unit, resolution), column in zip(channels, columns, strict=True):
            self.rows += [(device, epoch_ms + uptime_ms + at * period_ms + off.get(at, 0), name, unit, step * Decimal(resolution))
                          for at, step in enumerate(column) if step is not None]

    def send(self, device, payload, now_ms=NOW):
        self.committer.commit([sort(*up(payload, device))], now_ms)

    def say(self, *message, now_ms=NOW):
        self.committer.commit([sort(*message)], now_ms)

    def of(self, device=DEVICE, names=None, from_ms=0, to_ms=2 * NOW):
        """What was sent of one device, by time, name and value."""
        return sorted(row for row in self.rows
                      if row[0] == device and from_ms <= row[1] <= to_ms and (names is None or row[2] in names))

    def _next(self, device):
        self.seq[device] = self.seq.get(device, -1) + 1
        return self.seq[device]


def fill(engine):
    made = Filled(engine)
    made.say(*state(1, (1, 0)))
    made.told(DEVICE, FAST)
    made.told(DEVICE, SLOW)
    for number in range(40):
        steps = [[2140 + number, None, 2142, -1], [7, number, 21, 33], [number, -number, 2**31 - 1, None]]
        made.put(DEVICE, FAST, number * 1000, steps, exceptions=[(2, 30)])
        if number % 13 == 5:   # a slow batch reaches over many fast ones, and is stored after them
            made.put(DEVICE, SLOW, (number - 5) * 1000, [[200 + number, 201, None, 203]], period_ms=2000)
    made.told(DEVICE, FINER, boot=2)
    made.put(DEVICE, FINER, 1000, [[21_401, 21_402]], boot=2, epoch_ms=NOW + 50_000)
    made.put(DEVICE, FINER, 1000, [[5, 6]], boot=3, epoch_ms=NOW + 50_000)   # the same times again
    made.told(OTHER, SLOW)
    made.put(OTHER, SLOW, 500, [[1, 2, 3]])
    return made
