"""The slots on the file system and the boot record: the only module that writes either.

Decides in which order files come and go, so that a power cut at any instant leaves complete slots complete and everything
else visibly incomplete: release.json leaves first and comes last. Refuses the running slot and factory. Fetches nothing,
verifies no signatures, and does not decide when to update or confirm.
"""

import gc
import json

from node.compat import hexstr, sha256
from node.errors import CallerError, FlashError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any
    from node.ports import Files, OpenFile

MARKER = "release.json"   # its presence says that the slot is complete


class Slots:
    """The slots as the running firmware may use them.

    Args:
        files: the file system.
        stub: the boot stub's module: DIRS, load, save, release, ended. It is older than this code, never newer.
        running: the slot this boot runs from.
    """

    def __init__(self, files: "Files", stub: "Any", running: str) -> None:
        self._files = files
        self._stub = stub
        self.running = running

    def target(self) -> str:
        """The slot that an update may overwrite: not the running one, nor the confirmed one if another slot runs."""
        if self.running == "a":
            return "b"
        if self.running == "b":
            return "a"
        confirmed = self._stub.load(self._files)["slot"]
        return "b" if confirmed == "a" else "a"

    def clear(self, slot: str, wanted: list[str]) -> None:
        """Make a slot incomplete, then remove everything from it but the wanted paths.

        Raises:
            CallerError: `slot.protected`. FlashError: `slot.io`.
        """
        root = self._dir(slot)
        try:
            self._files.remove(root + "/" + MARKER)
            self._prune(root, "", set(wanted))
        except OSError as error:
            raise FlashError("slot.io", "clear %s: %s" % (slot, error))

    def holds(self, slot: str, path: str, size: int, digest: str) -> bool:
        """Whether the slot has this file, read back from flash; a wrong or partial one is removed.

        The file is read whole: importing it takes as much memory.
        """
        gc.collect()
        name = self._dir(slot) + "/" + path
        try:
            data = self._files.read(name)
            if data is not None and len(data) == size and hexstr(sha256(data)) == digest:
                return True
            self._files.remove(name)
        except OSError as error:
            raise FlashError("slot.io", "%s: %s" % (name, error))
        return False

    def create(self, slot: str, path: str) -> "OpenFile":
        """Open one file of a slot for writing."""
        name = self._dir(slot) + "/" + path
        try:
            return self._files.create(name)
        except OSError as error:
            raise FlashError("slot.io", "%s: %s" % (name, error))

    def finish(self, slot: str, release: dict[str, "Any"]) -> None:
        """Declare a slot complete. The caller has checked every file with holds().

        Args:
            release: {"release", "counter", "manifest", "model", "mpy"}.
        """
        self._files.write_atomic(self._dir(slot) + "/" + MARKER, json.dumps(release).encode())
        if self._stub.release(self._files, slot) != release:
            raise FlashError("slot.marker", "%s does not read back as complete" % slot)

    def begin_trial(self, slot: str) -> None:
        """The next boot runs this complete slot, on trial."""
        self._dir(slot)
        if self._stub.release(self._files, slot) is None:
            raise CallerError("slot.incomplete", "%s cannot be tried" % slot)
        self._change({"trial": slot, "tries": 0, "bad": None, "exit": ""})

    def confirm(self) -> None:
        """The running slot has proved itself: boot it from now on, and forget its crashes."""
        self._change({"slot": self.running, "trial": None, "tries": 0, "exit": ""})

    def failed_slot(self) -> str | None:
        """The slot whose trial failed and of which the server has not heard."""
        bad = self._stub.load(self._files)["bad"]
        return bad["slot"] if bad else None

    def forget_failed(self) -> None:
        """The server has heard of the failed trial: that slot is no fallback, and the record is free for the next."""
        slot = self.failed_slot()
        if slot is not None and slot != self.running:
            self._files.remove(self._dir(slot) + "/" + MARKER)
        self._change({"bad": None})

    def ending(self, reason: str) -> None:
        """Remember why the trial's run is about to end."""
        self._stub.ended(self._files, reason, False)

    def _change(self, values: dict[str, "Any"]) -> None:
        before = self._stub.load(self._files)
        after = dict(before)
        after.update(values)
        if after != before:
            self._stub.save(self._files, after)

    def _dir(self, slot: str) -> str:
        if slot not in ("a", "b") or slot == self.running:
            raise CallerError("slot.protected", "%s is never written while %s runs" % (slot, self.running))
        return self._stub.DIRS[slot]   # type: ignore[no-any-return]

    def _prune(self, root: str, folder: str, wanted: set[str]) -> None:
        """Depth first: what is neither wanted nor a parent of something wanted goes, and so do empty folders."""
        for name in self._files.list(root + ("/" + folder if folder else "")):
            path = folder + "/" + name if folder else name
            self._prune(root, path, wanted)
            if path not in wanted and not self._files.list(root + "/" + path):
                self._files.remove(root + "/" + path)
