"""What goes wrong on a bench, on demand: cables, power, flash, silence, slowness and noise.

Decides when a fault strikes, from what a board hears and answers. Striking is the board's business. A fault that strikes once is
gone then, so that a second try meets a good board; silence, slowness and noise stay until they are healed.
"""

from dataclasses import dataclass
from enum import StrEnum

from host.sim.boards.errors import BoardError
from host.sim.boards.loader import COMMANDS

NOISE = bytes.fromhex("f8007ee6c0ff18")   # with an END among it


class CablePulled(BaseException):
    """The cable comes out at this instant. An event, not an error, as PowerCut is."""


class Kind(StrEnum):
    """The faults; what their number means is in FAULTS."""

    CABLE_BYTES = "cable-bytes"
    CABLE_COMMAND = "cable-command"
    POWER = "power"
    CORRUPT = "corrupt"
    SILENT = "silent"
    WRONG_CHIP = "wrong-chip"
    SLOW = "slow"
    NOISE = "noise"


FAULTS = {
    Kind.CABLE_BYTES: "cable-bytes:N: the cable comes out when N bytes have come",
    Kind.CABLE_COMMAND: "cable-command:NAME or NAME*N: it comes out at the N-th command of that name, e.g. flash-defl-data*3",
    Kind.POWER: "power:N: the power goes in the middle of the N-th erase or write of the flash",
    Kind.CORRUPT: "corrupt:ADDRESS: bits flip in the flash's sector there when it is written",
    Kind.SILENT: "silent: it never answers",
    Kind.WRONG_CHIP: "wrong-chip: another chip is soldered in than was asked for",
    Kind.SLOW: "slow:MS: each answer takes so long",
    Kind.NOISE: "noise:N: garbage before each N-th answer",
}
_BARE = {Kind.SILENT, Kind.WRONG_CHIP}


@dataclass(frozen=True)
class Fault:
    """One fault. `at`: its number, 1 when it has none. `command`: of CABLE_COMMAND."""

    kind: Kind
    at: int = 1
    command: str = ""

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """A fault as FAULTS describes it.

        Raises:
            BoardError: it is none.
        """
        word, _, value = text.partition(":")
        try:
            kind = Kind(word)
            if kind in _BARE:
                return cls(kind, int(value or "1"))
            if kind is Kind.CABLE_COMMAND:
                command, _, count = value.partition("*")
                if command not in COMMANDS:
                    raise BoardError(f"fault {text!r}: got command {command!r}, expected one of {', '.join(COMMANDS)}")
                return cls(kind, int(count or "1"), command)
            return cls(kind, int(value, 0))
        except ValueError:
            raise BoardError(f"fault: got {text!r}, expected one of:\n  " + "\n  ".join(FAULTS.values())) from None


class Faults:
    """A board's faults, and how far they are."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._counts: dict[Fault, int] = {}

    def add(self, fault: Fault) -> None:
        """From now on; what it counts begins at 0."""
        self._waiting.append(fault)
        self._counts[fault] = 0

    def clear(self) -> None:
        """A good board again."""
        self._waiting.clear()
        self._counts.clear()

    @property
    def silent(self) -> bool:
        return any(fault.kind is Kind.SILENT for fault in self._waiting)

    @property
    def slow_s(self) -> float:
        return sum(fault.at for fault in self._waiting if fault.kind is Kind.SLOW) / 1000

    def heard(self, data: bytes) -> tuple[bytes, bool]:
        """Which of these bytes still come through, and whether the cable comes out after them."""
        for fault in self._of(Kind.CABLE_BYTES):
            room = fault.at - self._counts[fault]
            if len(data) >= room:
                self._strike(fault)
                return data[:room], True
            self._counts[fault] += len(data)
        return data, False

    def command(self, name: str) -> None:
        """A command is about to be done.

        Raises:
            CablePulled: at this one.
        """
        for fault in self._of(Kind.CABLE_COMMAND):
            if fault.command == name and self._count(fault):
                self._strike(fault)
                raise CablePulled

    def answered(self, data: bytes) -> bytes:
        """What reaches the host of an answer."""
        for fault in self._of(Kind.NOISE):
            if data and self._count(fault):
                self._counts[fault] = 0
                data = NOISE + data
        return data

    def _of(self, kind: Kind) -> list[Fault]:
        return [fault for fault in self._waiting if fault.kind is kind]

    def _count(self, fault: Fault) -> bool:
        self._counts[fault] += 1
        return self._counts[fault] >= fault.at

    def _strike(self, fault: Fault) -> None:
        self._waiting.remove(fault)
        del self._counts[fault]
