"""The image that a release brings: an ESP32 application, as a file of its own or out of a stock image.

Decides which files are one; reading and checking is `provisioning.line.esp_image`'s, and so esptool's. The OTA part names an
image by its hash and does not look into it.
"""

from dataclasses import dataclass
from pathlib import Path

from node.wire.manifest import MAX_ARTIFACT_BYTES, MIN_IMAGE_BYTES
from provisioning.line import esp_image
from provisioning.line.image import ImageError, read_partitions


@dataclass(frozen=True)
class Application:
    """An application, checked. The texts are its own words and may be empty."""

    content: bytes
    chip: str
    version: str
    project: str
    idf: str


def read_application(path: Path) -> Application:
    """Read an application from a file that holds nothing else, or take it out of a stock image.

    A file of its own stays as it is, with what may follow the application in it: a secure boot signature.

    Raises:
        ImageError: it is missing, neither of the two, cut off, damaged, or not of a size that a manifest may name.
    """
    raw = path.read_bytes() if path.is_file() else b""
    found = _alone(path, raw) if raw.startswith(esp_image.IMAGE_MAGIC) else None
    if found is None:
        stock = esp_image.read_stock(path)
        found = Application(stock.app, stock.chip, stock.version, stock.project, stock.idf)
    if not MIN_IMAGE_BYTES <= len(found.content) <= MAX_ARTIFACT_BYTES:
        raise ImageError(f"{path}: got an application of {len(found.content)} bytes, expected {MIN_IMAGE_BYTES} to "
                         f"{MAX_ARTIFACT_BYTES}: MicroPython for a chip takes about 1.6 million")
    return found


def least_flash(application: Application, folder: Path) -> int:
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


def _alone(path: Path, raw: bytes) -> Application | None:
    image, _ = esp_image._image(raw, str(path))
    described = esp_image._descriptor(image)
    return None if described is None else Application(raw, esp_image._chip(image.chip_id, path), *described)
