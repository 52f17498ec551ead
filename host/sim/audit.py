"""What really happened, counted from the devices' flash files, the database and the server's log of downloads: nobody's claims.

Decides what "lost", "duplicate" and "on a release" mean. Lost is a reading that some ring committed and the database does not
hold, or one in a record still on flash whose bytes differ from the stored ones. A duplicate is a sample of one boot stored
twice. A device is on a release when its boot record names a complete slot of that release and no trial is under way. Opens
everything read-only. Run it while the devices are without power: a flash file that is being written is a moving target.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, text

from host.db import open_engine
from host.ingest.decode import decode
from host.store.tables import KIND_BATCH
from node.agent import reconfigure
from node.errors import FormatError
from node.ring import Ring
from node.wire import batch, bundle
from ota.server.downloads import Download
from provisioning.line.image import read_vfs, ring_partition


@dataclass(frozen=True)
class DeviceTruth:
    """One device as its flash file tells it.

    Attributes:
        committed: readings ever appended to the ring; the ring's own tally, which outlives reused sectors.
        records: (boot, seq) -> bytes of every record still on flash.
        release: release of the slot it boots, e.g. "1.1.0".
        trial: a trial is under way.
        hashes: SHA-256 of every file in its slots' bundles, complete or not: what code it ever got and still holds.
        half_slots: slots that hold some of a bundle, at least a byte, and not all.
        config: name of the delivered configuration that it keeps; "": it runs as the line left it. config_trial: it tries one.
    """

    device: str
    committed: int
    records: dict[tuple[int, int], bytes]
    release: str
    trial: bool
    hashes: frozenset[str]
    half_slots: frozenset[str]
    config: str = ""
    config_trial: bool = False


@dataclass(frozen=True)
class Tally:
    """The fleet's sums. Readings, not batches, unless the name says so."""

    readings_committed: int
    readings_stored: int
    lost: int
    duplicates_stored: int
    bytes_stored: int
    missing: list[str] = field(default_factory=list)   # what is lost or differs, for people


@dataclass(frozen=True)
class Fetched:
    """What the update server gave of one release's bundle, and of deltas to it.

    Attributes:
        bundle_bytes: of the bundle. given: device -> bytes, those of answers that broke off included.
        by_delta: devices that were given all of a delta, and nothing of the bundle.
    """

    bundle_bytes: int
    given: dict[str, int]
    by_delta: frozenset[str]


def read_device(device: str, flash: Path) -> DeviceTruth:
    """Read one flash file.

    Raises:
        FormatError: the file is not a flash image of ours.
    """
    image = flash.read_bytes()
    ring = _ring(image)
    files = read_vfs(image)
    boot = _json(files.get("/boot.json"))
    slot = boot.get("slot")
    folders = {"factory": "/factory/", "a": "/slots/a/", "b": "/slots/b/"}
    releases = {name: _json(files.get(folder + "release.json")).get("release") for name, folder in folders.items()}
    bundles = {name: files.get(folder + "bundle", b"") for name, folder in folders.items()}
    return DeviceTruth(
        device=device,
        committed=ring.tally,
        records={(boot_no, seq): bytes(data) for boot_no, seq, data in ring.records(ring.oldest()[1])},
        release=str(releases.get(slot if isinstance(slot, str) else "factory") or ""),
        trial=bool(boot.get("trial")),
        hashes=frozenset(found for raw in bundles.values() for found in _hashes(raw)),
        half_slots=frozenset(name for name, raw in bundles.items() if raw and not _is_whole(raw)),
        config=reconfigure.name_of(files.get(reconfigure.CURRENT, b"")),
        config_trial=reconfigure.NEW in files,
    )


def committed(flash: Path) -> int:
    """Count the readings ever committed on one flash file; also while its board runs, since the ring skips what is half written."""
    return _ring(flash.read_bytes()).tally


