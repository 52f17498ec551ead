"""What a device's file system holds in its life: the factory's release, the one that runs, and the next one beside them.

Decides which files these are; how many blocks they take is found by laying them out as MicroPython does.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from node.wire import bundle as bundle_format
from ota.release.bundle import MPY_VERSION
from provisioning.line.esp_image import LAYOUTS
from provisioning.line.image import SECTOR_BYTES, ImageError, base_files, build_flash, compact, read_partitions, vfs_used

STATE_BYTES = 4000   # of certificates, key and root beside the releases: a line's, with room
LONGEST_MODEL = "m" * 16
SPARE_BYTES = 4 * SECTOR_BYTES   # littlefs writes anew before it frees: a folder's two blocks, a small file, a file's end


def used_bytes(csv: Path, firmware: Path, files: Mapping[str, bytes], model: str = LONGEST_MODEL, site: bytes = b"{}") -> int:
    """Bytes of the blocks that are taken with this release in all three slots.

    Args:
        csv: the partition table. firmware: the folder with the boot files.
        files: path in the bundle -> .mpy. site: the device's site.json.

    Raises:
        ImageError: they do not fit, or the table is unusable.
    """
    digest = hashlib.sha256(b"").hexdigest()
    record = {"release": "10.10.10", "counter": 1000, "manifest": digest, "model": model, "mpy": MPY_VERSION}
    artifact = bundle_format.build(dict(files))
    vfs = base_files(firmware, files, record)
    for slot in ("/slots/a", "/slots/b"):
        vfs |= {f"{slot}/bundle": artifact, f"{slot}/release.json": compact(record), f"{slot}/part": digest.encode()}
    vfs |= {"/state/site.json": site, "/trust/rest": bytes(STATE_BYTES)}
    return vfs_used(build_flash(csv, vfs))


def least_flash(folder: Path, firmware: Path, files: Mapping[str, bytes]) -> int:
    """Bytes of the smallest flash whose layout in `folder` (firmware/image) has room for three such releases.

    Raises:
        ImageError: there is none.
    """
    for flash_bytes, name in reversed(LAYOUTS):
        size = next(one.size for one in read_partitions(folder / name) if one.label == "vfs")
        try:
            if used_bytes(folder / name, firmware, files) + SPARE_BYTES <= size:
                return flash_bytes
        except ImageError:   # too many bytes even for littlefs
            continue
    raise ImageError(f"release: {sum(map(len, files.values()))} bytes; no board of ours has room for three such")
