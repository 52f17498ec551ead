"""Publishing of releases and roots, and retiring: verified as a device would, kept in the archive, then known in the database.

Objects go to the archive first, a release's parts by uploads of their own; a row is only written for what is there, and only what
a row names is handed to devices. Refuses what would strand a version that was seen in the last two years, unless an operator says
why, and a root that would not accept this server's own directions.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from node.errors import NodeError
from node.wire import manifest as manifest_format
from node.wire import signed
from ota.archive.folder import Archive, ArchiveError, MissingError
from ota.release.verify import ReleaseError, Root, Verified, follow, verify_release
from ota.rules import audit, paths
from ota.rules.values import Release
from ota.server import control
from ota.store import devices, outbox, releases
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


def add_root(engine: Engine, archive: Archive, raw: bytes, direction_key_hex: str, now_s: float, *, by: str) -> dict[str, Any]:
    """Add the next root of the chain. What it withdraws is not offered any more, and its rollouts are aborted.

    A root is never refused for whom it strands: it is the answer to a stolen key. It is told instead.

    Returns:
        The parsed root with `withdrawn`, the releases that fell out, and `stranded`, versions that have no path any more.

    Raises:
        ReleaseError: it does not follow the newest root, or leaves this server's direction key out.
    """
    trusted = trusted_root(engine, archive)
    root = follow([raw], trusted)
    if direction_key_hex not in root["roles"]["direction"]["keys"]:
        raise ReleaseError("root.direction", "the root leaves out the key that this server signs directions with; add a root with "
                                             "both keys, restart with the new one, then add a root without the old one")
    name = archive.put(raw)
    same_keys = root["roles"]["release"] == trusted["roles"]["release"]
    with reading(engine) as connection:   # takes 10 ms each: not under the write lock
        verdicts = {each.manifest: _refused(archive, each, root, same_keys) for each in releases.usable(connection)}
    with writing(engine) as connection:
        if len(releases.roots(connection)) != root["version"] - 1:
            raise ReleaseError("root.version", f"got version {root['version']}, another one was added meanwhile")
        seen = devices.versions_seen(connection, now_s - SEEN_S)
        usable = releases.usable(connection)
        before = audit.audit(usable, releases.min_counter(connection), seen)
        releases.add_root(connection, root["version"], name, root["min_counter"], now_s)
        fallen = {each.manifest: verdicts[each.manifest] if each.manifest in verdicts else _refused(archive, each, root, same_keys)
                  for each in usable}
        gone = [each for each in usable if fallen[each.manifest]]
        for release in gone:
            releases.retire(connection, release.manifest, now_s)
            releases.note(connection, release.manifest, "withdraw", now_s, by=by,
                          reason=f"root {root['version']}: {fallen[release.manifest]}")
        control.withdraw(connection, [each.manifest for each in gone], now_s, by=by, reason=f"withdrawn by root {root['version']}")
        left = audit.broken(before, audit.audit(releases.usable(connection), root["min_counter"], seen))
        stranded = _counted(connection, left, now_s)
    return root | {"withdrawn": [each.release for each in gone], "stranded": stranded}


def publish(
    engine: Engine, archive: Archive, raw: bytes, artifact: str, image: str | None, now_s: float, *, by: str,
    deltas: Sequence[str] = (), allow_stranded: bool = False, reason: str = "",
) -> Verified:
    """Publish a release whose parts are in the archive; publishing it again changes nothing.

    Args:
        raw: the manifest's envelope, signed offline.
        artifact, image, deltas: names of the parts that the operator brings; they must be just those of the manifest.
        allow_stranded: publish although devices on some old version could not reach it; needs a reason.
        reason: kept in the release's history.

    Raises:
        ReleaseError: the signatures, a part, the counter or the paths are not in order, or the release was retired.
        ArchiveError: it cannot be kept, or a part is damaged.
    """
    parts = _uploaded(archive, "artifact", artifact), None if image is None else _uploaded(archive, "image", image)
    root = trusted_root(engine, archive)
    verified = verify_release(raw, parts[0], root, parts[1], [_uploaded(archive, "delta", name) for name in deltas],
                              lambda name: _kept(archive, name))
    release = verified.release
    archive.put(raw)
    with writing(engine) as connection:
        if len(releases.roots(connection)) != root["version"]:
            raise ReleaseError("root.version", f"verified under root {root['version']}, another one came meanwhile; publish again")
        published = releases.get(connection, release.manifest)
        if published is not None:
            if published.retired_s is not None:
                raise ReleaseError("release.retired", f"release {release.release} was retired; only a manifest that is signed anew "
                                                      "can bring it back")
            return verified
        usable = releases.usable(connection)
        _check_counter(connection, archive, raw, release, usable)
        left = paths.stranded(release, [*usable, release], devices.versions_seen(connection, now_s - SEEN_S))
        stranded = _permitted(connection, left, now_s, "no path leads here from", "widen `from` or publish a stepping stone first",
                              allow_stranded=allow_stranded, reason=reason)
        image_name, image_bytes = (verified.image.sha256, verified.image.size) if verified.image else (None, None)
        releases.add(connection, Published(
            release, verified.mpy, verified.artifact.sha256, verified.artifact.size, now_s, by, image_name, image_bytes,
            deltas=verified.deltas))
        releases.note(connection, release.manifest, "publish", now_s, by=by, reason=reason, stranded=stranded)
        outbox.add(connection, "release.publish", now_s, manifest=release.manifest, release=release.release,
                   counter=release.counter, models=list(release.models), by=by)
    return verified


def retire(
    engine: Engine, manifest: str, now_s: float, *, by: str, reason: str, allow_stranded: bool = False,
) -> dict[str, Any]:
    """Withdraw one release: it is not offered any more, not as a stepping stone either; its objects stay. Again changes nothing.

    Its rollouts are aborted, whatever their state: who retires a bad release wants it to stop, and one command must do.
    A direction that was given before still holds until it ends (`direction_s`).

    Returns:
        `aborted`, the rollouts, and `stranded`, versions that were left behind on purpose.

    Raises:
        UnknownError: it is not published.
        ReleaseError: "release.stranded": versions seen in the last two years would lose their path. "request.reason": none given.
    """
    with writing(engine) as connection:
        published = releases.get(connection, manifest)
        if published is None:
            raise control.UnknownError(f"release {manifest[:64]!r} is not published")
        if published.retired_s is not None:
            return {"aborted": [], "stranded": []}
        floor, seen = releases.min_counter(connection), devices.versions_seen(connection, now_s - SEEN_S)
        usable = releases.usable(connection)
        left = audit.broken(audit.audit(usable, floor, seen),
                            audit.audit([each for each in usable if each.manifest != manifest], floor, seen))
        stranded = _permitted(
            connection, left, now_s, f"release {published.release.release} is on the only path of",
            "publish another stepping stone first", allow_stranded=allow_stranded, reason=reason)
        releases.retire(connection, manifest, now_s)
        releases.note(connection, manifest, "retire", now_s, by=by, reason=reason, stranded=stranded)
        outbox.add(connection, "release.retire", now_s, manifest=manifest, release=published.release.release,
                   counter=published.release.counter, models=list(published.release.models), by=by)
        aborted = control.withdraw(connection, [manifest], now_s, by=by, reason=f"release retired by {by}: {reason}")
    return {"aborted": aborted, "stranded": stranded}


def _permitted(
    connection: Connection, left: Sequence[audit.Version], now_s: float, fault: str, remedy: str, *, allow_stranded: bool,
    reason: str,
) -> list[dict[str, Any]]:
    """Refuse to leave versions behind unless an operator wants that and says why; tells them as they go into the history."""
    stranded = _counted(connection, left, now_s)
    if stranded and not allow_stranded:
        listed = ", ".join(f"{each['model']} at counter {each['counter']} ({each['devices']} devices)" for each in stranded)
        total = sum(each["devices"] for each in stranded)
        raise ReleaseError("release.stranded", f"{fault} versions seen in the last two years, {total} devices: {listed}; {remedy}")
    if stranded and not reason:
        raise ReleaseError("request.reason", "reason: got none, expected why these devices are left behind")
    return stranded


def _counted(connection: Connection, left: Sequence[audit.Version], now_s: float) -> list[dict[str, Any]]:
    """Count the devices that were last heard on these versions, within the time for which versions count."""
    running: Counter[tuple[str, int]] = Counter()
    census = devices.census(connection, sorted({model for model, _ in left}), (now_s - SEEN_S,))
    for (model, counter, _), (number,) in census.items():
        running[model, counter] += number
    return [{"model": model, "counter": counter, "devices": running[model, counter]} for model, counter in left]


def _check_counter(connection: Connection, archive: Archive, raw: bytes, release: Release, usable: Sequence[Release]) -> None:
    """A counter names one release for a model. The same manifest, signed anew, may take the place of one that fell out."""
    payload = signed.split(raw, signed.MANIFEST)[1]
    for other in (each.release for each in releases.all_published(connection)):
        if other.counter != release.counter or not set(other.models) & set(release.models):
            continue
        if other in usable or signed.split(archive.get(other.manifest), signed.MANIFEST)[1] != payload:
            raise ReleaseError("release.counter", f"counter {release.counter} is taken by release {other.release}")


def _refused(archive: Archive, release: Release, root: Root, same_keys: bool) -> str:
    """Why devices that have a root would refuse a release; empty when they would not.

    Args:
        same_keys: the root before, under which the release was verified, lists the same release keys.
    """
    if same_keys and release.counter >= root["min_counter"]:
        return ""
    try:
        manifest_format.load(archive.get(release.manifest), root)
    except NodeError as error:
        return error.message
    except ArchiveError as error:   # nothing in the archive may keep a root from coming into force
        return str(error)
    return ""


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
