"""A bundle or an image made out of the one that runs: which delta fits it, and applying that, from flash to flash.

No connection is open meanwhile. Nothing that it writes is believed: the caller reads it back and compares it with the manifest,
as it does with what was fetched. What a power cut left is made again but not written again, since the same bytes come of it.
"""

import asyncio
import hashlib

from node.agent.download import Appender, kept
from node.compat import const, hexstr
from node.errors import FormatError, PeerError
from node.wire.delta import HEAD_BYTES, WINDOW_BITS, Patch, head

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any, Callable
    from node.ports import Deltas, RandomFile, Store

READ_BYTES = const(512)   # hashed at a time: RAM in one piece


async def choose(content: "dict[str, Any]", failed: bytes, read: "Callable[[int, memoryview], None]", store: "Store", slot: str,
                 alive: "Callable[[], None]") -> "tuple[dict[str, Any] | None, int]":
    """The delta of a manifest's artifact or image that starts from what runs here, and how much of the target the store has.

    None when there is no such delta, when it is longer than what is missing of the target, or when it has failed before.

    Args:
        failed: SHA-256 in hex of a delta that made something else. read: fills a buffer from an offset of what runs here;
            OSError: there is not so much.
    """
    have = (await kept(store, slot))[1]
    for delta in content["deltas"]:
        shorter, tried = delta["size"] < content["size"] - have, delta["sha256"].encode() == failed
        if shorter and not tried and await _starts_here(delta, read, alive):
            return delta, have
    return None, have


async def _starts_here(delta: "dict[str, Any]", read: "Callable[[int, memoryview], None]", alive: "Callable[[], None]") -> bool:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
    try:
        for at in range(0, delta["base"], READ_BYTES):
            piece = buffer[:min(READ_BYTES, delta["base"] - at)]
            read(at, piece)
            digest.update(piece)
            alive()
            await asyncio.sleep(0)
    except OSError:
        return False
    found = hexstr(digest.digest())
    return found == delta["from"]   # type: ignore[no-any-return]


async def apply(tools: "Deltas", file: "RandomFile", delta: "dict[str, Any]", content: "dict[str, Any]", store: "Store", slot: str,
                read: "Callable[[int, memoryview], None]", have: int, alive: "Callable[[], None]", commit_bytes: int) -> None:
    """Write a delta's target behind what the store has of it.

    Args:
        file: the delta, its bytes those that were signed. have: bytes of the target that the store has.

    Raises:
        FormatError: `delta.*`. PeerError: `delta.hash`: it makes something else than was signed. FlashError, OSError: the flash.
    """
    raw = bytearray(HEAD_BYTES)
    file.readinto(raw)
    if head(raw) != (delta["base"], content["size"]):
        raise FormatError("delta.size", "made for other sizes")
    patch = Patch(tools.inflate(file, WINDOW_BITS), read, delta["base"], content["size"])
    appender, digest, made = Appender(store, slot, commit_bytes), hashlib.sha256(), 0
    try:
        while True:
            piece = patch.piece()
            if not piece:
                break
            digest.update(piece)
            made += len(piece)
            if made > have:
                appender.put(piece[-min(made - have, len(piece)):])
            alive()
            await asyncio.sleep(0)   # an image takes a minute: sampling goes on
        appender.commit()
    finally:
        appender.close()
    if file.readinto(bytearray(1)):
        raise FormatError("delta.trailing", "bytes behind the deflated stream")
    if hexstr(digest.digest()) != content["sha256"]:
        raise PeerError("delta.hash", "it makes something else")
