"""Findings of the forest: windows in which the channels do not fit each other.

Decides when a window's score is a finding (beyond the limit in two windows in a row), which channel is named, and when it began.
"""

from dataclasses import replace

import numpy as np

from host.monitor.anomaly.features import Windows
from host.monitor.anomaly.findings import TOGETHER, Finding
from host.monitor.anomaly.forest import Forest
from host.monitor.anomaly.tuning import Tuning


def findings_of(device: str, forest: Forest, windows: Windows, units: dict[str, str], tuning: Tuning) -> list[Finding]:
    """Judge windows in the order of time."""
    found: list[Finding] = []
    scores = forest.scores(windows.rows) if len(windows.rows) else np.empty(0)
    for place in np.flatnonzero(scores > forest.limit).tolist():
        at_ms, end_ms = int(windows.at_ms[place]), int(windows.at_ms[place]) + forest.window_ms
        if not place or scores[place - 1] <= forest.limit or at_ms - int(windows.at_ms[place - 1]) != forest.window_ms:
            continue
        score = float(scores[place])
        if found and at_ms - found[-1].last_ms <= tuning.quiet_ms:
            found[-1] = replace(found[-1], last_ms=end_ms, times=found[-1].times + 1, score=max(score, found[-1].score))
            continue
        channel = forest.shares(windows.rows[place])[0][0]
        feature, value, usual, sigmas = forest.farthest(windows.rows[place], channel)
        found.append(Finding(device, channel, TOGETHER, units.get(channel, ""), at_ms - forest.window_ms, end_ms, end_ms, score,
                             forest.limit, value, usual, sigmas, feature=feature))
    newest = int(windows.at_ms[-1]) + forest.window_ms if len(windows.at_ms) else 0
    return [one if newest - one.last_ms <= tuning.quiet_ms else replace(one, until_ms=one.last_ms) for one in found]
