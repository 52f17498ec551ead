"""One installation, from a direction to the trial: what update.py loads when the server directs something.

Decides in which order things are verified, fetched and switched; verify.py what is trusted, download.py how bytes arrive.
"""

import json

from node.agent.paths import DELTA_PATH
from node.compat import const
from node.errors import FlashError
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.server import Server
    from node.agent.update import Update
    from node.agent.verify import Trust
    from node.hints import Any, Awaitable, Callable

MAX_ROOT_STEPS = const(64)   # in one update; a device asleep for years goes on at the next (The Update Framework, 5.3.3)


class Install:
    """One attempt.

    Attributes:
        retry_after_s: how long the server asked us to stay away in its last answer.
    """

    def __init__(self, update: "Update", server: "Callable[[], Server]") -> None:
        self._update = update
        self._server = server
        self.retry_after_s = 0

    async def run(self, raw: bytes, nonce: str, named: "dict[str, Any]") -> None:
        """From the direction's envelope to a trial that the next boot begins; `named` learns what is asked for on the way.

        Raises:
            NetworkError: no verdict on the release. PeerError, FormatError, FlashError: it is refused.
        """
        update, slots = self._update, self._update.slots
        manifest = await self._believe(raw, nonce, named)
        update.to("accepted")
        update.log("fetching", manifest["release"])
        slot = slots.target()
        with Loaded():
            received = await self._fetch(slot, manifest)
        slots.finish(slot, {"release": manifest["release"], "counter": manifest["counter"], "model": update.model,
                            "manifest": named["manifest"], "mpy": manifest["mpy"]})
        update.to("fetched")
        update.log("staged", "%s in %s, %d bytes" % (manifest["release"], slot, received))
        slots.begin_trial(slot, self._switch_image() if manifest["image"] else None)

    async def _believe(self, raw: bytes, nonce: str, named: "dict[str, Any]") -> "dict[str, Any]":
        """The manifest to install, every signature checked; `named` learns what the direction asks for on the way.

        What verifies is in memory between the exchanges, what asks the server during them: a chip has no room for both.
        """
        version = self._trusted(lambda trust: trust.root()["version"])
        for _ in range(MAX_ROOT_STEPS):
            following = await self._asked(lambda server, number=version + 1: server.root(number))   # type: ignore[misc]
            if following is None:
                break
            version = self._trusted(lambda trust, root=following: trust.follow(root))   # type: ignore[misc]
        now_ms = self._update.clock.unix_ms()
        direction = self._trusted(lambda trust: trust.direction(raw, nonce, now_ms // 1000 if now_ms else None))
        named["manifest"] = sha = direction["manifest"]
        envelope = await self._asked(lambda server: server.manifest(sha))
        manifest: dict[str, Any] = self._trusted(
            lambda trust: trust.manifest(envelope, sha, self._update.model, self._update.counter(), self._update.mpy))
        named["counter"] = manifest["counter"]
        self._update.floors.consume(direction)
        return manifest

    async def _asked(self, ask: "Callable[[Server], Awaitable[Any]]") -> "Any":
        server = self._server()
        try:
            return await ask(server)
        finally:
            self.retry_after_s = server.retry_after_s

    def _trusted(self, ask: "Callable[[Trust], Any]") -> "Any":
        """What a Trust answers. Made anew when its code has left: where that lay, the heap must be able to shrink."""
        with Loaded():
            text = self._judged(ask)
        return json.loads(text)

    def _judged(self, ask: "Callable[[Trust], Any]") -> str:
        from node.agent.verify import Trust
        try:
            return json.dumps(ask(Trust(self._update.files, self._update.device)))
        finally:
            self._update.floors.load()

    async def _fetch(self, slot: str, manifest: "dict[str, Any]") -> int:
        """What the release brings, onto flash; bytes received. What has no room stops it before a byte comes."""
        from node.agent.download import fetch
        update, received, content = self._update, 0, manifest["artifact"]
        update.slots.prepare(slot, content["sha256"])   # what it held makes room, for the image's delta too
        if update.deltas is not None:
            update.slots.room(slot, content["size"], update.deltas.free_bytes())
        if manifest["image"]:
            received = await self._fetch_image(manifest["image"])
        try:
            if not content["deltas"] or update.deltas is None:
                update.files.remove(DELTA_PATH)   # of a release that was given up
            else:
                with Loaded():
                    from node.agent.deltas import to_bundle
                    received += await to_bundle(self._asked, update, slot, content)
            more: int = await self._asked(lambda server: fetch(server, update.slots, slot, content, update.clock))
        except FlashError:   # most likely it is full: a part that cannot be completed must not take the room of what keeps us alive
            update.slots.drop(slot)
            raise
        return received + more

    async def _fetch_image(self, image: "dict[str, Any]") -> int:
        from node.agent.download import fetch
        from node.agent.images import COMMIT_BYTES, ImagePart
        update, received = self._update, 0
        part = ImagePart(update.files, update.images(), image["size"])
        if image["deltas"] and update.deltas is not None:
            with Loaded():
                from node.agent.deltas import to_image
                received = await to_image(self._asked, update, part, image, COMMIT_BYTES)
        more: int = await self._asked(lambda server: fetch(server, part, "image", image, update.clock, COMMIT_BYTES))
        return received + more

    def _switch_image(self) -> str:
        """Let the bootloader start the other image next; its partition's label. The trial must begin at once: until then the
        next boot finds an image that is not on trial, and goes back.
        """
        port = self._update.images()
        try:
            port.set_boot()   # type: ignore[union-attr]
        except OSError as error:
            raise FlashError("update.image", "set_boot: %s" % error)
        return port.label   # type: ignore[union-attr]
