"""The build of our own MicroPython image: which commands, run one after the other, and whether what comes out is what was meant.

The commands are the port's own (make of ports/esp32, which calls idf.py), in Espressif's container or in a local ESP-IDF of the
pinned version. Decides nothing about the board (definition.py).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.errors import CallerError
from provisioning.interpreter.check import smallest_slot
from provisioning.interpreter.checkout import Pin
from provisioning.interpreter.definition import FOLDER, RECORD
from provisioning.line.esp_image import Stock, read_stock
from provisioning.line.image import ImageError, read_partitions

PORT = "ports/esp32"
INSIDE = "/micropython"   # where the container sees the checkout
NINJA = re.compile(r"^\[(\d+)/(\d+)\]")   # progress of the compiler
VERSION = re.compile(r"set\(IDF_VERSION_(MAJOR|MINOR|PATCH) (\d+)\)")
LAST_LINES = 12           # of a failed step, to be shown
MARK = f"{FOLDER}/{RECORD}".encode()   # in an image whose agent is frozen: names of frozen modules stand in it as text
CONTAINERS = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `what`: shown while it runs."""

    what: str
    command: list[str]


def tool(pin: Pin, idf: Path | None, container: str | None) -> str:
    """What the build runs in: a container's program, or "" for the ESP-IDF at `idf`. Neither named: the container that is there.

    Raises:
        CallerError: `firmware.tool`, `firmware.idf`.
    """
    if idf is not None:
        got = idf_version(idf)
        if got != pin.idf:
            raise CallerError("firmware.idf", f"{idf}: is ESP-IDF {got}, expected {pin.idf}: check that tag out, "
                                              "with submodules, and run its install.sh; or use --container")
        return ""
    if container is not None and container not in CONTAINERS:
        raise CallerError("firmware.tool", f"container: got {container!r}, expected {' or '.join(CONTAINERS)}")
    for name in (container,) if container else CONTAINERS:
        if shutil.which(name):
            return name
    raise CallerError("firmware.tool", f"{container or ' or '.join(CONTAINERS)}: not installed; install it, or name a local "
                                       f"ESP-IDF {pin.idf}: --idf PATH (make firmware … IDF=PATH)")


def idf_version(idf: Path) -> str | None:
    """As its tags are: v5.5.1; None where there is no ESP-IDF."""
    file = idf / "tools/cmake/version.cmake"
    parts = dict(VERSION.findall(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    return "v" + ".".join(parts[key] for key in ("MAJOR", "MINOR", "PATCH")) if len(parts) == 3 else None


def steps(pin: Pin, name: str, checkout: Path, container: str, idf: Path | None, user: tuple[int, int]) -> list[Step]:
    """The commands, in order.

    Args:
        name: of the board's definition. container: from `tool`. user: who is to own what a container writes.
    """
    root = INSIDE if container else str(checkout.resolve())
    port = ["make", "-C", f"{root}/{PORT}", f"BOARD={name}"]
    wanted = [Step("fetch the port's submodules", [*port, "submodules"]),
              Step("compile mpy-cross", ["make", "-C", f"{root}/mpy-cross"]),
              Step("compile the image", port)]
    before = _in_container(pin, checkout, container, user) if container else _in_idf(idf)
    return [Step(step.what, [*before, *step.command]) for step in wanted]


def _in_container(pin: Pin, checkout: Path, container: str, user: tuple[int, int]) -> list[str]:
    who = ["--userns=keep-id"] if container == "podman" else ["--user", f"{user[0]}:{user[1]}"]
    return [container, "run", "--rm", *who, "--env", "HOME=/tmp", "--volume", f"{checkout.resolve()}:{INSIDE}", "--workdir", INSIDE,
            f"{pin.container}:{pin.idf}"]


def _in_idf(idf: Path | None) -> list[str]:
    # ESP-IDF's environment comes out of a shell script; the rest of the command are its arguments, which no shell reads
    return ["bash", "-c", '. "$0/export.sh" >/dev/null && exec "$@"', str((idf or Path()).resolve())]


def place(checkout: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write the definition into the checkout, in place of an earlier one."""
    folder = checkout / PORT / "boards" / name
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def run(step: Step, log: Path, progress: Callable[[str], None]) -> None:
    """Run one command, its words in the log; `progress` is told how far it is.

    Raises:
        CallerError: `firmware.step`, with its last words; `firmware.tool`.
    """
    progress(step.what)
    last: list[str] = []
    try:
        with log.open("a", encoding="utf-8") as file, subprocess.Popen(
            step.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "BASH_ENV": ""},
        ) as child:
            for line in child.stdout or ():
                file.write(line)
                last = [*last, line.rstrip()][-LAST_LINES:]
                if found := NINJA.match(line):
                    progress(f"{step.what}: {found[1]} of {found[2]}")
    except FileNotFoundError:
        raise CallerError("firmware.tool", f"{step.command[0]} is not installed") from None
    if child.returncode != 0:
        words = "\n".join(last)
        raise CallerError("firmware.step", f"{step.what}: exit code {child.returncode}. The last lines:\n{words}\nAll: {log}. "
                                           "A first build needs the network (submodules, ESP-IDF's components, the container); "
                                           "the same command again goes on where it stopped")


def results(checkout: Path, name: str) -> tuple[Path, Path]:
    """(the full image, the application alone), as the port's make leaves them."""
    built = checkout / PORT / f"build-{name}"
    return built / "firmware.bin", built / "micropython.bin"


def verify(image: Path, chip: str, table: Path) -> Stock:
    """The image's parts, if it is for that chip, fits the table's application slots and has the agent in it.

    Raises:
        ImageError: it is none, or another chip's. CallerError: `firmware.size`, `firmware.agent`.
    """
    found = read_stock(image)
    if found.chip != chip:
        raise ImageError(f"{image}: got an image for {found.chip}, expected {chip}")
    slot = smallest_slot(read_partitions(table))
    if len(found.app) > slot:
        raise CallerError("firmware.size", f"{image}: the application takes {len(found.app)} bytes, {table.name} has {slot}; "
                                           "ship fewer drivers (--config), or choose a board with more flash")
    if not has_agent(found.app):
        raise CallerError("firmware.agent", f"{image}: no frozen {MARK.decode()} in it; was another manifest built?")
    return found


def has_agent(app: bytes) -> bool:
    """Whether an application has an agent of ours frozen in."""
    return MARK in app
