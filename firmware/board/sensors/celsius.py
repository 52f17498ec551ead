"""The temperature of the chip itself as a source: what a board without sensors has."""


class Celsius:
    """A temperature that a function gives in degrees; on the classic ESP32 its own is uncalibrated, good for changes."""

    lead_ms = 0

    def __init__(self, measure, place, scale):
        self._measure, self._scale = measure, scale
        self.channels = (place,)

    def start(self):
        """Nothing: it is measured while it is read."""

    def read(self):
        return [self._scale.steps(self._measure())]

    def recover(self):
        """Nothing to begin anew."""
