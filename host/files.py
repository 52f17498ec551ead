"""Files that are there whole or as they were, whatever happens while they are written, and whoever else writes them."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def others_may_read(status: os.stat_result) -> bool:
    """Whether a file with a secret is open to anybody but its owner.

    A file of root:root with mode 0440 is not: so systemd hands a service its credentials, by an ACL whose mask stands where the
    group's bits stand.
    """
    mode = stat.S_IMODE(status.st_mode)
    is_credential = (mode, status.st_uid, status.st_gid) == (0o440, 0, 0)
    return bool(mode & (stat.S_IRWXO | stat.S_IRWXG)) and not is_credential


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Read, change and write a file while all others who do it so wait. Its folder is locked, so that nothing is left beside it.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is there whole, or as it was; a power cut right afterwards does not take it back."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece; it is at its place when the block ends, and as it was when the block fails."""
    path = path.resolve()   # a link stays one
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
