"""How a process of ours waits to be told to stop.

Decides which signals mean it. They are blocked and waited for, so that the main thread is free of handlers and a busy database
cannot delay a stop; what a stop takes is the process's own matter.
"""

import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
