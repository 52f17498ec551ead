"""What all buses have in common: opened at first use, opened anew after failures.

A bus on which another chip answers is left alone: it is not what is wrong.
"""


class Bus:
    """One bus.

    Args:
        raw: its configuration, as node.wiring.check() left it.

    Attributes:
        answered: a chip on it has given a reading since the last recovery.
    """

    def __init__(self, machine, raw):
        self._machine, self._raw = machine, raw
        self._handle = None
        self.answered = False

    def handle(self):
        """The machine's bus object.

        Raises:
            OSError, ValueError: the machine refuses. SensorError: `sensor.stuck`.
        """
        if self._handle is None:
            self._handle = self._open(self._machine, self._raw)
        return self._handle

    def recover(self):
        if not self.answered:
            self._handle = None
        self.answered = False
