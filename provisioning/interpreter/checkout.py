"""The pinned MicroPython on this machine: cloned once, and compared with the pin before each build.

firmware/image/micropython.json says tag, commit and ESP-IDF's version. A tag can be moved; the commit decides. Builds nothing.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from host.settings import Settings
from node.errors import CallerError

FOLDER = Path("build/micropython")
CLONE_TIMEOUT_S = 1800
GIT_TIMEOUT_S = 120
MAY_CHANGE = (":(exclude)ports/esp32/lockfiles",)   # the build writes them
class Bound(Settings):
    """No interpreter of that chip is larger. `why`: how that is known."""

    bytes: int = Field(gt=0)
    why: Annotated[str, StringConstraints(min_length=1)]


class Pin(Settings):
    """What is built, with what. `idf`: ESP-IDF's tag, `container` its image's name. `interpreter_bytes`: by chip, where known."""

    repository: Annotated[str, StringConstraints(pattern=r"^https://")]
    tag: Annotated[str, StringConstraints(pattern=r"^v\d+\.\d+(\.\d+)?$")]
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    idf: Annotated[str, StringConstraints(pattern=r"^v\d+\.\d+(\.\d+)?$")]
    container: Annotated[str, StringConstraints(min_length=1)]
    interpreter_bytes: dict[str, Bound] = Field(default_factory=dict)


def read_pin(path: Path) -> Pin:
    """Raises CallerError `firmware.pin`: the file has another shape."""
    try:
        return Pin.model_validate(json.loads(path.read_bytes()))
    except (ValidationError, ValueError) as error:
        raise CallerError("firmware.pin", f"{path}: {error}") from None


def run(command: Sequence[str], timeout_s: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)


def obtain(pin: Pin, folder: Path = FOLDER) -> Path:
    """The checkout in `folder`: the one that is there, or else cloned; its commit is the pinned one and no file is changed.

    Raises:
        CallerError: `firmware.tool` (no git), `firmware.offline`, `firmware.commit`, `firmware.changed`. Says what to fetch and
            where to put it.
    """
    place = folder / pin.tag
    if not (place / ".git").exists():
        _clone(pin, place)
    got = _git(place, "rev-parse", "HEAD").stdout.strip()
    if got != pin.commit:
        raise CallerError("firmware.commit", f"{place}: is at {got}, expected {pin.commit} ({pin.tag}); remove the folder and run "
                                             "the same command again. Is it so again, then the tag was moved: do not build it")
    changed = _git(place, "diff", "--name-only", "--ignore-submodules=all", "HEAD", "--", ".", *MAY_CHANGE).stdout.split()
    if changed:
        raise CallerError("firmware.changed", f"{place}: {changed[0]} is changed, {len(changed)} in all; the pinned sources come "
                                              f"back with: git -C {place} checkout .")
    return place


def _clone(pin: Pin, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(place.name + ".tmp")
    command = ["git", "clone", "--quiet", "--depth", "1", "--branch", pin.tag, pin.repository, str(partial)]
    try:
        shutil.rmtree(partial, ignore_errors=True)   # of a clone that was broken off
        done = run(command, CLONE_TIMEOUT_S)
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no end after {CLONE_TIMEOUT_S} s", True
    except FileNotFoundError:
        raise CallerError("firmware.tool", "git is not installed; install it (Debian: apt-get install git)") from None
    if failed:
        raise CallerError("firmware.offline", f"{pin.repository} cannot be cloned ({said}). On a machine with the network: git "
                                              f"clone --recurse-submodules --branch {pin.tag} {pin.repository}, commit "
                                              f"{pin.commit}; put the folder at {place}")
    partial.rename(place)


def _git(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = run(["git", "-C", str(place), *words], GIT_TIMEOUT_S)
    if done.returncode != 0:
        raise CallerError("firmware.checkout", f"{place}: git {words[0]}: {done.stderr.strip()}; remove the folder and run "
                                               "the same command again")
    return done
