"""The audit: whether every version seen in two years has a path to the newest release of its model, over releases that are good.

Reads database and archive; `rules.audit` decides. A release counts only if devices with the newest root accept its manifest, and if
its parts lie in the archive with the size that the manifest names; their bytes are hashed by `tenfold archive verify`.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from node.errors import NodeError
from node.wire import manifest as manifest_format
from ota.archive.folder import Archive, ArchiveError
from ota.archive.parts import parts_of
from ota.release.verify import Root
from ota.rules import audit as rules
from ota.rules import paths
from ota.rules.values import Release
from ota.server.publish import SEEN_S, trusted_root
from ota.store import devices, releases
from ota.store.session import reading


def audit(engine: Engine, archive: Archive, now_s: float) -> dict[str, Any]:
    """Find the way of every version.

    Returns:
        `versions`: model, counter, release, devices, last_seen_s, target (null: nothing to reach), `path` (null: none; else
        release, counter, manifest and the bytes to download of each step), hops and bytes; `faults`: manifest, release and what
        is wrong.

    Raises:
        ReleaseError, ArchiveError: the root chain is broken.
    """
    root = trusted_root(engine, archive)
    with reading(engine) as connection:
        usable = releases.usable(connection, deltas=True)
        rows = [row for row in devices.version_table(connection) if row["last_seen_s"] >= now_s - SEEN_S]
    good, faults = [], []
    for release in usable:
        try:
            _check(archive, release, root)
            good.append(release)
        except (NodeError, ArchiveError) as error:
            faults.append({"manifest": release.manifest, "release": release.release, "fault": str(error)})
    ways = {(each.model, each.counter): each
            for each in rules.audit(good, root["min_counter"], [(row["model"], row["counter"]) for row in rows])}
    return {"versions": [_shown(row, ways[row["model"], row["counter"]], good) for row in rows], "faults": faults}


def _check(archive: Archive, release: Release, root: Root) -> None:
    """Refuse a release that devices could not install.

    Raises:
        NodeError: devices would refuse the manifest.
        ArchiveError: a part is missing or has another size.
    """
    for part in parts_of(manifest_format.load(archive.get(release.manifest), root)):
        found = archive.size(part.sha256)
        if found != part.size:
            got = "none" if found is None else f"{found} bytes"
            raise ArchiveError(f"{part.kind} {part.sha256}: got {got}, expected {part.size} bytes")


def _shown(row: dict[str, Any], way: rules.Route, good: Sequence[Release]) -> dict[str, Any]:
    shown = {name: row[name] for name in ("model", "counter", "release", "devices", "last_seen_s")}
    path: list[dict[str, Any]] | None = None if way.path is None else [
        {"release": step.release, "counter": step.counter, "manifest": step.manifest, "bytes": down_bytes}
        for step, down_bytes in zip(way.path, paths.down_bytes(way.model, way.counter, way.path, good), strict=True)]
    return shown | {
        "target": None if way.target is None else way.target.release, "path": path, "hops": len(path or ()),
        "bytes": sum(step["bytes"] for step in path or ())}
