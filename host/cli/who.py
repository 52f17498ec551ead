"""Who runs a command, for what is kept of it."""

import getpass
import os


def me() -> str:
    """The user's name; where the system knows none, as in a container with a number for a user, that number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):   # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
