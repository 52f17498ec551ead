"""MicroPython's own images, pinned: the file that a board is built from is the one whose SHA-256 stands in the lock file, or none.

`firmware/image/stock.lock.json` says for each image name (ESP32_GENERIC, ESP32_GENERIC-SPIRAM) which file, with which hash, and who
looked at it. A hash comes into it by `pin` alone, from a file that is there: nobody writes one down from memory. What is cached or
downloaded is used only if it has that hash. Knows nothing of what is in an image (esp_image.py does).
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from provisioning.line.fetch import FetchError

OFFICIAL = "https://micropython.org/resources/firmware/"
PAGE = "https://micropython.org/download/"
FOLDER = Path("build/stock")
TIMEOUT_S = 60            # of each network operation
MAX_BYTES = 16 << 20      # of an image: no larger flash is common
FILE_NAME = re.compile(r"(?P<image>[A-Z0-9_]+(?:-[A-Z0-9_]+)?)-(?P<date>\d{8})-(?P<version>v[0-9][0-9A-Za-z.+-]*)\.bin")


@dataclass(frozen=True)
class Pin:
    """One image. `why`: who looked at it, how."""

    file: str
    sha256: str
    why: str


def read_lock(lock: Path) -> dict[str, Pin]:
    """Every pinned image by its name.

    Raises:
        FetchError: the file is not what `pin` wrote.
    """
    if not lock.is_file():
        return {}
    try:
        return {name: Pin(**said) for name, said in json.loads(lock.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise FetchError(f"stock.lock: {lock}: {error}; expected what `tenfold image pin` wrote") from None


def pin(lock: Path, name: str, image: Path, why: str) -> Pin:
    """Enter a file as the image of that name.

    Raises:
        FetchError: its name is not that of such an image, as the download page has it.
    """
    found = FILE_NAME.fullmatch(image.name)
    if not found or found["image"] != name:
        raise FetchError(f"stock.name: got {image.name}, expected {name}-<date>-<version>.bin, as {PAGE} has it")
    new = Pin(image.name, hashlib.sha256(image.read_bytes()).hexdigest(), why)
    write_lock(lock, {**read_lock(lock), name: new})
    return new


def write_lock(lock: Path, pins: Mapping[str, Pin]) -> None:
    partial = lock.with_name(lock.name + ".tmp")
    partial.write_text(json.dumps({name: asdict(pins[name]) for name in sorted(pins)}, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, lock)


def obtain(name: str, lock: Path, folder: Path = FOLDER, base: str = OFFICIAL) -> Path:
    """The pinned image of that name: the copy in `folder`, or else downloaded there.

    Raises:
        FetchError: none is pinned, it cannot be reached, or what is there is another. Says what to fetch and where to put it.
    """
    known = read_lock(lock).get(name)
    if known is None:
        raise FetchError(f"stock.unpinned: no {name} image is pinned. Download {name}-<date>-<version>.bin (no .app-bin, no .uf2) "
                         f"from {PAGE}{name.partition('-')[0]}/ and name it (--stock, or make image STOCK=…); "
                         "to pin it for everybody: tenfold image pin")
    place = folder / known.file
    if place.is_file():
        _same(place, known, f"delete it, or put the right one there from {base}{known.file}")
        return place
    folder.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(place.name + ".tmp")
    try:
        _download(base + known.file, partial)
        _same(partial, known, "it is not the file that was pinned: do not flash it")
        os.replace(partial, place)
    except requests.RequestException as error:
        raise FetchError(f"stock.offline: {base}{known.file} cannot be reached ({type(error).__name__}). Fetch it on another "
                         f"machine, SHA-256 {known.sha256}, and put it at {place}") from error
    finally:
        partial.unlink(missing_ok=True)
    return place


def check_named(image: Path, lock: Path) -> None:
    """Refuse a file that bears a pinned file's name and is another; one of any other name is the user's own choice.

    Raises:
        FetchError: with both hashes.
    """
    for known in read_lock(lock).values():
        if image.name == known.file and image.is_file():
            _same(image, known, "fetch it again, or give it another name if it is yours")


def _same(path: Path, known: Pin, advice: str) -> None:
    got = hashlib.sha256(path.read_bytes()).hexdigest()
    if got != known.sha256:
        raise FetchError(f"stock.hash: {path}: SHA-256 is {got}, expected {known.sha256}; {advice}")


def _download(url: str, to: Path) -> None:
    with requests.get(url, timeout=TIMEOUT_S, stream=True) as answer, to.open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_content(1 << 16):
            if file.tell() > MAX_BYTES:
                raise FetchError(f"stock.size: {url}: more than {MAX_BYTES} bytes: no image")
            file.write(piece)
