"""`tenfold boards`: the profiles of boards, what their chips can do of them, and how every command reads one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from host import settings
from host.boards import pins, schema
from host.boards.parts import Part, Parts, unknown
from host.boards.profile import Board
from host.cli.server import AsJson
from host.settings import SettingsError
from host.sim.plant import FIRMWARE
from node.errors import CallerError

BOARDS = FIRMWARE / "image" / "boards"
PARTS = FIRMWARE / "image" / "parts.json"
SCHEMA = FIRMWARE / "image" / "board.schema.json"
MIB = 1 << 20

app = typer.Typer(no_args_is_help=True, help="Profiles of boards.")


def names() -> list[str]:
    """Of the profiles that come with the firmware."""
    return sorted(path.stem for path in BOARDS.glob("*.json"))


def load(board: str) -> Board:
    """Read a profile that its chip can do, by its name in firmware/image/boards or by the path of a file of that form.

    Raises:
        CallerError: as `read`; or `board.pin`, `board.network`, `board.psram`: what its chip cannot do.
    """
    found = read(board)
    errors = [each for each in pins.check(found) if each.level == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: tenfold boards check {board})" if errors[1:] else ""
        raise CallerError(errors[0].code, f"{Path(board).stem}: {errors[0].key}: {errors[0].message}{more}")
    return found


def read(board: str) -> Board:
    """Read a profile, whatever its chip can do.

    Raises:
        CallerError: `board.unknown`, `board.profile`: a file of another shape; names the key.
    """
    path = Path(board)
    if path.suffix != ".json":
        path = BOARDS / f"{board}.json"
        if not path.is_file():
            raise CallerError("board.unknown", f"got {board!r}, expected one of {', '.join(names())}, or a file ending in .json")
    try:
        return settings.load(Board, path)
    except SettingsError as error:
        raise CallerError("board.profile", f"{path.stem}: {error.key}: got {error.got}, expected {error.expected}") from None


def parts(board: Board) -> dict[str, Part]:
    """Every part that we know, the board's among them.

    Raises:
        CallerError: `board.part`: not in the list, or the list itself is of another shape.
    """
    try:
        known = Parts.model_validate({"parts": json.loads(PARTS.read_bytes())}).parts
    except ValueError as error:
        raise CallerError("board.part", f"{PARTS.name}: {error}") from None
    if missing := unknown(board, known):
        raise CallerError("board.part", f"{board.name}: parts: got {missing[0]!r}, expected one of {', '.join(sorted(known))}; "
                                        f"enter it in {PARTS.name}")
    return known


@app.command("list")
def list_boards(as_json: AsJson = False) -> None:
    """Print the boards that have a profile: chip, flash, PSRAM, network.

    Example: tenfold boards list
    """
    boards = {name: load(name) for name in names()}
    if as_json:
        print(json.dumps({name: board.model_dump() for name, board in boards.items()}))
        return
    table = Table("BOARD", "to buy", "chip", "flash", "PSRAM", "network")
    for name, board in boards.items():
        table.add_row(name, f"{board.name} ({board.maker})", board.chip, f"{board.flash_bytes // MIB} MB",
                      f"{board.psram_bytes // MIB} MB" if board.psram_bytes else "none", board.network.kind)
    Console().print(table)


@app.command()
def check(
    board: Annotated[str, typer.Argument(help="A profile in firmware/image/boards, or a file of that form.")],
    as_json: AsJson = False,
) -> None:
    """Print what the board's chip cannot do of its profile, and what needs care. Exit code 1: it cannot do something.

    Example: tenfold boards check wt32-eth01
    """
    found = pins.check(read(board))
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            print(f"{each.level}: {each}")
        if not found:
            print(f"{board}: nothing to say")
    if any(each.level == "error" for each in found):
        raise typer.Exit(1)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of a profile, as it stands in firmware/image/board.schema.json.

    Example: tenfold boards schema
    """
    print(schema.text(), end="")
