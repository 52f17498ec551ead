"""Several readings for a sample: their median, since a radio's burst or a relay's spark moves a mean and not a median. Noise that
is always there is what the averages are for.

Stands before the sampler. The readings follow each other at once, so it is for sensors that convert when they are read.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.sampler import Sampler


class Oversampling:
    """A sampler that asks another more than once.

    Args:
        times: readings for a sample, of each channel.
    """

    def __init__(self, sampler: "Sampler", times: list[int]) -> None:
        self._sampler = sampler
        self._times = times
        self.lead_ms = sampler.lead_ms
        self.start = sampler.start

    @property
    def bad(self) -> int:
        return self._sampler.bad

    def take(self, places: tuple[int, ...]) -> list[int | None]:
        """The median of each channel's readings; of those that came, and None when none did."""
        found: dict[int, list[int]] = {place: [] for place in places}
        asked, done = places, 0
        while asked:
            for place, value in zip(asked, self._sampler.take(asked)):   # noqa: B905 MicroPython's zip has no strict
                if value is not None:
                    found[place].append(value)
            done += 1
            asked = tuple(place for place in asked if self._times[place] > done)
        return [_middle(found[place]) for place in places]


def _middle(values: list[int]) -> int | None:
    return sorted(values)[(len(values) - 1) // 2] if values else None
