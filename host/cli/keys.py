"""`tenfold keys`: the keys that decide what devices run, and the roots that name them."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli import keyring
from host.cli.keyring import Named, named, root_file
from host.cli.server import AsJson, Ca, Cert, Key, Url, connect
from node.wire import root as root_format
from node.wire import signed
from ota.release import keys, roots
from ota.release.verify import Root, follow

app = typer.Typer(no_args_is_help=True, help="Keys of roots, releases and directions.")
Folder = Annotated[Path, typer.Argument(help="The folder with root.bin, the roots after it and the keys that are here.")]
RootFile = Annotated[Path, typer.Argument(help="A root, e.g. keys/root-2.bin; those before it lie beside it.", exists=True)]
Place = Annotated[Path, typer.Argument(help="PEM file, or pkcs11: URI of a key in an HSM.")]
SignKey = Annotated[list[Path] | None, typer.Option(
    "--key", help="Private root key that signs: file or pkcs11: URI; repeat. Default: all that fit in the folder.")]
Given = Annotated[list[Path] | None, typer.Option(
    help="List this key and make none for its role: private, somebody's public one, or a pkcs11: URI; repeat.")]
NewKey = Annotated[Path | None, typer.Option(
    "--new", help="Key to list: private, somebody's public one, or a pkcs11: URI. Default: a new file is made.")]
Threshold = Annotated[int | None, typer.Option(min=1, help="How many of the role's keys must agree from now on.")]


@app.callback()
def group() -> None:
    """Keys of roots, releases and directions."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New folder for the keys; keep it off the servers.")],
    root_keys: Annotated[int, typer.Option(min=1, max=root_format.MAX_KEYS, help="Root keys to make.")] = 1,
    root_threshold: Annotated[int, typer.Option(min=1, help="How many root keys must agree on a new root.")] = 1,
    release_keys: Annotated[int, typer.Option(min=1, max=root_format.MAX_KEYS, help="Release keys to make.")] = 1,
    release_threshold: Annotated[int, typer.Option(min=1, help="How many release keys must agree on a release.")] = 1,
    root_key: Given = None, release_key: Given = None, direction_key: Given = None,
    as_json: AsJson = False,
) -> None:
    """Make a root, a release and a direction key, and the root that devices are born with.

    Only direction.pem goes to the OTA server; root.pem and release.pem stay offline. A passphrase for the files comes from
    TENFOLD_KEY_PASSPHRASE_FILE or TENFOLD_KEY_PASSPHRASE; without one they are not encrypted.

    Example: tenfold keys init keys

    Example: tenfold keys init keys --root-keys 3 --root-threshold 2

    Example: tenfold keys init keys --root-key anna.pub --root-key ben.pem --root-threshold 2 --release-key "pkcs11:…"
    """
    given = {"root": root_key or [], "release": release_key or [], "direction": direction_key or []}
    numbers = {"root": root_keys, "release": release_keys, "direction": 1}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = {role: [named(place) for place in places] or _made(folder, role, numbers[role]) for role, places in given.items()}
    fresh = [key for found in held.values() for key in found]
    points = {role: [each.point for each in found] for role, found in held.items()}
    payload = root_format.build(1, {
        "root": (points["root"], root_threshold), "release": (points["release"], release_threshold),
        "direction": (points["direction"], 1)})
    path, raw = keyring.write_root(folder, payload, None, [each.signer for each in held["root"] if each.signer], fresh)
    if keys.passphrase() is None and any(each.fresh for each in fresh):
        print(f"{folder}: the keys are not encrypted; {keys.PASSPHRASE_FILE_ENV} names a file with a passphrase", file=sys.stderr)
    _told(path, raw, None, as_json,
          "root.bin goes into devices' images and to the OTA server, direction.pem to the OTA server, the rest into a safe")


@app.command()
def make(path: Annotated[Path, typer.Argument(help="New private key; PATH.pub beside it is for others.")]) -> None:
    """Make a key for a holder of their own. Only PATH.pub is handed on. Example: tenfold keys make anna.pem."""
    key = keys.generate(path, keys.passphrase())
    with path.with_suffix(".pub").open("xb") as file:
        file.write(keys.public_pem(key))
    print(f"{path}: private, yours alone; {path.with_suffix('.pub')}: public, {roots.key_name(keys.public65(key))}")


@app.command()
def public(place: Place) -> None:
    """Print the public key of a private one, also of one in an HSM. Example: tenfold keys public "pkcs11:…" > anna.pub."""
    print(keys.public_pem(keys.load(place, keys.passphrase())).decode(), end="")


