"""One installation, from a direction to the trial: what update.py loads when the server directs something.

Decides in which order things are verified, fetched and switched; verify.py what is trusted, download.py how bytes arrive.
"""

from node.compat import const
from node.errors import FlashError
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.server import Server
    from node.agent.update import Update
    from node.agent.verify import Trust
    from node.hints import Any, Callable

MAX_ROOT_STEPS = const(64)   # in one update; a device asleep for years goes on at the next (The Update Framework, 5.3.3)


class Install:
    """One attempt."""

    def __init__(self, update: "Update", server: "Server") -> None:
        self._update = update
        self._server = server

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

        What verifies is loaded between the exchanges: a chip has no room for it beside a TLS session.
        """
        version = self._trusted(lambda trust: trust.root()["version"])
        for _ in range(MAX_ROOT_STEPS):
            following = await self._server.root(version + 1)
            if following is None:
                break
            version = self._trusted(lambda trust, root=following: trust.follow(root))   # type: ignore[misc]
        now_ms = self._update.clock.unix_ms()
        direction = self._trusted(lambda trust: trust.direction(raw, nonce, now_ms // 1000 if now_ms else None))
        named["manifest"] = sha = direction["manifest"]
        envelope = await self._server.manifest(sha)
        manifest: dict[str, Any] = self._trusted(
            lambda trust: trust.manifest(envelope, sha, self._update.model, self._update.counter(), self._update.mpy))
        named["counter"] = manifest["counter"]
        self._update.floors.consume(direction)
        return manifest

    def _trusted(self, ask: "Callable[[Trust], Any]") -> "Any":
        with Loaded():
            from node.agent.verify import Trust
            try:
                return ask(Trust(self._update.files, self._update.device))
            finally:
                self._update.floors.load()

    async def _fetch(self, slot: str, manifest: "dict[str, Any]") -> int:
        """What the release brings, onto flash; bytes received. The image comes first: a board without room for it stops there."""
        from node.agent.download import fetch
        received = 0
        if manifest["image"]:
            from node.agent.images import COMMIT_BYTES, ImagePart
            part = ImagePart(self._update.files, self._update.images(), manifest["image"]["size"])
            received = await fetch(self._server, part, "image", manifest["image"], self._update.clock, COMMIT_BYTES)
            del part   # its buffer
        return received + await fetch(self._server, self._update.slots, slot, manifest["artifact"], self._update.clock)

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
