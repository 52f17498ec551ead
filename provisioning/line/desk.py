"""The code on a board at the desk, brought up to date over its serial port with the real mpremote: what changed, and no more.

Decides what is copied, and in which order: the slot is never complete with a bundle that is not its own. Only a board at its prompt
takes files; one that has its site listens to nobody (firmware/DESIGN.md, "On the line") and is updated over the air.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line.contents import FACTORY
from provisioning.line.mpremote import mpremote

BUNDLE = "/factory/bundle"
READ_BYTES = 512
HASHES = """
import binascii, hashlib, json
def digest(path):
    sha = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while data := file.read({size}):
                sha.update(data)
    except OSError:
        return ""
    return binascii.hexlify(sha.digest()).decode()
print("HASHES", json.dumps([digest(path) for path in {paths}]))
"""


def update(port: str, files: Mapping[str, bytes]) -> list[str]:
    """Write the files that differ, and reset the board. Cut off anywhere, the same call does the rest.

    Args:
        files: of `provisioning.line.image.base_files`, by absolute path.

    Returns:
        The paths that were written; none when all were as they should be.

    Raises:
        ProvisioningError: as `mpremote`.
    """
    there = hashes(port, sorted(files))
    changed = [path for path in sorted(files) if there[path] != hashlib.sha256(files[path]).hexdigest()]
    if BUNDLE in changed and FACTORY not in changed:
        changed.append(FACTORY)   # it goes before the bundle is touched
    changed.sort(key=lambda path: (path == FACTORY, path == BUNDLE))   # and comes last
    with tempfile.TemporaryDirectory() as folder:
        words: list[str] = []
        if FACTORY in changed and there[FACTORY]:
            words += ["fs", "rm", f":{FACTORY}", "+"]
        for number, path in enumerate(changed):
            place = Path(folder) / str(number)
            place.write_bytes(files[path])
            words += ["fs", "cp", "-f", str(place), f":{path}", "+"]
        mpremote(port, [*words, "reset"])
    return changed


def hashes(port: str, paths: list[str]) -> dict[str, str]:
    """SHA-256 of files on a board, by path; "" where there is none.

    Raises:
        ProvisioningError: as `mpremote`, "board.prompt".
    """
    said = mpremote(port, ["exec", HASHES.format(size=READ_BYTES, paths=json.dumps(paths))])
    for line in said.splitlines():
        if line.startswith("HASHES "):
            return dict(zip(paths, json.loads(line[len("HASHES "):]), strict=True))
    raise ProvisioningError("board.prompt", f"{port}: the board did not tell its files' hashes; try again")
