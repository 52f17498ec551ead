"""A station at work on some ports, shown meanwhile: what `tenfold line run` and `tenfold line demo` share."""

import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from host.cli.line_display import Display
from host.sim.plant import FIRMWARE
from provisioning.allowance import Allowance
from provisioning.line import running
from provisioning.line.bench import Line, Order
from provisioning.line.books import Books
from provisioning.line.journal import Journal
from provisioning.line.prompt import make_kit
from provisioning.line.station import Pen

KEY_FILE, JOURNAL_FILE = "station.key", "journal.jsonl"   # in a station's folder
EXIT_FAULTY = 1   # a board was set aside, or did not come
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def work(order: Order, pen: Pen, books: Books, place: Path, where: Sequence[str], *, once: bool, as_json: bool,
         allowance: Allowance | None = None) -> Line:
    """Work until the lot is done or somebody says stop; gives the line as it is then, its journal closed.

    Args:
        place: the station's folder. where: the ports.

    Raises:
        ProvisioningError: "line.busy", "line.journal".
    """
    written = Journal(place / JOURNAL_FILE)
    line = Line(order, pen, books, written, make_kit(FIRMWARE, place / "kit"), place, allowance=allowance)
    before = {number: signal.signal(number, lambda *_: line.stop.set()) for number in STOPPING}
    try:
        with Display(line, Console(stderr=as_json)) as draw:
            running.run(line, where, once=once, show=draw)
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        written.close()
    return line
