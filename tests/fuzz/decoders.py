"""What every byte string must satisfy: both decoders of batches give the same readings, or refuse it with the same code.

For tests with chosen inputs (tests/ingest) and for the fuzzer beside this file. `repaired` makes an input that passes the checksum,
so that what is behind it is reached.
"""

import binascii
import json
import random
from pathlib import Path

from host.ingest.decode import decode
from node.errors import FormatError
from node.wire import batch

VECTORS = Path(__file__).parents[1] / "vectors/golden.json"


def repaired(body: bytes) -> bytes:
    """These bytes as a record with a valid CRC."""
    return body + binascii.crc32(body).to_bytes(4, "little")


def slow(raw: bytes) -> object:
    """What the device's decoder makes of it: all of a batch, or the code of the refusal."""
    try:
        return batch.decode(raw)
    except FormatError as error:
        return error.code


def fast(raw: bytes) -> object:
    """What the host's decoder makes of it, in the words of the other."""
    try:
        got = decode(raw)
    except FormatError as error:
        return error.code
    assert not got.values[~got.valid].any()
    columns = [[value if ok else None for value, ok in zip(row.tolist(), mask.tolist(), strict=True)]
               for row, mask in zip(got.values, got.valid, strict=True)]
    return {"boot": got.boot, "seq": got.seq, "schema": got.schema_hash, "uptime_ms": got.uptime_ms[0].item(),
            "epoch_ms": got.epoch_ms, "quality": got.quality, "period_ms": got.period_ms, "times": got.uptime_ms.tolist(),
            "columns": columns}


def both(raw: bytes) -> object:
    """Compare the two; give what they agree on."""
    one, other = slow(raw), fast(raw)
    if isinstance(one, dict):
        one["uptime_ms"] = one["times"][0]   # an exception may move the first sample
    assert one == other, (raw.hex(), one, other)
    return one


def schema(raw: bytes) -> object:
    """What becomes of it as a schema record, and as one of unknown kind."""
    try:
        batch.record_name(raw)
        return batch.parse_schema_record(raw)
    except FormatError as error:
        return error.code


def seeds() -> list[bytes]:
    """Valid records: the golden ones, and batches in every coding, with and without gaps and exceptions."""
    golden = json.loads(VECTORS.read_text(encoding="utf-8"))
    found = [bytes.fromhex(golden[name]) for name in ("batch", "schema_record")]
    for seed in range(12):
        chance = random.Random(seed)
        n = chance.choice((1, 2, 17, 60))
        walk = [sum(chance.choices((-1, 0, 0, 1, 3), k=i)) * 5 + 2 for i in range(n)]
        columns = [
            [7] * n, [None] * n, walk, [chance.randint(-900, 900) for _ in range(n)], [i // 9 for i in range(n)],
            [chance.randint(-2**31, 2**31 - 1) for _ in range(n)], [50 + (chance.random() < 0.1) * 10**6 for _ in range(n)],
            [chance.choice((0, 1, -1, 40, 900, -70000)) for _ in range(n)],
        ]
        if seed % 3 == 0:
            columns = [[None if chance.random() < 0.2 else value for value in column] for column in columns]
        exceptions = [(i, 40 + i) for i in range(0, n, 5)] if seed % 2 else []
        found.append(batch.encode(3, seed, b"hash", 3_600_000, 1_795_306_472_000 * (seed % 4 > 0), seed % 4 and 3, 1000 + seed,
                                  columns, exceptions))
    return found
