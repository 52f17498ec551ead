"""Why a board must not be taken to a level: what would brick it, lock updates out, or protect nothing.

Decides from values only; rules/secure.py asks, and adds what its own steps cannot burn.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from provisioning.rules.fuses import BLOCKS, CHIPS, LEVELS, Board, Digest, Flash, Key, digests, is_encrypted, revision

ENCRYPTED = "encrypted"   # asked for so often that it is refused by its own words


class Code(Enum):
    """Why a board is left alone; the value is what the command tells."""

    LEVEL = "secure.level"              # no such level, or not on this chip
    ENCRYPTION = "secure.encryption"    # flash encryption, which MicroPython cannot live with
    REVISION = "secure.revision"        # a chip from before its ROM had secure boot v2
    CODING = "secure.coding"            # ESP32's 3/4 coding: a digest does not fit
    OLD_BOOT = "secure.old_boot"        # secure boot v1 is on
    ENCRYPTED = "secure.encrypted"      # flash encryption is on
    KEYS = "secure.keys"                # none, too many, or the same twice
    SCHEME = "secure.scheme"            # a kind of key that the chip cannot check
    SLOT = "secure.slot"                # the digest's place is taken by something else
    REVOKED = "secure.revoked"          # the key was revoked on this board
    REVOKE = "secure.revoke"            # a key that cannot be revoked here: not on this chip, not burned, or wanted as well
    LAST = "secure.last"                # revoked, no key would be left that the board trusts
    CLOSED = "secure.closed"            # the loader burns no eFuse any more
    UNREADABLE = "secure.unreadable"    # a digest that the chip itself cannot read
    PROTECTED = "secure.protected"      # what must be burned is write-protected
    BOOTLOADER = "secure.bootloader"    # none, or one that starts whatever lies in the slot
    APPLICATION = "secure.application"  # none
    UNSIGNED = "secure.unsigned"        # bootloader or application not signed by these keys
    ROLLBACK = "secure.rollback"        # an application older than the chip accepts
    UNFINISHED = "secure.unfinished"    # to be closed before it was flashed for the last time


@dataclass(frozen=True)
class Refusal:
    code: Code
    message: str


def unfit(board: Board, level: str, keys: Sequence[Key]) -> Iterator[Refusal]:
    if level == ENCRYPTED:
        yield Refusal(Code.ENCRYPTION, "MicroPython cannot encrypt its file system: its flash driver reads and writes raw, so "
                      "with flash encryption on the device's key would still lie there in clear text, and the board would refuse "
                      "plain images for ever; guarded or locked keep flash from being read by the serial port")
        return
    if level not in LEVELS:
        yield Refusal(Code.LEVEL, f"got level {level!r}, expected one of {', '.join(LEVELS)}")
        return
    if level == "none":
        return
    least = CHIPS[board.chip].least
    if board.revision < least:
        yield Refusal(Code.REVISION, f"got {board.chip} revision {revision(board.revision)}, expected {revision(least)} or later: "
                                     "its ROM has no secure boot v2")
    if board.chip == "esp32":
        yield from _unfit_esp32(board, level)
    if is_encrypted(board):
        yield Refusal(Code.ENCRYPTED, "flash encryption is on: MicroPython's file system is not encrypted, and what the flash "
                      "holds cannot be checked; this board is not one of ours")
    most = CHIPS[board.chip].slots
    if not 0 < len({key.digest for key in keys}) == len(keys) <= most:
        yield Refusal(Code.KEYS, f"got {len(keys)} keys, expected 1 to {most} different ones (--key, public halves)")
    for key in keys:
        if key.scheme not in CHIPS[board.chip].schemes:
            schemes = " or ".join(CHIPS[board.chip].schemes)
            yield Refusal(Code.SCHEME, f"{key.path}: got {key.scheme}, expected {schemes} for {board.chip}")


def _unfit_esp32(board: Board, level: str) -> Iterator[Refusal]:
    if level == "guarded":
        yield Refusal(Code.LEVEL, "got level guarded, expected signed or locked: an ESP32's ROM has no mode that only writes")
    if board.value("CODING_SCHEME"):
        yield Refusal(Code.CODING, f"CODING_SCHEME: got {board.value('CODING_SCHEME')}, expected 0: a digest takes the whole block")
    if board.value("ABS_DONE_0"):
        yield Refusal(Code.OLD_BOOT, "ABS_DONE_0: secure boot v1 is on; both at once start nothing")


def unrevocable(board: Board, level: str, keys: Sequence[Key], lost: Sequence[Key]) -> Iterator[Refusal]:
    """Why keys cannot be revoked on a board. Whether what it runs is signed by one that stays is for `unfit_flash`."""
    if not lost:
        return
    if board.chip == "esp32":
        yield Refusal(Code.REVOKE, "an ESP32 has one digest, in BLOCK2, and no eFuse that revokes it: it trusts that key for "
                                   "ever")
        return
    if level == "none":
        yield Refusal(Code.REVOKE, "got level none, which burns nothing, expected the level of the board or a higher one")
    if not keys:
        yield Refusal(Code.LAST, "no key would be left that the board trusts, and it would never start again: name with --key the "
                                 "burned one that signed what it runs")
    present = digests(board)
    burned, trusted = {one.sha256 for one in present}, {one.sha256 for one in present if not one.is_revoked}
    for key in lost:
        if key.digest in {one.digest for one in keys}:
            yield Refusal(Code.REVOKE, f"{key.path}: got it both as a key to trust and as one to revoke")
        elif key.digest not in burned:
            yield Refusal(Code.REVOKE, f"{key.path}: its digest is not on this board, so there is nothing to revoke (tenfold "
                                       "secure status)")
    names = CHIPS[board.chip]
    closed = [name for name in (names.writes_only, names.closed) if name and board.value(name)]
    if closed and any(key.digest in trusted for key in lost):
        yield Refusal(Code.CLOSED, f"{', '.join(closed)}: the loader of this board burns no eFuse any more: it trusts its keys for "
                                   "ever")


def slots(board: Board, keys: Sequence[Key], lost: Collection[bytes] = ()) -> tuple[list[tuple[int, str, Key]], list[Refusal]]:
    """Where each key's digest lies or will lie: where it is already, also half burned, else the first place that is free.

    Args:
        lost: digests that are revoked with this plan.
    """
    if board.chip == "esp32":
        fuse, key = board.fuses["BLOCK2"], keys[0]
        if not fuse.readable:
            return [], [Refusal(Code.UNREADABLE, "BLOCK2 is read-protected: the chip could not read a digest there")]
        if fuse.value not in (0, int.from_bytes(key.digest, "big")):
            return [], [Refusal(Code.SLOT, f"BLOCK2 is taken: got {short(fuse.value)}, expected the digest of {key.path}")]
        return [(0, "BLOCK2", key)], []
    present = digests(board)
    refused = list(_clashes(board, keys, present, lost))
    found: list[tuple[int, str, Key]] = []
    taken = {slot for slot, _, _, _ in present}
    number = CHIPS[board.chip].slots
    free = [slot for slot in range(number) if slot not in taken and not board.value(f"SECURE_BOOT_KEY_REVOKE{slot}")]
    used: set[str] = set()
    for key in keys:
        have = next(((slot, block) for slot, block, digest, _ in present if digest == key.digest), None)
        block = have[1] if have else _block(board, key, used)
        if block is None or not (have or free):
            refused.append(Refusal(Code.SLOT, f"{key.path}: no {'free key block' if block is None else 'digest slot'} is left: all "
                                              "are used or revoked"))
            continue
        used.add(block)
        found.append((have[0] if have else free.pop(0), block, key))
    return sorted(found, key=lambda one: one[0]), refused


def _clashes(board: Board, keys: Sequence[Key], present: Sequence[Digest], lost: Collection[bytes]) -> Iterator[Refusal]:
    """What the digests that a board has already say against a set of keys."""
    wanted = {key.digest: key.path for key in keys}
    seen: set[bytes] = set()
    for slot, block, digest, is_revoked in present:
        path = wanted.get(digest)
        if not board.fuses[block].readable:
            yield Refusal(Code.UNREADABLE, f"{block}: the digest in slot {slot} is read-protected: the chip could not read it")
        elif path is None and not is_revoked and digest not in lost:
            yield Refusal(Code.SLOT, f"digest slot {slot} holds {digest.hex()[:16]}…, none of these keys: name its key too, the "
                                     "chip starts what it signed; or revoke it (--revoke)")
        elif path is not None and is_revoked:
            yield Refusal(Code.REVOKED, f"{path}: digest slot {slot} of this board is revoked; expected a key that it still trusts")
        elif path is not None and digest in seen:
            yield Refusal(Code.SLOT, f"{path}: its digest is burned twice, in slot {slot} again")
        seen.add(digest)


def _block(board: Board, key: Key, used: set[str]) -> str | None:
    """A key block whose purpose is still open: one that holds the digest (the plug was pulled), else an empty one."""
    bits = int.from_bytes(key.digest, "big")
    for want in (bits, 0):
        for number in range(BLOCKS):
            block, purpose = board.fuses[f"BLOCK_KEY{number}"], board.fuses[f"KEY_PURPOSE_{number}"]
            is_open = block.readable and block.writeable and purpose.writeable and not purpose.value
            if is_open and block.value == want and f"BLOCK_KEY{number}" not in used:
                return f"BLOCK_KEY{number}"
    return None


def unfit_flash(board: Board, level: str, trusted: set[bytes], flash: Flash) -> Iterator[Refusal]:
    boot = [part for part in flash.parts if part.verifies is not None]
    apps = [part for part in flash.parts if part.verifies is None]
    if not boot:
        yield Refusal(Code.BOOTLOADER, "the flash holds no bootloader: with secure boot on the board would not start")
    if not apps:
        yield Refusal(Code.APPLICATION, "the flash holds no application: flash the board first")
    for part in flash.parts:
        if part.fault:
            yield Refusal(Code.UNSIGNED, f"{part.name}: {part.fault}")
        elif not part.signers & trusted:
            yield Refusal(Code.UNSIGNED, f"{part.name}: got no signature of these keys, expected one: with secure boot on it would "
                          "not start (stock images are unsigned); sign the flash image (tenfold secure sign) and flash it first")
    for part in boot:
        if not part.fault and not part.verifies:
            yield Refusal(Code.BOOTLOADER, f"{part.name}: it was built without secure boot and would start any application, so the "
                          "chain ends at it; build MicroPython with CONFIG_SECURE_BOOT=y, CONFIG_SECURE_BOOT_V2_ENABLED=y and log "
                          "level error or higher")
    floor = board.value("SECURE_VERSION").bit_count()
    for part in apps:
        if part.secure_version < floor:
            yield Refusal(Code.ROLLBACK, f"{part.name}: got secure version {part.secure_version}, expected {floor} or more, as the "
                          "chip's SECURE_VERSION says")
    if level in ("guarded", "locked") and not flash.has_files:
        yield Refusal(Code.UNFINISHED, "the flash holds no file system with our firmware: flash it before its door is closed")


def short(value: int) -> str:
    text = f"{value:#x}"
    return text if len(text) < 20 else f"{text[:18]}…"
