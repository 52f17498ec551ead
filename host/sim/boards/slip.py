"""SLIP (RFC 1055), in which esptool and a chip's loader talk: frames between two END bytes. Pure."""

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
MAX_FRAME_BYTES = 1 << 17   # of what is not ended; a block of 16 KiB is at most twice as long


class Decoder:
    """Puts frames together from bytes that come in any pieces.

    Attributes:
        stray: bytes between frames since it was last emptied; a chip in its loader is sent none.
    """

    def __init__(self) -> None:
        self._frame = bytearray()
        self._inside = False
        self.stray = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that these bytes complete."""
        frames = []
        for number, part in enumerate(data.split(END)):
            if number and self._inside and self._frame:
                frames.append(bytes(self._frame).replace(ESC_END, END).replace(ESC_ESC, ESC))
                self._frame.clear()
                self._inside = False
            elif number:
                self._inside = True
            if not self._inside:
                self.stray += part
            elif len(self._frame) < MAX_FRAME_BYTES:
                self._frame += part
        return frames


def encode(packet: bytes) -> bytes:
    """A packet as one frame."""
    return END + packet.replace(ESC, ESC_ESC).replace(END, ESC_END) + END
