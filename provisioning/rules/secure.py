"""Which eFuses a level wants, in which order they are burned, and what becomes impossible with each.

Decides from values only: the board's eFuses, the keys, what its flash holds. Reads, burns and signs nothing
(line/efuses.py, line/signing.py). A plan is what a level wants and the board does not have yet, in order: so a line that was cut
anywhere goes on where it stopped. Order: ESP-IDF, "Security Features Enablement Workflows".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from provisioning.rules.fuses import CHIPS, DIGEST_PURPOSE, Board, Flash, Key, digests
from provisioning.rules.refusals import Code, Refusal, short, slots, unfit, unfit_flash, unrevocable


@dataclass(frozen=True)
class Step:
    """One command of espefuse, and what holds when it was done.

    Attributes:
        command: its words; "{key}" stands for the path of `key`.
        values: fields and the bits that must be set in them. protects: fields that can no more be written.
        closes: afterwards a chip at the port can no more be read.
    """

    name: str
    does: str
    impossible: str
    command: tuple[str, ...]
    values: Mapping[str, int] = field(default_factory=dict)
    protects: tuple[str, ...] = ()
    key: Key | None = None
    closes: bool = False

    def holds(self, board: Board) -> bool:
        is_set = all(board.value(name) & bits == bits for name, bits in self.values.items())
        return is_set and not any(board.fuses[name].writeable for name in self.protects)


@dataclass(frozen=True)
class Plan:
    """What is missing, in order; empty `refusals` before anything may be burned."""

    level: str
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]


def plan(board: Board, level: str, keys: Sequence[Key], flash: Flash, lost: Sequence[Key] = ()) -> Plan:
    """The way from a board's present state to a level.

    Args:
        keys: all that this board shall accept from now on, also spare ones: free slots are revoked and never come back.
        lost: burned ones that it shall accept no more. Bootloader and applications must be signed by `keys` then.
    """
    refused = [*unrevocable(board, level, keys, lost), *unfit(board, level, keys)]
    if refused or level == "none":
        return Plan(level, (), tuple(refused))
    places, refused = slots(board, keys, {key.digest for key in lost})
    if not refused:
        refused = list(unfit_flash(board, level, {key.digest for key in keys}, flash))
    steps = tuple(step for step in wanted(board, level, places, lost) if not step.holds(board)) if len(places) == len(keys) else ()
    refused += _protected(board, steps)
    return Plan(level, steps, tuple(refused))


def wanted(board: Board, level: str, places: Sequence[tuple[int, str, Key]], lost: Sequence[Key] = ()) -> Iterator[Step]:
    """Every step of a level, done or not, in the order of burning.

    The digests come first, and after them what revokes others and what switches secure boot on, for a chip that has it on without
    a digest starts nothing. RD_DIS is closed before: a digest that anybody could make unreadable would be a switch to brick the
    board. What closes the port comes last.
    """
    if level == "none":
        return
    names = CHIPS[board.chip]
    is_first = board.chip == "esp32"
    for slot, block, key in places:
        yield _digest(is_first, slot, block, key)
    if not is_first:
        paths = {key.digest: key.path for key in lost}
        gone = {slot: paths[digest] for slot, _, digest, _ in digests(board) if digest in paths}
        for slot in sorted(set(range(names.slots)) - {slot for slot, _, _ in places}):
            yield _revocation(slot, gone.get(slot))
    yield Step("read-protection", "write-protects RD_DIS, so that nobody makes the digest unreadable and bricks the board",
               "no key can be hidden in eFuses any more: flash encryption and HMAC or DS keys are out for ever",
               ("write-protect-efuse", "RD_DIS"), protects=("RD_DIS",))
    if not is_first:
        yield _bit("DIS_DIRECT_BOOT", "closes direct boot, which starts code without a bootloader", "direct boot")
    yield _bit(names.boot, "switches secure boot v2 on",
               "stock MicroPython images and whatever else these keys did not sign never start again: every later bootloader "
               "and application, over the air too, must be signed; a lost key cannot be replaced")
    if level == "signed":
        return
    for name in names.jtag:
        yield _bit(name, "switches JTAG off", "debugging by JTAG, also for us")
    if level == "guarded":
        yield _bit(names.writes_only, "narrows ROM download mode to writing flash",
                   "flash, memory and eFuses can never be read by the serial port again, and no eFuse burned", closes=True)
    else:
        yield _bit(names.closed, "closes ROM download mode",
                   "flashing by the serial port, for ever: a board whose two slots both fail to start is scrap", closes=True)


def strays(before: Board, after: Board, steps: Sequence[Step]) -> list[str]:
    """Fields whose bits changed although no step names them. WR_DIS holds the protections, which the steps check by name."""
    named = {name for step in steps for name in step.values} | {"WR_DIS"}
    return sorted(name for name in before.fuses.keys() - named if before.value(name) != after.value(name))


def _bit(name: str, does: str, impossible: str, closes: bool = False) -> Step:
    return Step(name, does, impossible, ("burn-efuse", name, "1"), {name: 1}, closes=closes)


def _revocation(slot: int, path: str | None) -> Step:
    """Of a slot that is unused, or that holds the digest of the key at `path`."""
    name = f"SECURE_BOOT_KEY_REVOKE{slot}"
    if path is None:
        return _bit(name, f"revokes the unused digest slot {slot}", f"another key can never be added in slot {slot}")
    return _bit(name, f"revokes {path}, whose digest is in slot {slot}",
                "what that key alone signed never starts again on this board, and no other key takes its slot")


def _digest(is_first: bool, slot: int, block: str, key: Key) -> Step:
    bits = int.from_bytes(key.digest, "big")
    does = f"burns the digest of {key.path} into {block}"
    if is_first:
        return Step("digest", does, "this chip can never trust another key; the place of a secure boot v1 key is taken",
                    ("burn-key-digest", "{key}"), {block: bits}, (block,), key)
    purpose = f"KEY_PURPOSE_{block[-1]}"
    return Step(f"digest-{slot}", f"{does}, digest slot {slot}", f"{block} can hold nothing else",
                ("burn-key-digest", block, "{key}", f"SECURE_BOOT_DIGEST{slot}"),
                {block: bits, purpose: DIGEST_PURPOSE + slot}, (block, purpose), key)


def _protected(board: Board, steps: Sequence[Step]) -> list[Refusal]:
    refused = []
    for step in steps:
        for name, bits in step.values.items():
            fuse = board.fuses[name]
            if fuse.value & bits != bits and not fuse.writeable:
                refused.append(Refusal(Code.PROTECTED, f"{name} is write-protected: got {short(fuse.value)}, it can never become "
                                                       f"{short(bits)}"))
        if not board.fuses["WR_DIS"].writeable and any(board.fuses[name].writeable for name in step.protects):
            refused.append(Refusal(Code.PROTECTED, f"WR_DIS is write-protected: {', '.join(step.protects)} cannot be protected"))
    return refused
