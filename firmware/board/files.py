"""The Files port on MicroPython's file system, the same on every board.

Every file is closed before anything else happens: on littlefs close() is the commit, and a forgotten file would be committed by
the garbage collector at any later time.
"""

import os

from node.errors import FlashError

_DIR = 0x4000   # os.ilistdir's type of a folder


class VfsFiles:
    """Files by absolute path."""

    def read(self, path):
        try:
            with open(path, "rb") as file:
                return file.read() or None   # empty: power went between open and close
        except OSError:
            return None

    def write_atomic(self, path, data):
        temporary = path + ".tmp"
        self._write(temporary, path, data)
        try:
            with open(temporary, "rb") as file:
                kept = file.read()
            if kept != data:
                raise FlashError("files.readback", "%s: wrote %d bytes, read %d others" % (path, len(data), len(kept)))
            os.rename(temporary, path)
        except OSError as error:
            raise FlashError("files.io", "%s: %s" % (path, error))

    def _write(self, temporary, path, data):
        try:
            self._parents(path)
            with open(temporary, "wb") as file:
                file.write(data)
        except OSError as error:
            raise FlashError("files.io", "%s: %s" % (path, error))

    def remove(self, path):
        try:
            os.remove(path)
        except OSError as error:
            if error.errno != 2:   # ENOENT
                os.rmdir(path)

    def list(self, path):
        try:
            return [entry[0] for entry in os.ilistdir(path)]
        except OSError:
            return []

    def mkdirs(self, path):
        made = ""
        for part in path.strip("/").split("/"):
            made += "/" + part
            try:
                if os.stat(made)[0] & _DIR:
                    continue
            except OSError:
                os.mkdir(made)

    def open(self, path):
        try:
            return open(path, "rb")
        except OSError:
            return None

    def append(self, path):
        try:
            return open(path, "ab")
        except OSError:   # no such folder yet
            self._parents(path)
            return open(path, "ab")

    def _parents(self, path):
        parent = path.rsplit("/", 1)[0]
        if parent:
            self.mkdirs(parent)
