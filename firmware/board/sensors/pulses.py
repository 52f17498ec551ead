"""A pulse counter as a source: the pulses since the sample before, in whole steps; what is left over counts in the next one.

The chip's counter counts where MicroPython offers it (machine.Counter, after v1.26). Before, each pulse is an interrupt that
waits in a queue of eight while the interpreter is busy: what comes faster than that is lost, so meters of some pulses a second are
the limit (a TLS handshake holds the interpreter for 0.3 s). Pulses while the board is off or restarts are not seen, and none is
counted twice. The first sample has no sample before it, and no reading.
"""

MASK_MS = (1 << 30) - 1   # time.ticks_ms wraps there


class Pulses:
    """The pulses on one pin.

    Args:
        raw: the sensor's configuration, as node.wiring.check() left it. number: of the chip's counters. ticks_ms: of the machine.
    """

    lead_ms = 0

    def __init__(self, machine, raw, number, ticks_ms, place, scale):
        self._machine, self._raw, self._number, self._ticks_ms = machine, raw, number, ticks_ms
        self._scale = scale
        self.channels = (place,)
        self._count = None
        self._rest = 0

    def start(self):
        if self._count is None:
            machine, raw = self._machine, self._raw
            pulls = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}
            pin = machine.Pin(raw["pin"], machine.Pin.IN, pulls.get(raw["pull"]))
            rising = raw["edge"] == "rising"
            if hasattr(machine, "Counter") and not raw["debounce_ms"]:
                kind = machine.Counter
                self._count = kind(self._number, pin, edge=kind.RISING if rising else kind.FALLING).value
            else:
                self._count = Interrupts(pin, machine.Pin.IRQ_RISING if rising else machine.Pin.IRQ_FALLING, raw["debounce_ms"],
                                         self._ticks_ms).value
            self._last = None

    def read(self):
        count, last = self._count(), self._last
        self._last = count
        if last is None:
            return [None]
        steps, self._rest = self._scale.whole(count - last, self._rest)
        return [steps]

    def recover(self):
        self._count = None


class Interrupts:
    """Counts a pin's interrupts, those less than `debounce_ms` after the last one left out."""

    def __init__(self, pin, trigger, debounce_ms, ticks_ms):
        self._ticks_ms, self._debounce_ms = ticks_ms, debounce_ms
        self._n, self._at = 0, ticks_ms() - debounce_ms
        pin.irq(self._pulse, trigger)

    def value(self):
        return self._n

    def _pulse(self, _pin):
        now = self._ticks_ms()
        if (now - self._at) & MASK_MS >= self._debounce_ms:
            self._n += 1
        self._at = now
