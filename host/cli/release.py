"""`tenfold release`: build, sign, verify and publish what devices run."""

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from host.cli.server import Ca, Cert, Key, Url, connect
from host.sim.plant import FIRMWARE
from node.wire import signed
from ota.release import bundle, keys
from ota.release.sign import envelope
from ota.release.verify import follow, verify_release
from provisioning.line.fetch import fetch_umqtt

app = typer.Typer(no_args_is_help=True, help="Build, sign, verify and publish releases.")
PAYLOAD, MANIFEST, ARTIFACT = "manifest.json", "manifest.bin", "artifact.bin"   # files of a release's folder
Folder = Annotated[Path, typer.Argument(help="The release's folder.")]


@app.command()
def build(
    folder: Folder,
    release: Annotated[str, typer.Option(help='Its name, e.g. "1.1.0".')],
    counter: Annotated[int, typer.Option(min=1, help="Rises with every release; versions are compared by it.")],
    model: Annotated[list[str], typer.Option(help="Device model; repeat for several.")],
    from_lowest: Annotated[int, typer.Option(min=0, help="Lowest counter that may install it directly.")] = 1,
    stone: Annotated[bool, typer.Option("--stone", help="Older devices must pass through it.")] = False,
    firmware: Annotated[Path, typer.Option(help="The firmware's folder.")] = FIRMWARE,
) -> None:
    """Compile the firmware into a bundle; needs no key.

    Example: tenfold release build out/1.1.0 --release 1.1.0 --counter 2 --model hall
    """
    files = bundle.compile_tree(firmware, fetch_umqtt())
    payload, artifact = bundle.manifest_for(files, release, counter, model, (from_lowest, max(1, counter - 1)), stone=stone)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAYLOAD).write_bytes(payload)
    (folder / ARTIFACT).write_bytes(artifact)
    print(f"{folder}: {len(files)} files, {len(artifact):,} bytes, sha256 {hashlib.sha256(artifact).hexdigest()}")


@app.command()
def sign(folder: Folder, key: Annotated[list[Path], typer.Option(help="PEM release key; repeat for a threshold.")]) -> None:
    """Sign the manifest; works on a machine without a network.

    Example: tenfold release sign out/1.1.0 --key keys/release.pem
    """
    secret = keys.passphrase()
    raw = envelope(signed.MANIFEST, (folder / PAYLOAD).read_bytes(), [keys.load(path, secret) for path in key])
    (folder / MANIFEST).write_bytes(raw)
    print(f"{folder / MANIFEST}: manifest {hashlib.sha256(raw).hexdigest()}")


@app.command()
def verify(folder: Folder, root: Annotated[Path, typer.Option(help="root.bin, as devices have it.")]) -> None:
    """Check a signed release as a device will.

    Example: tenfold release verify out/1.1.0 --root keys/root.bin
    """
    trusted = follow([root.read_bytes()])
    found = verify_release((folder / MANIFEST).read_bytes(), (folder / ARTIFACT).read_bytes(), trusted)
    print(f"good: {found.release.release}, counter {found.release.counter}, models {', '.join(found.release.models)}")


@app.command()
def publish(folder: Folder, server: Url, ca: Ca, cert: Cert, key: Key) -> None:
    """Put a signed release into the server's archive; nobody gets it before a rollout.

    Example: tenfold release publish out/1.1.0 --server https://localhost:8443 --ca pki/ca.pem --cert op.pem --key op.key
    """
    with connect(server, ca, cert, key) as client:
        published = client.publish((folder / MANIFEST).read_bytes(), (folder / ARTIFACT).read_bytes())
    print(json.dumps(published))
