"""Where the servers are: DNS is asked anew for each connection, and the last good address stands in while it does not answer.

Good is an address from where a server has said something over TLS, whose certificate named it: not one that some DNS gave. It
is on flash too, written when it has changed, so that a plant whose power comes back before its DNS is not mute. Decides only what
to connect to; board/net.py does, and board/dial.py asks DNS.
"""

from node.errors import FlashError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any, Callable
    from node.ports import Files

PATH = "/state/route"
WRITES = 8   # in a boot: who sends a device to and fro, or a name with many addresses, wears no flash out


def find(route: "list[Any]", files: "Files", ask: "Callable[[str], str]", host: str) -> str:
    """The address to connect to, as text.

    Args:
        route: the last good address or None, the one that is known to be on flash, and how often it was written; begins as
            [None, None, 0], and what stays in memory of all this.
        ask: asks DNS for the name; OSError: it does not say.

    Raises:
        OSError: DNS does not say, and no address was ever good.
    """
    good, kept, writes = route
    if good != kept and writes < WRITES:
        route[1] = good
        if files.read(PATH) != good.encode():
            route[2] = writes + 1
            try:
                files.write_atomic(PATH, good.encode())
            except FlashError:   # a full flash ends no connection
                pass
    try:
        return ask(host)
    except OSError:
        if good is None:
            good = (files.read(PATH) or b"").decode()
        if not good:
            raise
        return good   # type: ignore[no-any-return]
