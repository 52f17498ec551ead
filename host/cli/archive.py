"""`tenfold archive`: what is kept of every release ever published, whether it is whole, and how it moves to another machine."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from node.wire import signed
from ota.archive import tar
from ota.archive.contents import LOSSES, Contents, Finding, Kept, Objects, accept, read
from ota.archive.folder import Archive, ArchiveError
from ota.client import OtaClient, OtaError
from ota.release.verify import ReleaseError

app = typer.Typer(no_args_is_help=True, help="The archive of every release ever published.")
Folder = Annotated[Path | None, typer.Option(help="The archive's own folder, in place of a server.", file_okay=False, exists=True)]
AnyUrl = Annotated[str | None, typer.Option("--server", envvar="TENFOLD_SERVER", help="OTA server, e.g. https://localhost:8443.")]
AnyCa = Annotated[Path | None, typer.Option("--ca", envvar="TENFOLD_CA", help="PEM bundle that verifies the server.")]
AnyCert = Annotated[Path | None, typer.Option("--cert", envvar="TENFOLD_CERT", help="PEM certificate of the operator (op.…).")]
AnyKey = Annotated[Path | None, typer.Option("--key", envvar="TENFOLD_KEY", help="Its PEM key.")]
Root = Annotated[Path | None, typer.Option(
    help="root.bin that devices are born with. Default: the server's first root; of a folder, its only one.", exists=True)]
Release = Annotated[str, typer.Argument(help="SHA-256 of its manifest, or the beginning of it.")]
Row = dict[str, Any]
UNFINISHED = ".new-"   # how an upload is called while it arrives


class ServerObjects:
    """A server's archive as `contents.Objects`; what arrives is checked here, not taken on trust.

    Args:
        names: look at these only; None is all.
    """

    def __init__(self, client: OtaClient, names: list[str] | None = None) -> None:
        self._client, self._names = client, names

    def objects(self) -> Iterator[tuple[str, int]]:
        """Name and size of each object."""
        for each in self._client.objects():
            if self._names is None or each["name"] in self._names:
                yield each["name"], each["size_bytes"]

    def get(self, name: str) -> bytes:
        """Fetch one; raises ArchiveError as a folder does."""
        try:
            data = self._client.object(name)
        except OtaError as error:
            if not error.status:
                raise
            raise ArchiveError(f"object {name}: {error}") from None
        found = hashlib.sha256(data).hexdigest()
        if found != name:
            raise ArchiveError(f"object {name}: damaged on the server or on the way, its bytes hash to {found}")
        return data


@app.command("list")
def list_(
    folder: Folder = None, server: AnyUrl = None, ca: AnyCa = None, cert: AnyCert = None, key: AnyKey = None,
    root: Root = None, as_json: AsJson = False,
) -> None:
    """List all releases, oldest first, and which of them may still be installed.

    Example: tenfold archive list --folder /var/lib/tenfold/archive
    """
    if folder is not None:
        found = _contents(Archive(folder), root)
        rows = [_row(each, len(found.roots)) for each in found.releases]
    else:
        with _connected(server, ca, cert, key) as client:
            floor = client.roots()[-1]["min_counter"]
            rows = [_server_row(each, floor) for each in client.releases()]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("manifest", "release", "counter", "models", "installs over", "stone", "bytes", "state")
    for row in rows:
        table.add_row(row["manifest"][:16], row["release"], str(row["counter"]), ", ".join(row["models"]),
                      "{}..{}".format(*row["from"]), "stone" if row["stone"] else "", f"{row['bytes']:,}", row["state"])
    Console().print(table)


@app.command()
def show(
    release: Release, folder: Folder = None, server: AnyUrl = None, ca: AnyCa = None, cert: AnyCert = None, key: AnyKey = None,
    root: Root = None, as_json: AsJson = False,
) -> None:
    """Show one release: its parts, who signed it, and what was decided about it.

    Example: tenfold archive show 3b2b91 --folder /var/lib/tenfold/archive
    """
    if folder is not None:
        found = _contents(Archive(folder), root)
        kept = _chosen(release, found.releases)
        shown = _row(kept, len(found.roots)) | {"history": []}
    else:
        with _connected(server, ca, cert, key) as client:
            kept = _from_server(client, release)
            row = client.release(kept.manifest)
            shown = _server_row(row, client.roots()[-1]["min_counter"]) | {"history": row["history"]}
    shown |= {"parts": [vars(part) for part in kept.parts],
              "signed_by": [name.hex() for name, _ in signed.split(kept.raw, signed.MANIFEST)[0]]}
    if as_json:
        print(json.dumps(shown))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in shown.items():
        lines = value if isinstance(value, list) else [value]
        table.add_row(name, "\n".join(json.dumps(each) if isinstance(each, dict) else str(each) for each in lines))
    Console().print(table)


@app.command()
def verify(
    folder: Folder = None, server: AnyUrl = None, ca: AnyCa = None, cert: AnyCert = None, key: AnyKey = None,
    root: Root = None, as_json: AsJson = False,
) -> None:
    """Hash every object, follow the roots and verify every manifest; exit code 1 if anything is damaged, missing or foreign.

    A server's objects are all fetched for that.

    Example: tenfold archive verify --folder /var/lib/tenfold/archive --root keys/root.bin
    """
    if folder is not None:
        archive = Archive(folder)
        found = _contents(archive, root)
        for path in archive.foreign():
            kind = "unfinished" if path.name.startswith(UNFINISHED) else "foreign"
            found.findings.append(Finding(kind, str(path.relative_to(folder)), "no object, by its name or its kind"))
    else:
        with _connected(server, ca, cert, key) as client:
            found = _contents(ServerObjects(client), root or _first_root(client))
    if as_json:
        print(json.dumps({"roots": len(found.roots), "releases": len(found.releases), "faults": len(found.faults),
                          "findings": [vars(each) for each in found.findings]}))
    else:
        for each in found.findings:
            print(f"{each.kind}: {each.name}: {each.words}")
        print(f"{len(found.roots)} roots, {len(found.releases)} releases, {len(found.faults)} faults")
    raise typer.Exit(1 if found.faults else 0)


@app.command()
def audit(server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """Prove that every version seen in two years has a path to the newest release of its model; exit code 1 if one has none.

    Example: tenfold archive audit --server https://localhost:8443 --ca pki/ca.pem --cert op.pem --key op.key
    """
    with connect(server, ca, cert, key) as client:
        found = client.audit_paths()
    lost = [each for each in found["versions"] if each["path"] is None]
    if as_json:
        print(json.dumps(found))
    else:
        table = Table("model", "counter", "release", "devices", "path", "hops", "bytes")
        for each in found["versions"]:
            path = "[red]none[/]" if each["path"] is None else " → ".join(
                f"{step['release']} ({step['counter']})" for step in each["path"]) or "newest"
            table.add_row(each["model"], str(each["counter"]), each["release"], str(each["devices"]), path, str(each["hops"]),
                          f"{each['bytes']:,}")
        Console().print(table)
        for fault in found["faults"]:
            print(f"fault: {fault['release']}, manifest {fault['manifest']}: {fault['fault']}")
        devices = sum(each["devices"] for each in lost)
        print(f"{len(found['versions'])} versions, {len(lost)} without a path, {devices} devices on them")
    raise typer.Exit(1 if lost or found["faults"] else 0)


@app.command("export")
def export_(
    out: Annotated[Path, typer.Argument(help="The tar to write.")],
    release: Annotated[str | None, typer.Option(help="One release, by its manifest. Default: all.")] = None,
    folder: Folder = None, server: AnyUrl = None, ca: AnyCa = None, cert: AnyCert = None, key: AnyKey = None,
    root: Root = None,
) -> None:
    """Write releases with their roots into one tar: the same content, the same bytes. Everything is verified on the way.

    Example: tenfold archive export all.tar --folder /var/lib/tenfold/archive
    """
    if folder is not None:
        archive = Archive(folder)
        found = _contents(archive, root)
        if release is None:
            _export(out, archive, found, found.releases, found.faults)
        else:
            chosen = _chosen(release, found.releases)
            names = {part.sha256 for part in chosen.parts}
            _export(out, archive, found, [chosen], [each for each in found.faults if each.name in names])
        return
    with _connected(server, ca, cert, key) as client:
        source = ServerObjects(client, None if release is None else _names(client, _from_server(client, release)))
        found = _contents(source, root or _first_root(client))
        _export(out, source, found, found.releases, found.faults)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A tar that `export` wrote.", exists=True, dir_okay=False)],
    folder: Annotated[Path | None, typer.Option(help="The archive's own folder, in place of a server; made when missing.")] = None,
    server: AnyUrl = None, ca: AnyCa = None, cert: AnyCert = None, key: AnyKey = None, root: Root = None,
) -> None:
    """Take over what a tar brings. All of it is verified before the first object is kept.

    A folder that is empty needs --root, the root that is trusted. A server gets the roots that it lacks, and the releases are
    published there. A tar has no decisions: what was retired elsewhere must be retired again.

    Example: tenfold archive import all.tar --folder /var/lib/tenfold/archive --root keys/root.bin
    """
    with path.open("rb") as file:
        if folder is not None:
            arrived = _verified(file, _known(folder, root))
            with _progress("keeping", _bytes(arrived)) as tell:
                tar.keep(file, arrived, Archive(folder), tell)
            left_out = []
        else:
            with _connected(server, ca, cert, key) as client:
                known = [client.object(each["object"]) for each in client.roots()]
                if root is not None and root.read_bytes() != known[0]:
                    raise ReleaseError("archive.root", f"{root}: the server began with another root")
                arrived = _verified(file, known)
                left_out = _publish(client, file, arrived, len(known))
    print(f"{path}: {len(arrived.chain)} roots, {len(arrived.releases)} releases, {len(arrived.parts)} parts")
    for each in left_out:
        print(f"not published, a root withdrew it: {each.body['release']}, manifest {each.manifest}")


def _known(folder: Path, root: Path | None) -> list[bytes]:
    """The roots that are trusted: those of the folder, or where there is nothing yet the one that is named."""
    if folder.exists() and any(Archive(folder).objects()):
        chain = _contents(Archive(folder), root).chain
        if not chain:
            raise ReleaseError("archive.root", f"{folder}: holds no root of version 1 that is trusted; --root tells which one is")
        return chain
    if root is None:
        raise ReleaseError("archive.root", f"{folder}: empty; --root tells which root is trusted")
    return [root.read_bytes()]


def _verified(file: BinaryIO, known: list[bytes]) -> tar.Arrived:
    with _progress("verifying", Path(file.name).stat().st_size) as tell:
        return tar.verify(file, known, tell)


def _publish(client: OtaClient, file: BinaryIO, arrived: tar.Arrived, known: int) -> list[Kept]:
    """Hand a server what it lacks; gives the releases that it would refuse."""
    for raw in arrived.chain[known:]:
        client.add_root(raw)
    newest = len(arrived.chain)
    with _progress("publishing", _bytes(arrived)) as tell:
        for release in sorted(arrived.releases, key=lambda each: each.body["counter"]):   # deltas start from older ones
            content: dict[str, list[bytes]] = {"artifact": [], "image": [], "deltas": []}
            for part in release.parts:
                content[part.kind].append(b"".join(tar.pieces(file, arrived.parts[part.sha256])))
            if release.root < newest:   # kept all the same: deltas of newer ones may start from it
                for data in chain.from_iterable(content.values()):
                    client.upload(data)
            else:
                client.publish(release.raw, content["artifact"][0], next(iter(content["image"]), None), content["deltas"])
            tell(sum(part.size for part in release.parts))
    return [each for each in arrived.releases if each.root < newest]


def _export(out: Path, source: Objects, found: Contents, chosen: list[Kept], faults: list[Finding]) -> None:
    if not found.chain:
        raise ReleaseError("archive.root", "the archive has no root of version 1 that is trusted; --root tells which one is")
    for fault in [each for each in faults if each.kind in LOSSES]:
        raise ReleaseError("archive.fault", f"{fault.kind}: {fault.name}: {fault.words}; tenfold archive verify tells all")
    sizes = {part.sha256: part.size for each in chosen for part in each.parts}
    with out.open("xb") as file, _progress("writing", sum(sizes.values())) as tell:
        try:
            tar.write(file, found.chain, chosen, source.get, tell)
        except BaseException:   # whatever it was: half a tar is of no use
            out.unlink()
            raise
    print(f"{out}: {len(found.chain)} roots, {len(chosen)} releases, {len(sizes)} parts, {out.stat().st_size:,} bytes")


def _contents(source: Objects, root: Path | bytes | None) -> Contents:
    pinned = root.read_bytes() if isinstance(root, Path) else root
    with _progress("reading", sum(size for _, size in source.objects())) as tell:
        return read(source, pinned, tell)


def _first_root(client: OtaClient) -> bytes:
    return client.object(client.roots()[0]["object"])


def _names(client: OtaClient, release: Kept) -> list[str]:
    """The objects that belong to one release."""
    return [release.manifest, *(part.sha256 for part in release.parts), *(each["object"] for each in client.roots())]


def _from_server(client: OtaClient, name: str) -> Kept:
    """One release of a server, verified under its roots."""
    chosen = _one(name, [each["manifest"] for each in client.releases()])
    roots = read(ServerObjects(client, names=[each["object"] for each in client.roots()]), _first_root(client)).roots
    raw = ServerObjects(client).get(chosen)
    return Kept(chosen, raw, *accept(raw, roots))


def _chosen(name: str, releases: list[Kept]) -> Kept:
    chosen = _one(name, [each.manifest for each in releases])
    return next(each for each in releases if each.manifest == chosen)


def _one(name: str, names: list[str]) -> str:
    found = [each for each in names if each.startswith(name)]
    if len(found) != 1:
        raise typer.BadParameter(f"got {name}, the beginning of {len(found)} manifests, expected one of the {len(names)} there are")
    return found[0]


def _row(release: Kept, newest: int) -> Row:
    """A release of a folder, for people."""
    body = release.body
    return {"manifest": release.manifest, "release": body["release"], "counter": body["counter"], "models": body["models"],
            "from": body["from"], "stone": body["stone"], "bytes": sum(part.size for part in release.parts),
            "state": "usable" if release.root == newest else f"withdrawn by root {release.root + 1}"}


def _server_row(shown: Row, floor: int) -> Row:
    """The same of a server's release, whose database knows what was decided."""
    state = "usable" if shown["retired_s"] is None and shown["counter"] >= floor else "retired"
    return {name: shown[name] for name in ("manifest", "release", "counter", "models")} | {
        "from": [shown["from_lo"], shown["from_hi"]], "stone": shown["stone"],
        "bytes": shown["size_bytes"] + (shown["image_bytes"] or 0), "state": state}


def _connected(server: str | None, ca: Path | None, cert: Path | None, key: Path | None) -> OtaClient:
    if server is None or ca is None or cert is None or key is None:
        raise typer.BadParameter("give --folder, or --server with --ca, --cert and --key")
    return connect(server, ca, cert, key)


def _bytes(arrived: tar.Arrived) -> int:
    return sum(each.size for each in arrived.parts.values())


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the error stream of a terminal; nothing where nobody looks."""
    bar = Progress(TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=Console(stderr=True),
                   transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda size: bar.advance(task, size)
