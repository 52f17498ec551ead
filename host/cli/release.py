"""`tenfold release`: build, sign, verify and publish what devices run."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host.cli.application import least_flash, read_application
from host.cli.drawn import right
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from host.cli.shipped import Configs, chosen_drivers
from host.sim.plant import FIRMWARE
from node.wire import bundle as bundle_format
from node.wire import manifest as manifest_format
from node.wire import signed
from ota.release import bundle, delta, keys
from ota.release.patch import Delta
from ota.release.sign import add_signature, envelope
from ota.release.verify import ReleaseError, check_parts, follow, verify_release
from provisioning.line import room
from provisioning.line.esp_image import LAYOUTS
from provisioning.line.fetch import fetch_umqtt

app = typer.Typer(no_args_is_help=True, help="Build, sign, verify and publish releases.")
# Files of a release's folder; the image only where the release brings one.
PAYLOAD, MANIFEST, ARTIFACT, IMAGE = "manifest.json", "manifest.bin", "artifact.bin", "image.bin"
DELTAS = "deltas"   # a folder: files named by their SHA-256
Folder = Annotated[Path, typer.Argument(help="The release's folder.")]
Stranding = Annotated[bool, typer.Option(
    "--allow-stranded", help="Even if versions that were seen would have no path any more; needs --reason.")]
Why = Annotated[str, typer.Option(help="Why devices are left behind; kept in the release's history.")]
Older = Annotated[list[Path] | None, typer.Option("--delta-from", help="An older release's folder; repeat for several, 4 at most.")]


@app.command()
def build(
    folder: Folder,
    release: Annotated[str, typer.Option(help='Its name, e.g. "1.1.0".')],
    counter: Annotated[int, typer.Option(min=1, help="Rises with every release; versions are compared by it.")],
    model: Annotated[list[str], typer.Option(help="Device model; repeat for several.")],
    from_lowest: Annotated[int, typer.Option(min=0, help="Lowest counter that may install it directly.")] = 1,
    stone: Annotated[bool, typer.Option("--stone", help="Older devices must pass through it.")] = False,
    image: Annotated[Path | None, typer.Option(
        help="ESP32 application that devices install too: a file of its own, or a board's full image to take it from.")] = None,
    firmware: Annotated[Path, typer.Option(help="The firmware's folder.")] = FIRMWARE,
    delta_from: Older = None, config: Configs = None,
) -> None:
    """Compile the firmware into a bundle; needs no key.

    With --image the release also brings a new interpreter for the chip. All its models must have that chip. With --delta-from,
    devices that run that older release fetch what is different, and all of it when that does not work. With --config, drivers of
    sensors that no device has stay at home: a sixth of the bytes; a device refuses a configuration that names one. Boards with
    4 MiB of flash have no room for three releases with all drivers.

    Example: tenfold release build out/1.1.0 --release 1.1.0 --counter 2 --model hall

    Example: tenfold release build out/1.2.0 --release 1.2.0 --counter 3 --model hall --image ESP32_GENERIC.bin

    Example: tenfold release build out/1.3.0 --release 1.3.0 --counter 4 --model hall --delta-from out/1.2.0
    """
    chosen = None if image is None else read_application(image)
    flash_bytes = 0 if chosen is None else least_flash(chosen, firmware / "image")
    files = bundle.compile_tree(firmware, fetch_umqtt(), drivers=chosen_drivers(config))
    content = None if chosen is None else chosen.content
    older = delta_from or []
    deltas = {"artifact": delta.to(bundle_format.build(files), [_parts(each)[0] for each in older]),
              "image": [] if content is None else delta.to(content, [part for each in older if (part := _parts(each)[1])])}
    payload, artifact = bundle.manifest_for(
        files, release, counter, model, (from_lowest, max(1, counter - 1)), stone=stone, image=content, deltas=deltas)
    folder.mkdir(parents=True, exist_ok=True)
    _write_deltas(folder / DELTAS, deltas["artifact"] + deltas["image"])
    (folder / MANIFEST).unlink(missing_ok=True)   # an earlier build's: it names other bytes
    (folder / IMAGE).unlink(missing_ok=True)
    (folder / PAYLOAD).write_bytes(payload)
    (folder / ARTIFACT).write_bytes(artifact)
    print(f"{folder}: {len(files)} files, {len(artifact):,} bytes, sha256 {hashlib.sha256(artifact).hexdigest()}")
    if (needs_bytes := room.least_flash(firmware / "image", firmware, files)) > LAYOUTS[-1][0]:
        print(f"tenfold: boards with {LAYOUTS[-1][0] >> 20} MiB of flash have no room for a third such release, and could not be "
              f"updated twice; it needs {needs_bytes >> 20} MiB. Leave drivers out: --config site.json", file=sys.stderr)
    if chosen is not None:
        (folder / IMAGE).write_bytes(chosen.content)
        words = (chosen.chip, chosen.project, chosen.version, f"ESP-IDF {chosen.idf}" if chosen.idf else "")
        print(f"{folder / IMAGE}: {', '.join(word for word in words if word)}; for {flash_bytes >> 20} MiB of flash or more; "
              f"{len(chosen.content):,} bytes, sha256 {hashlib.sha256(chosen.content).hexdigest()}")
    if older:
        Console().print(_delta_table(older, deltas, {"artifact": len(artifact), "image": len(content or b"")}))


@app.command()
def sign(
    folder: Folder,
    key: Annotated[list[Path], typer.Option(help="Release key: PEM file or pkcs11: URI; repeat for a threshold.")],
    add: Annotated[bool, typer.Option("--add", help="Keep the signatures that are there: keys in different hands.")] = False,
) -> None:
    """Sign the manifest; works on a machine without a network. The folder must hold just the parts that it names.

    Example: tenfold release sign out/1.1.0 --key keys/release.pem

    Example: tenfold release sign out/1.1.0 --key ben.pem --add
    """
    payload = (folder / PAYLOAD).read_bytes()
    body = manifest_format.parse(payload)
    artifact, image = _parts(folder)
    check_parts(body, artifact, image, _deltas(folder))
    secret = keys.passphrase()
    signers = [keys.load(path, secret) for path in key]
    raw = _signed_before(folder, payload) if add else envelope(signed.MANIFEST, payload, signers)
    for signer in signers if add else ():
        raw = add_signature(raw, signed.MANIFEST, signer)
    (folder / MANIFEST).write_bytes(raw)
    print(f"{folder / MANIFEST}: {body['release']}, counter {body['counter']}, {_listed(image)}; "
          f"{len(signed.split(raw, signed.MANIFEST)[0])} signatures; manifest {hashlib.sha256(raw).hexdigest()}")


@app.command()
def verify(
    folder: Folder, root: Annotated[Path, typer.Option(help="root.bin, as devices have it.")], delta_from: Older = None,
) -> None:
    """Check a signed release as a device will; each delta is applied to the older release that it starts from.

    Example: tenfold release verify out/1.1.0 --root keys/root.bin

    Example: tenfold release verify out/1.3.0 --root keys/root.bin --delta-from out/1.2.0
    """
    trusted = follow([root.read_bytes()])
    artifact, image = _parts(folder)
    bases = {hashlib.sha256(part).hexdigest(): part for each in delta_from or [] for part in _parts(each) if part}
    verified = verify_release((folder / MANIFEST).read_bytes(), artifact, trusted, image, _deltas(folder), bases.get)
    found, deltas = verified.release, len(verified.deltas)
    print(f"good: {found.release}, counter {found.counter}, models {', '.join(found.models)}, {_listed(image)}"
          + (f", {deltas} delta{'s' if deltas > 1 else ''} applied" if deltas else ""))


@app.command()
def publish(
    folder: Folder, server: Url, ca: Ca, cert: Cert, key: Key,
    allow_stranded: Stranding = False, reason: Why = "",
) -> None:
    """Put a signed release into the server's archive, with its image and its deltas; nobody gets it before a rollout.

    What a delta starts from must be in the archive already: publish the older release first.

    Example: tenfold release publish out/1.1.0 --server https://localhost:8443 --ca pki/ca.pem --cert op.pem --key op.key
    """
    raw = (folder / MANIFEST).read_bytes()
    artifact, image = _parts(folder)
    with connect(server, ca, cert, key) as client:
        published = client.publish(raw, artifact, image, _deltas(folder), allow_stranded=allow_stranded, reason=reason)
    print(json.dumps(published))


@app.command()
def retire(
    manifest: Annotated[str, typer.Argument(help="SHA-256 of the published manifest.")],
    server: Url, ca: Ca, cert: Cert, key: Key,
    reason: Annotated[str, typer.Option(help="Why; kept in the release's history.")],
    allow_stranded: Stranding = False, as_json: AsJson = False,
) -> None:
    """Withdraw one release: offered to nobody any more, not as a stepping stone either. Its rollouts are aborted.

    Example: tenfold release retire 3b2b… --reason "wears out the flash"
    """
    with connect(server, ca, cert, key) as client:
        told = client.retire(manifest, reason, allow_stranded=allow_stranded)
    if as_json:
        print(json.dumps(told))
        return
    print(f"{told['release']} is retired; rollouts aborted: {', '.join(told['aborted']) or 'none'}")
    for each in told["stranded"]:
        print(f"left behind: {each['model']} at counter {each['counter']}, {each['devices']} devices")


@app.command()
def again(
    old: Annotated[Path, typer.Argument(help="Folder of the release whose content is to come again.")],
    new: Annotated[Path, typer.Argument(help="Folder to make.")],
    release: Annotated[str, typer.Option(help='Its new name, e.g. "1.3.1".')],
    counter: Annotated[int, typer.Option(min=1, help="Higher than that of every release so far.")],
    from_lowest: Annotated[int, typer.Option(min=0, help="Lowest counter that may install it directly.")] = 1,
) -> None:
    """Make a release with the content of an older one, byte for byte, to roll back by: counters never fall. Then sign it.

    Example: tenfold release again out/1.1.0 out/1.3.1 --release 1.3.1 --counter 4
    """
    body = manifest_format.parse((old / PAYLOAD).read_bytes())
    artifact, image = _parts(old)
    check_parts(body, artifact, image)
    if counter <= body["counter"]:
        raise typer.BadParameter(f"--counter: got {counter}, expected more than {body['counter']}, which has this content")
    bundle_part, image_part = body["artifact"], body["image"]
    payload = manifest_format.build(
        release, counter, body["models"], (from_lowest, counter - 1), False, body["mpy"],
        (bundle_part["sha256"], bundle_part["size"]), image_part and (image_part["sha256"], image_part["size"]))
    new.mkdir(parents=True)
    (new / PAYLOAD).write_bytes(payload)
    (new / ARTIFACT).write_bytes(artifact)
    if image is not None:
        (new / IMAGE).write_bytes(image)
    print(f"{new}: {release}, counter {counter}, the content of {body['release']}, {_listed(image)}; sign it before you publish it")


def _signed_before(folder: Path, payload: bytes) -> bytes:
    raw = (folder / MANIFEST).read_bytes()
    if signed.split(raw, signed.MANIFEST)[1] != payload:
        raise ReleaseError("release.manifest", f"{folder / MANIFEST}: signs another manifest than {folder / PAYLOAD}")
    return raw


def _parts(folder: Path) -> tuple[bytes, bytes | None]:
    """The bundle and, where there is one, the image of a release's folder."""
    image = folder / IMAGE
    return (folder / ARTIFACT).read_bytes(), image.read_bytes() if image.exists() else None


