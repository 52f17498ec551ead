"""A store with days of batches in it, as ingest would have stored them; real bytes of node.wire."""

import random

from host.clock import DAY_MS
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store.telemetry import Telemetry
from node.wire import batch, schema
from tests.ingest.records import DEVICE, HASH, SCHEMA, state, up

DAY = 20_500                       # 2026-02-16
START = DAY * DAY_MS
NOW = START + 40 * DAY_MS          # when maintenance runs: all is settled
STATS = schema.build([(f"oil.{kind}", "Cel", "0.1") for kind in ("min", "mean", "max")])


def fill(engine, *messages, now_ms=NOW - 10 * DAY_MS):
    return Committer(Telemetry(engine)).commit([sort(*one) for one in messages], now_ms)


def history(seed=1, days=3, device=DEVICE, samples=20, period_ms=300_000, first_seq=0, boot=1, gaps=True):
    """Messages of some days: a state, schemas, two groups of channels, batches that span midnight, gaps and exceptions."""
    chance = random.Random(seed)
    told = [state(boot, (boot, first_seq), device=device),
            up(batch.schema_record(boot, first_seq, SCHEMA), device), up(batch.schema_record(boot, first_seq + 1, STATS), device)]
    seq, at, level = first_seq + 2, chance.randrange(0, period_ms), 2100
    while at < days * DAY_MS:
        columns = [[], []]
        for _ in range(samples):
            level += chance.randint(-3, 3)
            columns[0].append(None if gaps and chance.random() < 0.05 else level)
            columns[1].append(chance.randint(0, 5))
        exceptions = [(index, chance.randint(1, 900)) for index in sorted(chance.sample(range(samples), 3))]
        raw = batch.encode(boot, seq, HASH, at + 1000, START - 1000, batch.QUALITY_NTP, period_ms, columns, exceptions)
        told.append(up(raw, device))
        seq += 1
        if seq % 3 == 0:
            columns = [[chance.randint(190, 210) for _ in range(4)] for _ in range(3)]
            raw = batch.encode(boot, seq, schema.schema_hash(STATS), at + 1000, START - 1000, batch.QUALITY_SERVER,
                               samples * period_ms // 4, columns, [])
            told.append(up(raw, device))
            seq += 1
        at += samples * period_ms
    return told


def quick_history(**keys):
    """A day with some readings a minute, so that minutes are kept."""
    return history(**{"days": 1, "samples": 300, "period_ms": 2000, "gaps": False} | keys)
