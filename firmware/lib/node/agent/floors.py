"""What this device must never fall below: the direction it acted on last, the release it confirmed, the root it follows."""

import json

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any
    from node.ports import Files

STATE = "/state/trust.json"   # {"seq", "floor", "root"}: below 128 bytes, so littlefs replaces it cheaply


class Floors:
    """The floors of one device, kept on flash.

    Attributes:
        seq: of the last direction acted upon; only a higher one is heard.
        floor: the highest release counter confirmed here; nothing lower is installed.
        root_version: of the newest root followed.
    """

    def __init__(self, files: "Files") -> None:
        self._files = files
        self.load()

    def load(self) -> None:
        """Take the state from flash: somebody else may have written it."""
        self.seq = self.floor = 0
        self.root_version = 1
        try:
            state = json.loads((self._files.read(STATE) or b"{}").decode())
            values = [state[key] for key in ("seq", "floor", "root")]
            if all(type(value) is int and value >= 0 for value in values):
                self.seq, self.floor, self.root_version = values
        except (ValueError, TypeError, KeyError, RuntimeError):
            pass   # lost floors: the nonce still binds a direction, and the running counter still bounds a release

    def raise_floor(self, counter: int) -> None:
        """The release with this counter is confirmed: nothing lower is installed any more."""
        if counter > self.floor:
            self.save(self.seq, counter, self.root_version)

    def consume(self, direction: "dict[str, Any]") -> None:
        """A direction is acted upon: neither it nor an older one is heard again, whatever comes of it."""
        self.save(direction["seq"], self.floor, self.root_version)

    def save(self, seq: int, floor: int, root_version: int) -> None:
        """Replace all three, on flash first."""
        state = {"seq": seq, "floor": floor, "root": root_version}
        self._files.write_atomic(STATE, json.dumps(state).encode())
        self.seq, self.floor, self.root_version = seq, floor, root_version
