"""Which devices are known, where a file tells so.

Decides by name alone, for plants whose broker does not bind topics to certificates, or whose CA serves others too. The file has a
device id a line, or a product for all its devices (`hall-*`); `#` begins a comment. It is looked at again every few seconds. One
that cannot be read any more goes on counting: a fleet is not locked out because a file was late.
"""

import logging
import time
from pathlib import Path

from host import ids
from host.ingest.sort import Reject, Sorted
from host.settings import SettingsError

LOOK_S = 5.0   # between looks at the file
log = logging.getLogger(__name__)


class KnownDevices:
    """The names in a file.

    Raises:
        SettingsError: there is no usable file to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._names, self._looked_s = path, frozenset[str](), float("-inf")
        self._seen: tuple[int, int, int] | None = None
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise SettingsError("known_devices", f"{path} ({error})", "a file of device ids and products (`hall-*`)") from None

    def has(self, device: str) -> bool:
        """Tell whether a device is named, itself or by its product."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            try:
                self._read()
            except (OSError, ValueError) as error:
                log.error("known devices %s: %s; those before go on counting", self._path, error)
        return device in self._names or device.partition("-")[0] + ids.ANY in self._names

    def _read(self) -> None:
        stat = self._path.stat()
        seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
        if seen != self._seen:
            self._names = frozenset(ids.read(self._path.read_text(encoding="utf-8"), products=True))
            self._seen = seen


def admitted(one: Sorted, topic: str, payload: bytes, known: KnownDevices | None) -> Sorted:
    """The message; one of an unknown device as a reject. Nothing of it is stored, so nothing of it is acked."""
    if known is None or isinstance(one, Reject) or known.has(one.device):
        return one
    return Reject(topic, one.device, "device.unknown", payload)
