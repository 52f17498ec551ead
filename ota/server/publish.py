"""Publishing of releases and roots: verified as a device would, kept in the archive, then made known in the database.

Objects go to the archive first, a release's parts by uploads of their own; a row is only written for what is there, and only what
a row names is handed to devices. Refuses what would strand a version that was seen in the last two years, and a root that would
not accept this server's own directions.
"""

from collections.abc import Sequence

from sqlalchemy import Engine

from ota.archive.folder import Archive, MissingError
from ota.release.verify import ReleaseError, Root, Verified, follow, verify_release
from ota.rules import paths
from ota.server import control
from ota.store import devices, releases
from ota.store.releases import Published
from ota.store.session import reading, writing

SEEN_S = 2 * 365 * 86_400   # versions seen in this time keep a path to every new release


def trusted_root(engine: Engine, archive: Archive) -> Root:
    """Read the root chain and follow it, every link verified.

    Raises:
        ReleaseError: the chain is broken or empty.
        ArchiveError: a root is missing or damaged.
    """
    with reading(engine) as connection:
        names = releases.roots(connection)
    return follow(archive.get(name) for name in names)


def pin_root(engine: Engine, archive: Archive, raw: bytes, now_s: float) -> None:
    """Make the root that devices are born with the first of the chain; nothing happens if it is.

    Raises:
        ReleaseError: it is not signed by itself, or the chain begins with another one.
    """
    root = follow([raw])
    name = archive.put(raw)
    with writing(engine) as connection:
        known = releases.roots(connection)
        if not known:
            releases.add_root(connection, root["version"], name, root["min_counter"], now_s)
        elif known[0] != name:
            raise ReleaseError("root.pinned", f"got root {name[:16]}…, expected {known[0][:16]}…, with which this server began")


def add_root(engine: Engine, archive: Archive, raw: bytes, direction_key_hex: str, now_s: float, *, by: str) -> Root:
    """Add the next root of the chain. Rollouts of releases that it withdraws are aborted.

    Raises:
        ReleaseError: it does not follow the newest root, or leaves this server's direction key out.
    """
    root = follow([raw], trusted_root(engine, archive))
    if direction_key_hex not in root["roles"]["direction"]["keys"]:
        raise ReleaseError("root.direction", "the root leaves out the key that this server signs directions with; add a root with "
                                             "both keys, restart with the new one, then add a root without the old one")
    name = archive.put(raw)
    with writing(engine) as connection:
        if len(releases.roots(connection)) != root["version"] - 1:
            raise ReleaseError("root.version", f"got version {root['version']}, another one was added meanwhile")
        releases.add_root(connection, root["version"], name, root["min_counter"], now_s)
        control.withdraw(connection, root["min_counter"], now_s, by=by)
    return root


def publish(
    engine: Engine, archive: Archive, raw: bytes, artifact: str, image: str | None, now_s: float, *, by: str,
    deltas: Sequence[str] = (), allow_stranded: bool = False,
) -> Verified:
    """Publish a release whose parts are in the archive; publishing it again changes nothing.

    Args:
        raw: the manifest's envelope, signed offline.
        artifact, image, deltas: names of the parts that the operator brings; they must be just those of the manifest.
        allow_stranded: publish although devices on some old version could not reach it.

    Raises:
        ReleaseError: the signatures, a part, the counter or the paths are not in order.
        ArchiveError: it cannot be kept, or a part is damaged.
    """
    parts = _uploaded(archive, "artifact", artifact), None if image is None else _uploaded(archive, "image", image)
    verified = verify_release(raw, parts[0], trusted_root(engine, archive), parts[1],
                              [_uploaded(archive, "delta", name) for name in deltas], lambda name: _kept(archive, name))
    release = verified.release
    archive.put(raw)
    with writing(engine) as connection:
        known = [each.release for each in releases.all_published(connection)]
        for other in known:
            same_line = other.counter == release.counter and set(other.models) & set(release.models)
            if same_line and other.manifest != release.manifest:
                raise ReleaseError("release.counter", f"counter {release.counter} is taken by release {other.release}")
        left = paths.stranded(release, [*known, release], devices.versions_seen(connection, now_s - SEEN_S))
        if left and not allow_stranded:
            listed = ", ".join(f"{model} at counter {counter}" for model, counter in left)
            raise ReleaseError("release.stranded", f"no path leads here from versions seen in the last two years: {listed}; "
                                                   f"widen `from` or publish a stepping stone first")
        image_name, image_bytes = (verified.image.sha256, verified.image.size) if verified.image else (None, None)
        releases.add(connection, Published(
            release, verified.mpy, verified.artifact.sha256, verified.artifact.size, now_s, by, image_name, image_bytes,
            verified.deltas))
    return verified


def _uploaded(archive: Archive, part: str, name: str) -> bytes:
    try:
        return archive.get(name)
    except MissingError:
        raise ReleaseError("release.missing", f"{part}: {name} was not uploaded; PUT it to /admin/artifacts/{name} first") from None


def _kept(archive: Archive, name: str) -> bytes | None:
    """An older release's part, from which a delta starts."""
    try:
        return archive.get(name)
    except MissingError:
        return None
