"""What the processes of a plant say of themselves: one line each, on standard error, with its time."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CHATTY = ("alembic", "httpx", "httpcore")   # they tell each migration and each URL that they ask


def begin() -> None:
    """Log from now on; how much is said later, by the process's settings."""
    logging.basicConfig(stream=sys.stderr, level="INFO", format=FORMAT)
    quiet()


def quiet() -> None:
    """Keep those silent that tell whatever they do."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
