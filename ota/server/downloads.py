"""What the server's log says of a download, written and read: to whom it gave which bytes of which object.

Given is what an answer held; how much of it arrived, only the device knows. Adds nothing up.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

_LINE = re.compile(r" download (\S+) ([0-9a-f]{64}) (\d+)-(\d+)/(\d+)$")


@dataclass(frozen=True)
class Download:
    """One answer.

    Attributes:
        name: the object's, its SHA-256 in hex. size: its bytes.
        first, last: bytes that the answer held, both inclusive.
    """

    device: str
    name: str
    first: int
    last: int
    size: int

    def __str__(self) -> str:
        return f"download {self.device} {self.name} {self.first}-{self.last}/{self.size}"

    @property
    def given(self) -> int:
        """Bytes of the answer."""
        return self.last - self.first + 1

    @classmethod
    def read(cls, lines: Iterable[str]) -> Iterator[Self]:
        """Find the downloads in a log."""
        for line in lines:
            if found := _LINE.search(line.rstrip()):
                device, name, *numbers = found.groups()
                yield cls(device, name, *map(int, numbers))
