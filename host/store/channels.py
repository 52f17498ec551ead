"""What a channel is to whoever reads it: its name, its unit and the step of its integers. Values only."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from host.monitor.alarms import ALARM, columns

EXACT_FACTOR = 1 << 21   # a value of 32 bits times less than this is exact in a float64, which has 53


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a schema; equal ones can share a column."""

    name: str
    unit: str
    resolution: Decimal

    @property
    def places(self) -> int:
        """Decimal places of the resolution, so of every value."""
        return max(0, -int(self.resolution.as_tuple().exponent))

    @property
    def factor(self) -> int:
        """The resolution without its decimal point."""
        return int(self.resolution.scaleb(self.places))

    @property
    def divisor(self) -> int:
        """A power of ten: values are integer x factor / divisor."""
        return int(10**self.places)

    def scale(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Scaled integers to the channel's unit: each the number nearest to the decimal that it stands for.

        A resolution of 0.03 multiplies by 3 and divides by 100: one rounding. A product with 0.03 would round twice.
        """
        if self.factor < EXACT_FACTOR:
            return (steps * self.factor).astype(np.float64) / float(self.divisor)
        return np.array([float(step * self.resolution) for step in steps.tolist()], np.float64)


def tells_alarms(group: Sequence[Channel]) -> bool:
    """Tell whether a schema holds nothing but an alarm's columns: its batches come when something happens, perhaps months ago."""
    if not group or not group[0].name.endswith(ALARM):
        return False   # nearly always
    names = {one.name for one in group}
    return columns(names) == names