@app.command()
def rotate(
    folder: Folder,
    role: Annotated[str, typer.Argument(help="root, release or direction.")],
    old: Annotated[str | None, typer.Option(
        help="Key to replace: its file, or its name in `show`. Default: the role's only one.")] = None,
    new: NewKey = None,
    keep: Annotated[bool | None, typer.Option(
        "--keep/--drop", help="List the old key too. Default: keep a direction key until the servers have changed over.")] = None,
    threshold: Threshold = None, key: SignKey = None, as_json: AsJson = False,
) -> None:
    """Make the next root, with a new key in the place of an old one, signed by the root keys of before and after.

    Releases that only a dropped release key signed are withdrawn by the new root: sign those that devices still need with
    the new key, and publish them once more.

    Example: tenfold keys rotate keys release

    Example: tenfold keys rotate keys root --old 3f9c2a17 --new ben.pub
    """
    if role not in root_format.ROLES:
        raise typer.BadParameter(f"got {role}, expected one of {', '.join(root_format.ROLES)}")
    trusted = keyring.newest(folder)
    listed = roots.roles_of(trusted)[role][0]
    if old is None and len(listed) > 1:
        raise typer.BadParameter(f"--old: role {role} has {len(listed)} keys: {', '.join(map(roots.key_name, listed))}")
    gone = listed[0] if old is None else _listed(trusted, old)[1]
    keep = role == "direction" if keep is None else keep
    fresh = named(new) if new else _fresh(folder, trusted, role)
    changed = roots.changed(trusted, role, add=fresh.point, drop=None if keep else gone, threshold=threshold)
    after = {
        "direction": f"restart the OTA server with the new direction_key, then tenfold keys revoke {folder} {roots.key_name(gone)}",
        "release": "sign with the new key the releases that devices still need, and publish them again",
        "root": "the old key signs no root after this one",
    }[role]
    _next(folder, trusted, changed, trusted["min_counter"], [fresh], key, as_json, after)


@app.command()
def revoke(
    folder: Folder,
    gone: Annotated[str, typer.Argument(
        metavar="KEY", help="The key to drop: its file (also in FOLDER), its URI, or its name in `show`.")],
    min_counter: Annotated[int, typer.Option(min=0, help="Withdraw all releases below this counter for good.")] = 0,
    new: NewKey = None, threshold: Threshold = None, key: SignKey = None, as_json: AsJson = False,
) -> None:
    """Make the next root without a key, and with --min-counter without what it may have signed.

    After a theft: choose a counter above every release that the thief may have signed. A new key is made where the role needs one.

    Example: tenfold keys revoke keys release.pem --min-counter 12
    """
    trusted = keyring.newest(folder)
    role, point = _listed(trusted, str(folder / gone) if (folder / gone).is_file() else gone)
    listed, need = roots.roles_of(trusted)[role]
    if role == "direction" and len(listed) == 1:
        raise typer.BadParameter(f"the servers' only direction key: first tenfold keys rotate {folder} direction, "
                                 "so that they have another one to change to")
    short = len(listed) - 1 < (need if threshold is None else threshold)
    fresh = [named(new)] if new else [_fresh(folder, trusted, role)] if short else []
    changed = roots.changed(trusted, role, add=fresh[0].point if fresh else None, drop=point, threshold=threshold)
    _next(folder, trusted, changed, max(min_counter, trusted["min_counter"]), fresh, key, as_json,
          "devices obey it from their next check-in on")


@app.command()
def sign(path: RootFile, key: Annotated[list[Path], typer.Option(help="Private root key: file or pkcs11: URI; repeat.")],
         as_json: AsJson = False) -> None:
    """Add signatures to a root, when the keys of a threshold lie in different hands.

    Example: tenfold keys sign keys/root-2.bin --key ben.pem
    """
    raw, trusted = keyring.before(path)
    secret = keys.passphrase()
    raw = roots.with_signatures(raw, trusted, [keys.load(place, secret) for place in key])
    path.write_bytes(raw)
    _told(path, raw, trusted, as_json, "devices obey it from their next check-in on")


