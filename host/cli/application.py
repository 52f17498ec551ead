"""The image that a release brings: an ESP32 application, as a file of its own or out of a stock image.

Decides which are of a size that a release may bring; reading and checking is `provisioning.line.esp_image`'s, and so esptool's. The
OTA part names an image by its hash and does not look into it.
"""

from pathlib import Path

from node.wire.manifest import MAX_ARTIFACT_BYTES, MIN_IMAGE_BYTES
from provisioning.line import esp_image
from provisioning.line.image import ImageError, read_partitions


def read_application(path: Path) -> esp_image.Application:
    """Read an application that a manifest may name; see `esp_image.read_application`.

    Raises:
        ImageError: as there, or its size is not one that a manifest may name.
    """
    found = esp_image.read_application(path)
    if not MIN_IMAGE_BYTES <= len(found.content) <= MAX_ARTIFACT_BYTES:
        raise ImageError(f"{path}: got an application of {len(found.content)} bytes, expected {MIN_IMAGE_BYTES} to "
                         f"{MAX_ARTIFACT_BYTES}: MicroPython for a chip takes about 1.6 million")
    return found


def least_flash(application: esp_image.Application, folder: Path) -> int:
    """Bytes of the smallest flash whose layout in `folder` (firmware/image) has room for the application.

    Raises:
        ImageError: there is none.
    """
    room = 0
    for flash_bytes, name in reversed(esp_image.LAYOUTS):
        room = min(one.size for one in read_partitions(folder / name) if one.type == "app")
        if len(application.content) <= room:
            return flash_bytes
    raise ImageError(f"image: got {len(application.content)} bytes, expected at most {room}: the OTA partitions of "
                     f"{folder / esp_image.LAYOUTS[0][1]}")
