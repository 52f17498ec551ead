"""A line's ports at work, all at once, until its lot is done or somebody stops it.

Decides when a line is at its end. A thread for each port, since each waits for tools that are processes of their own.
"""

import threading
from collections.abc import Callable, Sequence

from provisioning.line.bench import RESTING, Line
from provisioning.line.books import AwayError
from provisioning.line.port import Port
from provisioning.line.settling import settle

DRAW_S = 0.25   # between two looks for whoever shows the line
ASK_EACH = 20   # looks between two questions how full the lot is


def run(line: Line, ports: Sequence[str], *, once: bool, show: Callable[[], None] = lambda: None) -> None:
    """Work until the lot is full or closed and no board is under way; or `line.stop` is set.

    Args:
        once: end as well when each port has a board that is done, held or set aside.
        show: called again and again meanwhile, from this thread.
    """
    threads = [threading.Thread(target=Port(line, port).run, name=f"line {port}") for port in ports]
    for thread in threads:
        thread.start()
    try:
        looks = 0
        while not line.stop.wait(DRAW_S):
            if looks % ASK_EACH == 0 or (once and _all_rest(line)):
                ask(line)
            looks += 1
            show()
            if (line.closed.is_set() and line.at_rest) or (once and _all_rest(line)) or not any(one.is_alive() for one in threads):
                break
    finally:
        line.stop.set()
        for thread in threads:
            thread.join()
        show()


def ask(line: Line) -> None:
    """Settle what was born without the ledger, and ask how full the lot is; a ledger that does not answer says nothing new."""
    try:
        settle(line.books, line.journal, line.now_s())
        terms = line.books.terms(line.order.lot)
    except AwayError:
        line.is_away = True
        return
    line.is_away = False
    line.left = max(0, terms.lot.quota - terms.births)
    if not line.left or terms.lot.revoked or terms.lot.closed or line.now_s() >= terms.lot.expires_s:
        line.closed.set()


def _all_rest(line: Line) -> bool:
    return all(face.step in RESTING for face in line.faces.values())
