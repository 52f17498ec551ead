"""What can go wrong on a device, one family per party at fault.

Every error carries a code (`batch.crc`, `ring.full`): callers branch on the type or the code, never on the text. The family
says who has to act: the sender of the bytes, the peer, the network, the flash or the caller.
"""


class NodeError(Exception):
    """Base of all errors raised by node.

    Attributes:
        code: Lower-case, dotted, stable: `<part>.<fault>`.
        message: For people: the key, what was got and what was expected.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class FormatError(NodeError):
    """The bytes are malformed: no correct sender wrote them, or they were damaged on the way."""


class PeerError(NodeError):
    """The server or broker misbehaves, refuses, or offers what must not be accepted."""


class SignatureError(PeerError):
    """A signed object is not signed by enough of the keys that may sign it."""


class NetworkError(NodeError):
    """The network or the connection failed; trying again later may help."""


class FlashError(NodeError):
    """The flash did not read, program or erase what it was told to."""


class SensorError(NodeError):
    """A sensor answers what cannot be its reading: damaged, implausible, or a fault that it tells itself."""


class CallerError(NodeError):
    """The program or its configuration is wrong; trying again does not help."""
