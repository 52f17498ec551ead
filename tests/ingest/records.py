"""What devices send, for tests of ingest, store and queries: real bytes of node.wire."""

from node.wire import batch, schema, topics

DEVICE = "hall-0242ac110001"
OTHER = "hall-0242ac110002"
CHANNELS = [("temperature", "Cel", "0.01"), ("vibration", "mm/s", "0.001")]
SCHEMA = schema.build(CHANNELS)
HASH = schema.schema_hash(SCHEMA)
PERIOD_MS = 250


def batch_of(boot, seq, *, columns=None, uptime_ms=None, epoch_ms=0, quality=0, schema_hash=HASH, period_ms=PERIOD_MS):
    """One batch; by default 4 samples of both channels, each second of uptime one batch."""
    columns = columns or [[2100 + seq, 2101 + seq, None, 2103 + seq], [10, 11, 12, 13]]
    return batch.encode(
        boot, seq, schema_hash, seq * 1000 if uptime_ms is None else uptime_ms, epoch_ms, quality, period_ms, columns, [],
    )


def schema_of(boot, seq, canonical=SCHEMA):
    return batch.schema_record(boot, seq, canonical)


def up(payload, device=DEVICE):
    return topics.up(device), payload


def state(boot, oldest, *, device=DEVICE, release="1.0.0", counter=1, reason="power"):
    return topics.state(device), topics.encode_state(boot, release, counter, oldest, reason)


def will(device=DEVICE):
    return topics.state(device), topics.OFFLINE
