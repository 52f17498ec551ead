"""One measured value with its name and labels: what metrics, alerts and the rollout gates are told.

Decides nothing. Names are Prometheus's: lower case, base unit last (`_seconds`, `_bytes`, `_ratio`, `_total`). Labels are few and
bounded: `device`, `model`, `release`, `site` where they apply.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """`metric{labels} value`; a value that is not known makes no sample."""

    metric: str
    labels: Mapping[str, str]
    value: float
