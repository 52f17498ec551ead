"""A line with simulated boards: a lot in a ledger, a station, ports, and the real esptool and mpremote between them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from host.ecdsa import point
from host.sim.boards.board import Board
from provisioning import ca
from provisioning.ledger import Ledger
from provisioning.line.bench import Line, Order
from provisioning.line.books import Books, LedgerBooks
from provisioning.line.journal import Journal
from provisioning.line.port import Port
from provisioning.line.prompt import make_kit
from provisioning.line.station import Pen
from provisioning.rules.line import WORKING, Step
from provisioning.rules.selftest import limits
from tests.provisioning.flash_boards import ON_THE_LINE, image

FIRMWARE = Path(__file__).parents[2] / "firmware"
LOT, STATION = "2026-47", "bench-1"
MOMENTS = 200   # looks at a port until a board must be at rest; each is a step or a short wait


class Factory:
    """One station with its lot."""

    def __init__(self, folder: Path, ledger: Ledger, quota: int = 10, days: int = 1) -> None:
        self.folder, self.ledger, self.key = folder, ledger, ca.make_key()
        self.now_s = int(time.time())
        self.kit = make_kit(FIRMWARE, folder / "kit")
        self.image = image("esp32", ON_THE_LINE)
        ledger.open_lot(LOT, point(self.key.public_key()).hex(), quota, self.now_s + days * 86_400, self.now_s)
        self.books: Books = LedgerBooks(ledger)

    @contextmanager
    def line(self) -> Iterator[Line]:
        """A run of the station, up to its end or crash: what it knows is in its journal alone."""
        journal = Journal(self.folder / "journal.jsonl")
        order = Order(LOT, "hall", "hall", self.image, limits({}, {}))
        line = Line(order, Pen(LOT, STATION, self.key), self.books, journal, self.kit, self.folder, lambda: self.now_s)
        try:
            yield line
        finally:
            journal.close()

    def device(self, board: Board) -> str:
        return "hall-" + board.mac.replace(":", "")


def until_rest(port: Port, line: Line, name: Path, also: Callable[[Step], None] = lambda _: None) -> Step:
    """Let a port work until its board is at rest; `also` sees each step that it is about to do."""
    for _ in range(MOMENTS):
        step = line.faces[str(name)].step
        if step not in (*WORKING, Step.EMPTY):
            return step
        also(step)
        port.look()
    raise AssertionError(f"still at {step}")