def compare(devices: Iterable[DeviceTruth], telemetry: Engine) -> Tally:
    """Hold every ring against the database, byte for byte where the ring still has the bytes."""
    total = stored = lost = duplicates = size = 0
    missing: list[str] = []
    with telemetry.connect() as connection:
        for device in devices:
            rows = connection.execute(
                text("SELECT boot, seq, kind, n_readings, payload FROM batch WHERE device = :device ORDER BY boot, seq"),
                {"device": device.device},
            ).all()
            kept = {(row.boot, row.seq): bytes(row.payload) for row in rows}
            here = sum(row.n_readings for row in rows)
            differing = {key: _readings(data) for key, data in device.records.items() if kept.get(key) != data}
            absent = max(0, device.committed - here, sum(differing.values()))
            total += device.committed
            stored += here
            lost += absent
            size += sum(len(data) for data in kept.values())
            duplicates += _samples_twice(kept[row.boot, row.seq] for row in rows if row.kind == KIND_BATCH)
            if absent:
                keys = ", ".join(f"{boot}/{seq}" for boot, seq in sorted(differing)[:5])
                missing.append(f"{device.device}: {absent} readings, records {keys or 'none on flash'}")
    return Tally(total, stored, lost, duplicates, size, missing)


def fetched(log: Path, bundle_raw: bytes, deltas: Collection[str]) -> Fetched:
    """Add up the update server's log.

    Args:
        bundle_raw: the release's bundle. deltas: names, SHA-256 in hex, of those that lead to it.
    """
    name = hashlib.sha256(bundle_raw).hexdigest()
    given: Counter[str] = Counter()
    short, long = set(), set()
    with log.open(encoding="utf-8", errors="replace") as lines:
        for each in Download.read(lines):
            if each.name == name:
                long.add(each.device)
            elif each.name not in deltas:
                continue
            elif each.last == each.size - 1:
                short.add(each.device)
            given[each.device] += each.given
    return Fetched(len(bundle_raw), dict(given), frozenset(short - long))


def rollout_states(ota_url: str) -> dict[str, str]:
    """Read how every release's newest rollout stands, from the OTA server's database: {"1.2.0": "halted"}."""
    engine = open_engine(ota_url, read_only=True)
    with engine.connect() as connection:
        rows = connection.execute(text(
            "SELECT release.release, rollout.state FROM rollout JOIN release USING (manifest) ORDER BY rollout.added_s"))
        states = {str(release): str(state) for release, state in rows}
    engine.dispose()
    return states


def _ring(image: bytes) -> Ring:
    ring = Ring(ring_partition(image))
    ring.mount()
    return ring


def _is_whole(raw: bytes) -> bool:
    try:
        bundle.parse(raw)
    except FormatError:
        return False
    return True


def _hashes(raw: bytes) -> Iterator[str]:
    """SHA-256 of each file that is there whole in a bundle or in its beginning."""
    try:
        rows = bundle.index(raw)
    except FormatError:   # too little of it arrived, or no slot's work
        return
    for _, at, size in rows:
        if at + size <= len(raw):
            yield hashlib.sha256(raw[at:at + size]).hexdigest()


def _readings(record: bytes) -> int:
    """Count the readings of a record; schema records and batches of silent sensors have none."""
    kind, _, _ = batch.record_name(record)
    return batch.peek(record)[3] if kind == batch.BATCH else 0


def _samples_twice(batches: Iterable[bytes]) -> int:
    """Count readings of one device whose (boot, uptime, channel) an earlier batch already holds."""
    seen: set[tuple[int, bytes, int, int]] = set()
    twice = 0
    for raw in batches:
        try:
            found = decode(raw)
        except FormatError:
            continue   # ingest quarantines what cannot be decoded; it is then missing above
        for channel, valid in enumerate(found.valid):
            for uptime_ms in found.uptime_ms[valid].tolist():
                key = (found.boot, bytes(found.schema_hash), channel, uptime_ms)
                twice += key in seen
                seen.add(key)
    return twice


def _json(raw: bytes | None) -> dict[str, object]:
    try:
        value = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
