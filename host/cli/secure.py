"""`tenfold secure`: what a board's eFuses are, what a level would burn, and the burning, which is for ever."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson
from provisioning.errors import ProvisioningError
from provisioning.line import burning, signer, signing
from provisioning.line.efuses import Efuses, read_flash
from provisioning.rules.fuses import LEVELS, RSA, Board, Flash, digests, held, is_encrypted, revision
from provisioning.rules.secure import Plan
from provisioning.rules.secure import plan as planned

EXIT_REFUSED = 2

app = typer.Typer(no_args_is_help=True, help="Secure boot: plan, rehearse and burn eFuses. Burning cannot be undone.")
Port = Annotated[str | None, typer.Option(help="Serial port of the board.")]
Virtual = Annotated[Path | None, typer.Option(help="Instead of a board: a file with virtual eFuses; missing: a blank chip.")]
Chip = Annotated[str | None, typer.Option(help="With --virtual: esp32, esp32s3, esp32c3 or esp32c6.")]
FlashFile = Annotated[Path | None, typer.Option("--flash", help="With --virtual: what the flash holds. A board's is read from it.")]
Level = Annotated[str, typer.Option(help=f"One of {', '.join(LEVELS)}.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="Public half of a signing key; repeat for spare keys (not ESP32).")]
Revoke = Annotated[list[Path] | None, typer.Option(help="Public half of a burned key that the board shall trust no more; repeat.")]


@dataclass(frozen=True)
class Bench:
    """A board, or virtual eFuses with a file as flash."""

    efuses: Efuses
    flash: Path | None

    def plan(self, level: str, trusted: Sequence[Path], revoked: Sequence[Path]) -> tuple[Board, Plan]:
        """Read all there is to know and make the plan."""
        keys, lost = ([signing.read_key(path) for path in paths] for paths in (trusted, revoked))
        board = self.efuses.read()
        if level in LEVELS and level != "none":
            if not self.efuses.is_virtual:
                print(f"reading the flash of {board.mac} …", file=sys.stderr)
            raw = self.flash.read_bytes() if self.flash else read_flash(self.efuses.name)
            found = signing.look(raw, board.chip, keys)
        else:
            found = Flash((), False)   # such a plan burns nothing
        return board, planned(board, level, keys, found, lost)


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="New folder for the keys, outside every git work tree; then into a safe.")],
    number: Annotated[int, typer.Option(help="Keys to make: one that signs, others to be ready when that is lost.")] = 1,
    scheme: Annotated[str, typer.Option(help="rsa3072, or ecdsa256 (ESP32-C6 only).")] = RSA,
) -> None:
    """Make signing keys for secure boot: key-1.pem is private, key-1.pub goes to the line.

    Example: tenfold secure keys ~/tenfold-keys --number 3
    """
    made = signing.make_keys(folder, scheme, number)
    for path in made:
        print(f"{path}: private, mode 0600, not encrypted: keep it offline; {path.with_suffix('.pub').name} goes to the line")
    print("A board that trusts a key never starts anything else again: whoever loses all of them can never update that board")


@app.command()
def public(
    key: Annotated[Path, typer.Argument(help="Private signing key: the pkcs11: URI of one in an HSM, or a PEM file.")],
    out: Annotated[Path, typer.Argument(help="File for its public half.")],
) -> None:
    """Write the public half of a signing key, which goes to the line. The HSM's tools make the key: RSA-3072, or P-256.

    Example: tenfold secure public "pkcs11:token=plant;object=boot-1?module-path=/usr/lib/softhsm/libsofthsm2.so" boot-1.pub
    """
    raw = signer.public(key)
    out.write_bytes(raw)
    print(f"{out}: {signer.scheme(raw, str(key))}, goes to the line")


@app.command()
def sign(
    flash: Annotated[Path, typer.Argument(help="Flash image of `tenfold image build`, of a MicroPython built with secure boot.")],
    chip: Annotated[str, typer.Option(help="esp32, esp32s3, esp32c3 or esp32c6.")],
    key: Annotated[Path, typer.Option(help="Private signing key: a PEM file, or the pkcs11: URI of one in an HSM.")],
    out: Annotated[Path, typer.Option(help="The signed flash image to write.")],
) -> None:
    """Sign the bootloader and the applications of a flash image; flash it before anything is burned.

    Example: tenfold secure sign build/flash-esp32.bin --chip esp32 --key ~/tenfold-keys/key-1.pem --out build/signed-esp32.bin
    """
    signed, names = signing.sign(flash.read_bytes(), chip, key)
    out.write_bytes(signed)
    print(f"{out}: signed {', '.join(names)}")
    print(f"Next: esptool --after no-reset write-flash 0x0 {out}, then tenfold secure plan: before the board's first start, for "
          "ESP-IDF's bootloader burns eFuses by itself")


@app.command()
def status(port: Port = None, virtual: Virtual = None, chip: Chip = None, as_json: AsJson = False) -> None:
    """Show a board's level and whose keys it trusts. Changes nothing.

    Example: tenfold secure status --port /dev/ttyUSB0
    """
    board = _bench(port, virtual, chip, None, needs_flash=False).efuses.read()
    shown = _board(board)
    if as_json:
        print(json.dumps(shown))
        return
    print(f"{board.mac}  {board.chip} revision {revision(board.revision)}, {held(board)}: {LEVELS[held(board)]}")
    if is_encrypted(board):
        print("flash encryption is on: this board is not one of ours")
    for one in shown["digests"]:
        print(f"digest slot {one['slot']} ({one['block']}): {one['sha256']}{', revoked' if one['revoked'] else ''}")


@app.command()
def plan(
    level: Level, port: Port = None, virtual: Virtual = None, chip: Chip = None, flash: FlashFile = None, key: Keys = None,
    revoke: Revoke = None, as_json: AsJson = False,
) -> None:
    """Show what a level would burn, what becomes impossible, and what speaks against it. Changes nothing.

    Example: tenfold secure plan --port /dev/ttyUSB0 --level signed --key keys/key-1.pub --key keys/key-2.pub

    Example: tenfold secure plan --port /dev/ttyUSB0 --level signed --key keys/key-2.pub --revoke keys/key-1.pub

    Example: tenfold secure plan --virtual x.efuse --chip esp32c3 --flash build/signed.bin --level locked --key keys/key-1.pub
    """
    board, found = _bench(port, virtual, chip, flash).plan(level, key or [], revoke or [])
    _show(board, found, as_json)
    _end_if_refused(found)


@app.command()
def rehearse(
    level: Level, port: Port = None, virtual: Virtual = None, chip: Chip = None, flash: FlashFile = None, key: Keys = None,
    revoke: Revoke = None, as_json: AsJson = False,
) -> None:
    """Burn the plan on a virtual copy of the board's eFuses, and check how it ends. Changes nothing.

    Example: tenfold secure rehearse --port /dev/ttyUSB0 --level signed --key keys/key-1.pub
    """
    bench = _bench(port, virtual, chip, flash)
    board, found = bench.plan(level, key or [], revoke or [])
    if found.refusals:
        _show(board, found, as_json)
        _end_if_refused(found)
    after = burning.rehearse(bench.efuses, board, found)
    if as_json:
        print(json.dumps(_plan(board, found) | {"after": _board(after)}))
        return
    _show(board, found, False)
    print(f"rehearsed on a copy of {board.mac}: it would be {held(after)}; nothing was burned")


@app.command()
def burn(
    level: Level, port: Port = None, virtual: Virtual = None, chip: Chip = None, flash: FlashFile = None, key: Keys = None,
    revoke: Revoke = None,
) -> None:
    """Burn the plan: rehearsed first, then asked for once more on the terminal. It cannot be undone.

    The second word is the board's MAC address, typed by a person: it is taken from a terminal only. Cut off anywhere, the same
    command goes on where it stopped.

    Example: tenfold secure burn --port /dev/ttyUSB0 --level signed --key keys/key-1.pub
    """
    if not sys.stdin.isatty():
        raise ProvisioningError("secure.terminal", "got no terminal, expected a person at one: eFuses are burned for ever, and "
                                                   "never by a script")
    bench = _bench(port, virtual, chip, flash)
    board, found = bench.plan(level, key or [], revoke or [])
    _show(board, found, False)
    _end_if_refused(found)
    after = burning.rehearse(bench.efuses, board, found)
    if not found.steps:
        return
    print(f"Rehearsed: {board.mac} would be {held(after)}. From here on nothing can be undone.")
    typed = input(f"Type the MAC address of the board to burn it ({board.mac}), anything else to leave it: ")
    if typed.strip().lower() != board.mac:
        raise ProvisioningError("secure.word", f"got {typed.strip()!r}, expected {board.mac}; nothing was burned")
    burned = burning.burn(bench.efuses, board, found, print)
    if burned is None:
        print(f"{board.mac}: burned; its port is closed now, so only espefuse's word tells that the last step was. Reset the board")
    else:
        print(f"{board.mac}: burned and read back: {held(burned)}. Reset the board")


def _bench(port: str | None, virtual: Path | None, chip: str | None, flash: Path | None, *, needs_flash: bool = True) -> Bench:
    if (port is None) == (virtual is None):
        raise typer.BadParameter("name either --port, the board's serial port, or --virtual, a file")
    if virtual is None:
        if chip or flash:
            raise typer.BadParameter("--chip and --flash go with --virtual: a board tells its chip, and its own flash is read")
        return Bench(Efuses.at(port or ""), None)
    if chip is None or (needs_flash and flash is None):
        raise typer.BadParameter(f"--virtual needs --chip{' and --flash, a flash image' if needs_flash else ''}")
    return Bench(Efuses.virtual(virtual, chip), flash)


def _board(board: Board) -> dict[str, Any]:
    return {
        "mac": board.mac, "chip": board.chip, "revision": board.revision, "level": held(board), "encrypted": is_encrypted(board),
        "digests": [{"slot": slot, "block": block, "sha256": digest.hex(), "revoked": is_revoked}
                    for slot, block, digest, is_revoked in digests(board)],
    }


def _plan(board: Board, found: Plan) -> dict[str, Any]:
    return {
        "board": _board(board), "level": found.level,
        "steps": [{"name": step.name, "does": step.does, "impossible": step.impossible, "command": list(step.command)}
                  for step in found.steps],
        "refusals": [{"code": refusal.code.value, "message": refusal.message} for refusal in found.refusals],
    }


def _show(board: Board, found: Plan, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_plan(board, found)))
        return
    print(f"{board.mac}  {board.chip} revision {revision(board.revision)}, now {held(board)}; "
          f"wanted {found.level}: {LEVELS.get(found.level, 'no level')}")
    if found.steps:
        table = Table("")
        table.add_column("step", no_wrap=True)   # an eFuse's name is never cut off
        for column in ("does", "impossible then"):
            table.add_column(column, overflow="fold")
        for number, step in enumerate(found.steps, 1):
            table.add_row(str(number), step.name, step.does, step.impossible)
        Console().print(table)
    elif not found.refusals:
        print("nothing to burn")


def _end_if_refused(found: Plan) -> None:
    for refusal in found.refusals:
        print(f"tenfold: {refusal.code.value}: {refusal.message}", file=sys.stderr)
    if found.refusals:
        raise typer.Exit(EXIT_REFUSED)
