"""The slots on the file system and the boot record: the only module that writes either.

Decides in which order files come and go, so that a power cut at any instant leaves complete slots complete and everything
else visibly incomplete: release.json leaves first and comes last; `part` names the artifact before any byte of it is there, and
stays. Refuses the running slot and factory. Fetches nothing, verifies no hashes or signatures, and does not decide when to update
or confirm.
"""

import json

from node.errors import CallerError, FlashError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any
    from node.ports import Files, OpenFile, RandomFile, ReadFile

MARKER = "release.json"   # its presence says that the slot is complete
BUNDLE = "bundle"
PART = "part"   # SHA-256 in hex of the artifact whose beginning, or all, the bundle is; below 128 bytes: inline on littlefs


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

    def prepare(self, slot: str, sha256: str) -> None:
        """Make a slot incomplete, and empty it unless what it has is of this artifact.

        Raises:
            CallerError: `slot.protected`. FlashError: `slot.io`, or as the file system's.
        """
        root = self._dir(slot)
        try:
            self._files.remove(root + "/" + MARKER)
            same = self._files.read(root + "/" + PART) == sha256.encode()
            self._prune(root, (BUNDLE, PART) if same else ())
        except OSError as error:
            raise FlashError("slot.io", "prepare %s: %s" % (slot, error))
        if not same:
            self._files.write_atomic(root + "/" + PART, sha256.encode())

    def drop(self, slot: str) -> None:
        """Remove the bundle: the next download starts over."""
        name = self._dir(slot) + "/" + BUNDLE
        try:
            self._files.remove(name)
        except OSError as error:
            raise FlashError("slot.io", "%s: %s" % (name, error))

    def open(self, slot: str) -> "ReadFile | None":
        """The bundle of a slot for reading, or None."""
        return self._files.open(self._dir(slot) + "/" + BUNDLE)

    def base(self) -> "RandomFile | None":
        """The bundle that runs, for reading: what a delta starts from."""
        return self._files.open(self._stub.DIRS[self.running] + "/" + BUNDLE)

    def append(self, slot: str) -> "OpenFile":
        """The bundle of a prepared slot for writing at its end."""
        name = self._dir(slot) + "/" + BUNDLE
        try:
            return self._files.append(name)
        except OSError as error:
            raise FlashError("slot.io", "%s: %s" % (name, error))

    def room(self, slot: str, size: int, free: int) -> None:
        """Make sure that a prepared slot can hold a bundle of this size, with so many bytes free beside what it has of it.

        Raises:
            FlashError: `slot.room`: it surely cannot, so no byte of it need be fetched; what it had is gone.
        """
        file = self._files.open(self._dir(slot) + "/" + BUNDLE)
        kept = 0
        if file is not None:
            kept = file.seek(0, 2)
            file.close()
        if size > free + kept:
            self.drop(slot)
            raise FlashError("slot.room", "%s: %d bytes, room for %d" % (slot, size, free + kept))

    def finish(self, slot: str, release: dict[str, "Any"]) -> None:
        """Declare a slot complete. The caller has read its bundle back.

        Args:
            release: {"release", "counter", "manifest", "model", "mpy"}.
        """
        self._files.write_atomic(self._dir(slot) + "/" + MARKER, json.dumps(release).encode())
        if self._stub.release(self._files, slot) != release:
            raise FlashError("slot.marker", "%s does not read back as complete" % slot)

    def begin_trial(self, slot: str, app: str | None = None) -> None:
        """The next boot runs this complete slot, on trial.

        Args:
            app: label of the partition whose interpreter the release needs; None if it runs on the present one.
        """
        self._dir(slot)
        if self._stub.release(self._files, slot) is None:
            raise CallerError("slot.incomplete", "%s cannot be tried" % slot)
        self._change({"trial": slot, "tries": 0, "bad": None, "exit": "", "app": app})

    def confirm(self) -> None:
        """The running slot has proved itself: boot it from now on, and forget its crashes."""
        self._change({"slot": self.running, "trial": None, "tries": 0, "exit": "", "app": None})

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

    def _prune(self, folder: str, wanted: "tuple[str, ...]") -> None:
        """Remove everything in a folder but these names, depth first."""
        for name in self._files.list(folder):
            if name not in wanted:
                self._prune(folder + "/" + name, ())
                self._files.remove(folder + "/" + name)