@app.command()
def show(folder: Folder, as_json: AsJson = False) -> None:
    """Show the roots of a folder, the keys they list, and who has signed."""
    shown: list[dict[str, Any]] = []
    trusted: Root | None = None
    for version, raw in enumerate(keyring.chain(folder), 1):
        shown.append(_shown(root_file(folder, version), raw, trusted))
        if shown[-1]["complete"]:
            trusted = follow([raw], trusted)
    if as_json:
        print(json.dumps(shown))
        return
    table = Table("root", "role", "threshold", "keys", "signed")
    for root in shown:
        signed_by = ", ".join(f"{each['have']} of {each['need']} of root {each['version']}" for each in root["signatures"])
        for number, (role, body) in enumerate(root["roles"].items()):
            first = (f"{root['version']}, floor {root['min_counter']}", signed_by) if not number else ("", "")
            table.add_row(first[0], role, f"{body['threshold']} of {len(body['keys'])}", "\n".join(body["keys"]), first[1])
    Console().print(table)


@app.command()
def publish(path: RootFile, server: Url, ca: Ca, cert: Cert, key: Key, as_json: AsJson = False) -> None:
    """Hand a signed root to the server, which hands it on to every device.

    Example: tenfold keys publish keys/root-2.bin --server https://localhost:8443 --ca pki/ca.pem --cert op.pem --key op.key
    """
    raw, trusted = keyring.before(path)
    root = follow([raw], trusted)   # told here, in the keys' own words, before anything leaves the house
    with connect(server, ca, cert, key) as client:
        answer = client.add_root(raw)
    if as_json:
        print(json.dumps(answer))
        return
    print(f"root {root['version']} is in force; releases below counter {root['min_counter']} are withdrawn")


def _made(folder: Path, role: str, number: int) -> list[Named]:
    names = [f"{role}.pem"] if number == 1 else [f"{role}-{index}.pem" for index in range(1, number + 1)]
    return [keyring.made(folder / name) for name in names]


def _fresh(folder: Path, trusted: Root, role: str) -> Named:
    return keyring.made(folder / f"{role}-of-root-{trusted['version'] + 1}.pem")


def _listed(trusted: Root, name: str) -> tuple[str, bytes]:
    """A key of a root, by its file, its pkcs11: URI or the name that `show` gives it."""
    is_place = name.startswith(keys.HSM_SCHEME) or Path(name).is_file()
    return roots.find(trusted, name, named(Path(name)).point if is_place else None)


def _next(
    folder: Path, trusted: Root, changed: roots.Roles, floor: int, fresh: list[Named], given: list[Path] | None, as_json: bool,
    after: str,
) -> None:
    payload = root_format.build(trusted["version"] + 1, dict(changed), floor)
    secret = keys.passphrase()
    found = [keys.load(place, secret) for place in given] if given else keyring.signers(folder, trusted)
    found += [each.signer for each in fresh if each.signer and each.point in changed["root"][0]]
    path, raw = keyring.write_root(folder, payload, trusted, found, fresh)
    _told(path, raw, trusted, as_json, after)


def _shown(path: Path, raw: bytes, trusted: Root | None) -> dict[str, Any]:
    root = root_format.parse(signed.split(raw, signed.ROOT)[1])
    counted = roots.quorums(raw, trusted)
    return {
        "file": str(path), "version": root["version"], "min_counter": root["min_counter"],
        "complete": all(each.have >= each.need for each in counted),
        "signatures": [{"version": each.version, "have": each.have, "need": each.need, "missing": list(each.missing)}
                       for each in counted],
        "roles": {role: {"threshold": need, "keys": [roots.key_name(key) for key in listed]}
                  for role, (listed, need) in roots.roles_of(root).items()},
    }


def _told(path: Path, raw: bytes, trusted: Root | None, as_json: bool, after: str) -> None:
    """Tell what was made and what comes next: who has to sign, else publishing it (all but the first), else `after`."""
    shown = _shown(path, raw, trusted)
    if trusted is not None:
        after = f"tenfold keys publish {path}; {after}"
    if not shown["complete"]:
        lacking = {name for each in shown["signatures"] if each["have"] < each["need"] for name in each["missing"]}
        after = f"tenfold keys sign {path} --key … by holders of {', '.join(sorted(lacking))}"
    if as_json:
        print(json.dumps(shown | {"next": after}))
        return
    roles = "; ".join(f"{role} {body['threshold']} of {len(body['keys'])}" for role, body in shown["roles"].items())
    counted = ", ".join(f"{each['have']} of {each['need']} signatures of root {each['version']}" for each in shown["signatures"])
    print(f"{path}: root {shown['version']}, {roles}, floor {shown['min_counter']}; {counted}")
    print(f"next: {after}")
