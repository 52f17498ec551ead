"""How a process of ours waits to be told to stop: what its main thread does, which serves nobody.

Decides which signals mean it, how long its threads may take to end, and what its exit code says. The signals are blocked and
waited for, so that the main thread is free of handlers and a busy database cannot delay a stop.
"""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from threading import Thread

EXIT_CRASHED = 1
EXIT_CANNOT_START = 2   # wrong setting, unreadable key or port in use: the caller's to mend, a restart does not help
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_S = 3.0   # what takes longer is left; what it had not committed is done again after the next start

log = logging.getLogger(__name__)


def block() -> None:
    """Keep the signals until `told` asks for them; threads and children that are started from now on do the same."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def told(wait_s: float) -> bool:
    """Wait for so long; whether a stop was asked for.

    The number is looked at: when the wait is interrupted by SIGSTOP and SIGCONT, and is over by then, Python (3.11) gives a siginfo
    that nobody has filled, in place of None. A process that was stopped for a while would end itself, with code 0.
    """
    found = signal.sigtimedwait(STOP_SIGNALS, wait_s)
    return found is not None and found.si_signo in STOP_SIGNALS


def work(threads: Sequence[Thread], stop: Callable[[], None], goes_on: Callable[[], bool] = lambda: True) -> int:
    """Start threads, wait until the process is told to stop, have them stop; gives the exit code.

    Args:
        threads: daemons, not started yet; that one ends by itself is a fault.
        stop: tells them all to end.
        goes_on: asked each second; False stops too.
    """
    block()   # the threads inherit it
    for each in threads:
        each.start()
    code = 0
    while not told(1.0) and goes_on():
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
