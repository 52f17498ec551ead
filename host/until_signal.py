"""Work in threads until a signal: what the main thread of a process does that serves nobody.

It only waits, so that a busy database cannot delay the stop.
"""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from threading import Thread

EXIT_CRASHED = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_S = 3.0   # what takes longer is left; what it had not committed is done again after the next start

log = logging.getLogger(__name__)


def work_until_signal(threads: Sequence[Thread], stop: Callable[[], None]) -> int:
    """Start threads, wait for SIGTERM or SIGINT, have them stop; gives the exit code.

    Args:
        threads: daemons, not started yet; that one ends by itself is a fault.
        stop: tells them all to end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)   # the threads inherit it
    for each in threads:
        each.start()
    code = 0
    while signal.sigtimedwait(STOP_SIGNALS, 1.0) is None:
        if not all(each.is_alive() for each in threads):
            log.error("ended by a fault, see above")
            code = EXIT_CRASHED
            break
    stop()
    until_s = time.monotonic() + STOP_S
    for each in threads:
        each.join(max(0.0, until_s - time.monotonic()))
    log.info("stopped")
    return code
