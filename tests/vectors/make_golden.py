"""Writes golden.json: the bytes of every format of firmware/SPEC.md for fixed inputs.

Run it only when a format changes on purpose (`python tests/vectors/make_golden.py` from the project's root); the difference in
golden.json is then the change of the contract, to be reviewed. The tests compare against the committed file.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "firmware/lib"), str(ROOT)]

from host.sim.flash import NorFlash  # noqa: E402
from node.compat import sha256  # noqa: E402
from node.ring import Ring  # noqa: E402
from node.wire import batch, bundle, checkin, der, direction, identity, manifest, p256, root, schema, signed, topics  # noqa: E402
from tests.sim import deltas  # noqa: E402

DEVICE = "hall-0242ac110001"
CHANNELS = [("temperature", "°C", "0.01"), ("humidity", "%RH", "0.1"), ("running", "", "1"), ("spare", "V", "0.001")]
KEYS = ("root-1", "root-2", "release-1", "release-2", "direction", "station", "device")
COLUMNS = [
    [2150, 2151, 2151, 2149, 2150, 2152, None, 2153, 2155, 2154, 2154, 2153, 2156, 2158, 2157, 2159],
    [412, 371, 455, 390, 428, 402, 377, 441, 419, 395, 460, 408, 383, 437, 411, 399],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
    [None] * 16,
]


def key(name: str) -> tuple[int, bytes]:
    """Return a key pair that depends on its name only. For tests: the seed is public."""
    return p256.keygen(sha256(b"tenfold test key " + name.encode()))


def seal(kind: int, payload: bytes, *names: str) -> bytes:
    digest = signed.signing_digest(kind, payload)
    return signed.join(kind, [(signed.key_id(key(name)[1]), p256.sign(key(name)[0], digest)) for name in names], payload)


def roles(root_key: str) -> dict[str, tuple[list[bytes], int]]:
    return {"root": ([key(root_key)[1]], 1), "release": ([key("release-1")[1], key("release-2")[1]], 2),
            "direction": ([key("direction")[1]], 1)}


def golden() -> dict[str, object]:
    canonical = schema.build(CHANNELS)
    name = schema.schema_hash(canonical)
    record = batch.schema_record(3, 40, canonical)
    raw = batch.encode(3, 41, name, 61250, 1795000000000, batch.QUALITY_NTP, 250, COLUMNS, [(4, 12), (9, -7)])
    flash = NorFlash(4)
    ring = Ring(flash)
    ring.mount()
    ring.append(3, 0, record, 0)
    ring.append(3, 1, raw, batch.count_readings(COLUMNS))
    ring.ack(3, 1)
    ring.close()
    digest = "00112233445566778899aabbccddeeff" * 2
    proof = p256.sign(key("device")[0], sha256(identity.proof_input(DEVICE)))
    release = manifest.build("1.1.0", 2, ["hall"], (1, 1), False, 6, (digest, 200))
    base, target = bytes(range(64)), bytes(range(40, 56)) + b"a new one" + bytes(range(5)) + b"\x06\x06\x08\x08"
    envelope = seal(signed.MANIFEST, release, "release-1", "release-2")
    told = direction.build(DEVICE, "0f" * 16, 7, sha256(envelope).hex(), 1795000000, 1795003600)
    request = {"device": DEVICE, "model": "hall", "release": "1.0.0", "counter": 1, "manifest": "", "boot": 3, "nonce": "0f" * 16,
               "slot": "factory", "trial": False, "failed": None, "root": 1, "seq": 6, "metrics": {"uptime_s": 61, "msgs": 2}}
    answer = {"now_s": 1795000000, "period_s": 900, "direction": seal(signed.DIRECTION, told, "direction"), "reason": "stage 5 %"}
    return {
        "channels": CHANNELS,
        "columns": COLUMNS,
        "device": DEVICE,
        "schema": canonical.hex(),
        "schema_hash": name.hex(),
        "schema_record": record.hex(),
        "batch": raw.hex(),
        "ring_sector": flash.image.rstrip(b"\xff").hex(),
        "ack": topics.encode_ack(3, 41, topics.SEND_SCHEMA).hex(),
        "root_1": seal(signed.ROOT, root.build(1, roles("root-1"), 0), "root-1").hex(),
        "root_2": seal(signed.ROOT, root.build(2, roles("root-2"), 1), "root-1", "root-2").hex(),
        "bundle": bundle.build({"main.mpy": b"M\x06 main", "node/ring.mpy": b"M\x06 ring"}).hex(),
        "manifest": envelope.hex(),
        "delta": {"base": base.hex(), "target": target.hex(), "delta": deltas.delta(
            base, len(target), deltas.record(40, [], 16, b"a new one"), deltas.record(-56, [(5, b"\x01"), (1, 0)], 1)).hex()},
        "direction": answer["direction"].hex(),
        "birth": seal(signed.BIRTH, identity.birth_payload(DEVICE, key("device")[1].hex(), "hall", "lot-1", "bench-1", 1795000000,
                                                           proof.hex()), "station").hex(),
        "keys": {name: key(name)[1].hex() for name in KEYS},
        "csr": der.csr(*key("device"), DEVICE).hex(),
        "sec1": der.sec1(*key("device")).hex(),
        "checkin_request": checkin.encode_request(request).decode(),
        "checkin_response": checkin.encode_response(answer).decode(),
        "state": topics.encode_state(3, "1.0.0", 1, (3, 40), "power").decode(),
    }


if __name__ == "__main__":
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in golden().items()]
    (ROOT / "tests/vectors/golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
