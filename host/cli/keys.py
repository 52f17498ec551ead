"""`tenfold keys`: the keys that decide what devices run."""

from pathlib import Path
from typing import Annotated

import typer

from ota.release import keys
from ota.release.sign import first_root

app = typer.Typer(no_args_is_help=True, help="Keys of roots, releases and directions.")
ROLES = ("root", "release", "direction")


@app.callback()
def group() -> None:
    """Keys of roots, releases and directions."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="New folder for the keys; keep it off the servers.")]) -> None:
    """Make a root, a release and a direction key, and the root that devices are born with.

    Only direction.pem goes to the OTA server; root.pem and release.pem stay offline. A passphrase for the files comes from
    TENFOLD_KEY_PASSPHRASE_FILE or TENFOLD_KEY_PASSPHRASE.

    Example: tenfold keys init keys
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = keys.passphrase()
    made = {role: keys.generate(folder / f"{role}.pem", secret) for role in ROLES}
    root = first_root([made["root"]], [keys.public65(made["release"])], [keys.public65(made["direction"])])
    (folder / "root.bin").write_bytes(root)
    print(f"{folder}: {', '.join(f'{role}.pem' for role in ROLES)}, root.bin")
    print("next: root.bin goes into devices' images and to the OTA server, direction.pem to the OTA server, the rest into a safe")
