"""A bench of simulated boards: so many, in one folder, with their faults; stopped together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from host.sim.boards.board import FLASH_BYTES, Board
from host.sim.boards.faults import Fault

MAX_BOARDS = 64   # threads, and as many processes


class Bench:
    """Boards 1..count. What a folder holds of earlier ones is taken up again."""

    def __init__(self, folder: Path, count: int, chip: str = "esp32", *, flash_bytes: int = FLASH_BYTES,
                 faults: Mapping[int, Sequence[Fault]] | None = None, chips: Mapping[int, str] | None = None) -> None:
        """Start them.

        Args:
            faults: by number; `board.inject` adds more. chips: by number, where it is not `chip`.

        Raises:
            BoardError: see `Board`.
        """
        self.boards: list[Board] = []
        try:
            for number in range(1, count + 1):
                self.boards.append(Board(folder, number, (chips or {}).get(number, chip), flash_bytes))
                for fault in (faults or {}).get(number, ()):
                    self.boards[-1].inject(fault)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Power off; flashes stay in the folder."""
        for board in self.boards:
            board.close()
