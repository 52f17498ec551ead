"""The boot stub: the record of which slot to run, and the slot's bundle as a file system for import.

choose.py decides by the record which slot this boot runs; the agent puts slots on trial and confirms them (node.agent.slots).
Never updated over the air: the formats of record and bundle are the contract with every release.

/boot.json, at most 128 bytes, so that littlefs keeps it inside its directory and replaces it whole or not at all:
    slot    "a", "b" or "factory": the confirmed one
    trial   null, or the slot on trial
    tries   boots of the trial so far; without a trial, crashes of the confirmed slot in a row
    bad     null, or {"slot", "reason"}: a trial that failed and that the server has not heard of
    exit    why the last run ended by itself; "" when it did not
    app     only during a trial that brings an image: the label of the partition whose interpreter it needs

A slot holds release.json, written last, and the bundle: "TFB1 ", the length of the index in six digits, a line "path offset
size" for each file, an empty line, the files. Its hash was checked when it came; here its ends must fit.
"""

import io
import json

PATH = "/boot.json"
DIRS = {"a": "/slots/a", "b": "/slots/b", "factory": "/factory"}
MAX_BYTES = 128    # littlefs keeps a file up to 4 x its program size (32 on ESP32) inline
MAX_REASON = 20    # characters; two reasons and the longest values then fit MAX_BYTES
MAX_LABEL = 16     # characters of a partition's label
READ_BYTES = 240   # at a time while a module is imported; the interpreter takes 255 at most (py/reader.h)
RELEASE = {"release": str, "counter": int, "manifest": str, "model": str, "mpy": int}   # keys of a slot's release.json


def parse(raw):
    """The record in these bytes; a new one (the factory slot) when they are absent or make no sense."""
    fresh = {"slot": "factory", "trial": None, "tries": 0, "bad": None, "exit": "", "app": None}
    try:
        got = json.loads(raw.decode())
        slot, trial, tries, bad = got["slot"], got["trial"], got["tries"], got["bad"]
        if slot not in DIRS or trial not in ("a", "b", None) or type(tries) is not int or not 0 <= tries <= 255:
            return fresh
        if bad is not None:
            bad = {"slot": bad["slot"], "reason": _short(bad["reason"])} if bad["slot"] in ("a", "b") else None
        app = got.get("app") if trial else None
        return {"slot": slot, "trial": trial, "tries": tries, "bad": bad, "exit": _short(got.get("exit", "")),
                "app": _short(app)[:MAX_LABEL] if app else None}
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):   # RuntimeError: MicroPython, nested too deeply
        return fresh


def load(files):
    return parse(files.read(PATH))


def save(files, state):
    kept = {key: value for key, value in state.items() if key != "app" or value}
    files.write_atomic(PATH, json.dumps(kept, separators=(",", ":")).encode())


def release(files, slot):
    """What a complete slot says it holds (keys of RELEASE), or None: its release.json is written last."""
    try:
        got = json.loads((files.read(DIRS[slot] + "/release.json") or b"").decode())
        return got if all(type(got[key]) is kind for key, kind in RELEASE.items()) else None
    except (ValueError, TypeError, KeyError, OSError, RuntimeError):
        return None


class Bundle:
    """A bundle as a read-only file system: os.mount(Bundle(...), "/app"), sys.path = ["/app"].

    Args:
        file: the bundle, open; it stays open, since opening a file costs more flash reads than importing it.
        index_bytes: what lies before its first file. It is searched as bytes: a dict of 60 entries would take 4 KB of RAM more.

    Attributes:
        index: those bytes, or None: whoever has imported enough may set it so, and it is read again when it is needed.
    """

    def __init__(self, file, index_bytes):
        self._file = file
        self._index_bytes = index_bytes
        self.index = None

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        self._file.close()

    def stat(self, path):
        name = "\n" + path.strip("/")
        found = self._find(name)
        if found is None and self.index.find((name + "/").encode()) < 0:
            raise OSError(2)   # ENOENT
        return (0x8000, 0, 0, 0, 0, 0, found[1], 0, 0, 0) if found else (0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def open(self, path, mode):
        """The file, as a stream."""
        if mode != "rb":
            raise OSError(30)   # EROFS
        found = self._find("\n" + path.strip("/"))
        if found is None:
            raise OSError(2)   # ENOENT
        return Part(self._file, found[0], found[0] + found[1])

    def _find(self, name):
        """(offset, size) of the file whose line begins so, or None."""
        if self.index is None:
            self._file.seek(0)
            self.index = self._file.read(self._index_bytes)
        at = self.index.find((name + " ").encode())
        if at < 0:
            return None
        _, start, size = self.index[at + 1:self.index.find(b"\n", at + 1)].split()
        return int(start), int(size)


class Part(io.IOBase):
    """The bytes of a file from `at` to `end`, read as they are asked for: a whole module would need one large hole in memory."""

    def __init__(self, file, at, end):
        self._file, self._at, self._end = file, at, end

    def readinto(self, buffer):
        n = min(len(buffer), self._end - self._at)
        self._file.seek(self._at)
        if self._file.readinto(memoryview(buffer)[:n]) != n:
            raise OSError(5)   # EIO
        self._at += n
        return n

    def ioctl(self, request, argument):
        """For the interpreter's reader: 11 asks how much to read at a time, 4 closes."""
        return READ_BYTES if request == 11 else 0 if request == 4 else -22   # EINVAL


def ended(files, reason, crash):
    """Remember why this run ends. `crash`: by a fault, counted against a confirmed slot (a trial counts its boots)."""
    before = load(files)
    state = dict(before, exit=_short(reason))
    if crash and state["trial"] is None:
        state["tries"] = min(state["tries"] + 1, 255)
    if state != before:   # a slot that crashes for ever must not wear the flash
        save(files, state)


def _short(text):
    """Plain characters only: JSON must not lengthen them."""
    return "".join(char if 32 <= ord(char) < 127 and char not in '"\\' else "?" for char in text[:MAX_REASON])
