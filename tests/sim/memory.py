"""A device's files, clock and chance in memory, as its ports."""

import io

from node.compat import sha256
from node.errors import FlashError


class MemoryFiles:
    """The Files port on a dict, as strict about folders as littlefs."""

    def __init__(self):
        self.data = {}
        self.folders = {"/"}
        self.refuse = None   # a path whose writing fails, as a worn-out flash would

    def read(self, path):
        return self.data.get(path) or None

    def write_atomic(self, path, data):
        if path == self.refuse:
            raise FlashError("files.io", path)
        self.mkdirs(path.rsplit("/", 1)[0])
        self.data[path] = bytes(data)

    def remove(self, path):
        if path in self.folders and self.list(path):
            raise OSError(39)   # ENOTEMPTY
        self.folders.discard(path)
        self.data.pop(path, None)

    def list(self, path):
        start = path.rstrip("/") + "/"
        names = [name for name in list(self.data) + sorted(self.folders) if name.startswith(start) and name != start]
        return sorted({name[len(start):].split("/")[0] for name in names})

    def mkdirs(self, path):
        names = path.strip("/").split("/")
        for n in range(1, len(names) + 1):
            self.folders.add("/" + "/".join(names[:n]))

    def open(self, path):
        return io.BytesIO(self.data[path]) if path in self.data else None

    def append(self, path):
        if path == self.refuse:
            raise OSError(28)   # ENOSPC
        self.mkdirs(path.rsplit("/", 1)[0])
        self.data.setdefault(path, b"")
        return MemoryFile(self, path)


class MemoryFile:
    """A file being written: what is not closed is lost."""

    def __init__(self, files, path):
        self._files = files
        self._path = path
        self._parts = [files.data[path]]

    def write(self, data):
        self._parts.append(bytes(data))
        return len(data)

    def close(self):
        self._files.data[self._path] = b"".join(self._parts)


class StepClock:
    """A clock that moves when told to; learns the time of day as node.agent.clock does."""

    def __init__(self):
        self.now_ms = 0
        self.epoch_ms = 0

    def ticks_ms(self):
        return self.now_ms

    def unix_ms(self):
        return self.epoch_ms + self.now_ms if self.epoch_ms else 0

    def learn(self, unix_ms, quality):
        self.epoch_ms = unix_ms - self.now_ms
        return True


class Chance:
    """Different bytes at each call, the same in each run."""

    def __init__(self):
        self._count = 0

    def urandom(self, n):
        self._count += 1
        return sha256(b"%d" % self._count)[:n]
