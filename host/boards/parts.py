"""What a board is made of, and what replaces each part: from its profile, the list of parts that we know, and the other profiles.

Decides what counts as a replacement: a part of the same role and kind by another maker, those on the same pads first; another board
with the same network. What has none is said so. Judges no price, range or stock; nothing here was tried in another's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from host.boards.profile import Board, Text
from host.settings import Settings


class Part(Settings):
    """One part. `kind`: what the firmware needs of it; parts of one kind run the same firmware. `pads`: its footprint, or ""."""

    role: Text
    maker: Text
    kind: Text
    pads: str = ""
    source: Text


class Parts(Settings):
    """firmware/image/parts.json, by name."""

    parts: dict[Text, Part]


@dataclass(frozen=True, slots=True)
class Other:
    """A replacement. `drops_in`: on the same pads; otherwise the circuit board changes too."""

    name: str
    maker: str
    drops_in: bool


@dataclass(frozen=True, slots=True)
class Need:
    """One part of a board and what replaces it, the best first."""

    role: str
    name: str
    maker: str
    source: str
    replacements: tuple[Other, ...]

    @property
    def alone(self) -> bool:
        """Whether nothing replaces it."""
        return not self.replacements


def unknown(board: Board, parts: Mapping[str, Part]) -> list[str]:
    """Parts of a profile that the list does not have."""
    return [name for name in board.parts if name not in parts]


def needs(name: str, boards: Mapping[str, Board], parts: Mapping[str, Part]) -> list[Need]:
    """What the board of that name needs: itself, then its parts in the profile's order.

    Args:
        boards: every profile, that board's among them. parts: has all of its parts (`unknown`).
    """
    board = boards[name]
    return [_whole(name, boards), *(_part(each, parts) for each in board.parts)]


def _whole(name: str, boards: Mapping[str, Board]) -> Need:
    board = boards[name]
    others = [Other(other.name, other.maker, False) for other in boards.values()
              if other.maker != board.maker and other.network.kind == board.network.kind and other.flash_bytes >= board.flash_bytes
              and other.psram_bytes >= board.psram_bytes]
    return Need("board", board.name, board.maker, board.source, tuple(sorted(others, key=lambda other: (other.maker, other.name))))


def _part(name: str, parts: Mapping[str, Part]) -> Need:
    part = parts[name]
    others = [Other(key, other.maker, bool(part.pads) and other.pads == part.pads) for key, other in parts.items()
              if other.maker != part.maker and (other.role, other.kind) == (part.role, part.kind)]
    others.sort(key=lambda other: (not other.drops_in, other.maker, other.name))
    return Need(part.role, name, part.maker, part.source, tuple(others))
