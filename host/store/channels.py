"""What a channel is to whoever reads it: its name, its unit and the step of its integers. Values only."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a schema; equal ones can share a column."""

    name: str
    unit: str
    resolution: Decimal

    def fraction(self) -> tuple[float, float]:
        """(factor, divisor) that take a scaled integer to the channel's unit.

        A resolution such as 0.01 divides by 100: 2141 steps read 21.41, where a product would give 21.410000000000004.
        """
        parts = 1 / self.resolution
        return (1.0, float(parts)) if parts == parts.to_integral_value() else (float(self.resolution), 1.0)

    def scale(self, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Scaled integers to the channel's unit."""
        factor, divisor = self.fraction()
        values = steps.astype(np.float64)
        return values / divisor if divisor != 1.0 else values * factor
