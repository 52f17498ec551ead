"""One line at work: its order, and what all its ports share: journal, books, allowance, and which board is at which port.

Decides nothing that the rules decide: it writes down what they say. What goes wrong has a code; whether that is worth another try
stands in REFUSED. A board is taken through its steps by `provisioning.line.port`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from provisioning.allowance import Allowance, admits
from provisioning.errors import ProvisioningError
from provisioning.line.books import Books
from provisioning.line.flashing import FlashImage
from provisioning.line.journal import Journal
from provisioning.line.station import Announcement, Pen
from provisioning.rules.line import Memory, Step
from provisioning.rules.selftest import Limit

REFUSED = {      # no second try makes these better
    "board.chip", "board.locked", "board.identity", "image.chip", "image.size", "port.denied", "line.twice",
    "provisioning.second_identity", "birth.revoked"}
CLOSED = {"birth.quota", "birth.lot_expired", "birth.lot_revoked", "birth.station_revoked", "birth.lot_unknown", "birth.lot",
          "birth.signature"}
RESTING = (Step.DONE, Step.HOLD, Step.FAULT)


@dataclass(frozen=True)
class Order:
    """What a line makes.

    Attributes:
        lot: its name in the ledger. product, model: of the devices. image: what is flashed.
        limits: of the self-test. site: a configuration whose sensors are wired to each board; b"": none.
    """

    lot: str
    product: str
    model: str
    image: FlashImage
    limits: Mapping[str, Limit]
    site: bytes = b""


@dataclass(frozen=True)
class Face:
    """What is shown of a port."""

    port: str
    step: Step = Step.EMPTY
    device: str = ""
    since_s: float = 0.0      # time.monotonic() when the board came
    part: float = 0.0         # of FLASH that is done, 0..1
    message: str = ""


@dataclass
class Line:
    """What the ports share. `folder`: the station's, for labels.

    Attributes:
        faces: port -> what is shown of it.
        allowance: what the station may do while the ledger does not answer.
        left: births that the lot still admits; None: not known. is_away: the ledger did not answer last time.
        stop: set it, and the line ends. closed: the ledger admits no more of this lot.
    """

    order: Order
    pen: Pen
    books: Books
    journal: Journal
    kit: Path
    folder: Path
    now_s: Callable[[], int] = lambda: int(time.time())
    allowance: Allowance | None = None
    faces: dict[str, Face] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    left: int | None = None
    is_away: bool = False
    _memory: dict[str, Memory] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for entry in self.journal.entries:
            if "memory" in entry:
                self._memory[entry["mac"]] = Memory(**entry["memory"])

    def memory(self, mac: str) -> Memory:
        return self._memory.get(mac, Memory())

    def remember(self, mac: str, memory: Memory, what: str, **more: object) -> None:
        """Write down what is known of a board now, and then know it."""
        self.journal.append({"what": what, "at": self.now_s(), "mac": mac, **more, "memory": asdict(memory)})
        self._memory[mac] = memory

    def take(self, mac: str) -> None:
        """A board is at one port at a time; two that claim one MAC address are not both what they say.

        Raises:
            ProvisioningError: "line.twice".
        """
        with self._lock:
            if mac in self._busy:
                raise ProvisioningError("line.twice", f"{mac}: a board at another port has the same MAC address; take both out")
            self._busy.add(mac)

    def leave(self, mac: str) -> None:
        with self._lock:
            self._busy.discard(mac)

    def allow(self, announced: Announcement, mac: str) -> bool:
        """Enter a birth in the journal, to be settled later, if an allowance admits it. Boards from before a crash count."""
        with self._lock:
            if self.allowance is None:
                return False
            used = sum(entry["what"] == "allowed" and entry["lot"] == self.allowance.name for entry in self.journal.entries)
            if not admits(self.allowance, self.order.lot, self.pen.name, used, self.now_s()):
                return False
            raw = self.pen.of(self.allowance.name).record(announced, self.now_s())
            self.remember(mac, self.memory(mac), "allowed", device=announced.device, lot=self.allowance.name, record=raw.hex())
            return True

    @property
    def at_rest(self) -> bool:
        """Whether no board is being worked on."""
        return all(face.step in (*RESTING, Step.EMPTY) for face in self.faces.values())
