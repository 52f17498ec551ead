"""The MQTT topics of a device and the two small messages beside the batches: acknowledgement and state.

An ack is the server's cumulative word that its database has committed every record up to (boot, seq). The state is retained
and replaced by the will when the connection drops. Who may publish what is the broker's configuration.
"""

import json
import struct

from node.compat import Any, const
from node.errors import FormatError
from node.wire.fields import is_release, parse_object, want_int, want_list, want_text
from node.wire.identity import is_device_id
from node.wire.limits import MAX_I31, MAX_U32

UP = "up"   # records, device to server, QoS 1
ACK = "ack"   # acknowledgements, server to device
STATE = "state"   # presence, device to server, retained
OFFLINE = b'{"on":0}'   # the will
ACK_VERSION = const(1)
SEND_SCHEMA = const(1)   # flag: the server lacks the schema of a stored batch, send it again
MAX_STATE_BYTES = const(512)
MAX_REASON = const(48)
_ACK_FORMAT = ">BIIB"
_ACK_BYTES = const(10)


def up(device: str) -> str:
    """Return the topic that carries the device's records."""
    return f"t/{device}/{UP}"


def ack(device: str) -> str:
    """Return the topic that carries the acknowledgements to the device."""
    return f"t/{device}/{ACK}"


def state(device: str) -> str:
    """Return the topic of the device's retained state."""
    return f"t/{device}/{STATE}"


def parse(topic: str) -> tuple[str, str]:
    """Return (device id, kind) of one of the three topics.

    Raises:
        FormatError: `topic.name`.
    """
    parts = topic.split("/")
    if len(parts) != 3 or parts[0] != "t" or parts[2] not in (UP, ACK, STATE) or not is_device_id(parts[1]):
        raise FormatError("topic.name", f"got {topic[:80]!r}")
    return parts[1], parts[2]


def encode_ack(boot: int, seq: int, flags: int = 0) -> bytes:
    """Build an acknowledgement of all records up to and including (boot, seq)."""
    return struct.pack(_ACK_FORMAT, ACK_VERSION, boot, seq, flags)


def parse_ack(raw: bytes) -> tuple[int, int, int]:
    """Return (boot, seq, flags); unknown flags are left in.

    Raises:
        FormatError: `ack.size` or `ack.version`.
    """
    if len(raw) != _ACK_BYTES:
        raise FormatError("ack.size", f"{len(raw)} bytes, expected {_ACK_BYTES}")
    version, boot, seq, flags = struct.unpack(_ACK_FORMAT, raw)
    if version != ACK_VERSION:
        raise FormatError("ack.version", f"got {version}, expected {ACK_VERSION}")
    return boot, seq, flags


def encode_state(boot: int, release: str, counter: int, oldest: tuple[int, int], reason: str) -> bytes:
    """Build the state published after connecting.

    Args:
        oldest: (boot, seq) of the oldest record kept in the ring, or the next to be written.
        reason: Why the last connection ended, for people.
    """
    return json.dumps({"on": 1, "boot": boot, "release": release, "counter": counter, "oldest": list(oldest),
                       "reason": reason[:MAX_REASON]}).encode()


def parse_state(raw: bytes) -> dict[str, Any]:
    """Return {"on": 0}, or {"on": 1, boot, release, counter, oldest: (boot, seq), reason}.

    Raises:
        FormatError: `state.size`, `state.json` or `state.<key>`.
    """
    obj = parse_object(raw, "state", MAX_STATE_BYTES)
    if not want_int(obj, "on", "state", 0, 1):
        return {"on": 0}
    oldest = want_list(obj, "oldest", "state", 2, 2)
    pair = {"oldest": oldest[0], "oldest_seq": oldest[1]}
    if not is_release(obj.get("release")):
        raise FormatError("state.release", "expected three numbers with dots")
    return {
        "on": 1,
        "boot": want_int(obj, "boot", "state", 0, MAX_U32),
        "release": obj["release"],
        "counter": want_int(obj, "counter", "state", 0, MAX_I31),
        "oldest": (want_int(pair, "oldest", "state", 0, MAX_U32), want_int(pair, "oldest_seq", "state", 0, MAX_U32)),
        "reason": want_text(obj, "reason", "state", MAX_REASON),
    }