def _deltas(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / DELTAS).glob("*.bin"))]


def _write_deltas(folder: Path, deltas: list[Delta]) -> None:
    """Those of this build and no others."""
    for path in folder.glob("*.bin"):
        path.unlink()
    if deltas:
        folder.mkdir(exist_ok=True)
    for each in deltas:
        (folder / f"{each.sha256}.bin").write_bytes(each.content)


def _delta_table(older: list[Path], deltas: dict[str, list[Delta]], sizes: dict[str, int]) -> Table:
    """What each older release's devices will fetch."""
    table = Table("from", "part", *map(right, ("bytes", "delta", "share")))
    for folder in older:
        name = manifest_format.parse((folder / PAYLOAD).read_bytes())["release"]
        for part, base in zip(("artifact", "image"), _parts(folder), strict=True):
            if base is None or not sizes[part]:
                continue
            base_name = hashlib.sha256(base).hexdigest()
            found = next((len(each.content) for each in deltas[part] if each.base == base_name), None)
            shown = ("none: not half as large", "") if found is None else (f"{found:,}", f"{100 * found / sizes[part]:.2f} %")
            table.add_row(name, part, f"{sizes[part]:,}", *shown)
    return table


def _listed(image: bytes | None) -> str:
    return "bundle alone" if image is None else "bundle and image"
