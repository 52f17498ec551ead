"""Readings like a field device's, when no recording is at hand: temperature, humidity, pressure and vibration of a machine.

Drift and white noise, and a machine that is now and then off; the steps have an entropy of about 0.45 bytes a reading, as a
field-like workload had that codecs were compared on (0.44). Repeatable: a seed gives the same readings everywhere.
"""

import random

CHANNELS = (("temperature", "degC", "0.01"), ("humidity", "%RH", "0.1"), ("pressure", "Pa", "1"), ("vibration", "mm/s", "0.001"))
_START = (2150.0, 450.0, 101_325.0, 1200.0)   # steps of the resolution
_DRIFT = (0.7, 0.3, 0.9, 0.0)   # standard deviation of a step of the walk
_NOISE = (1.5, 0.8, 3.0, 4.5)   # of the sensor
_OFF, _OFF_NOISE, _SWITCH = 15.0, 2.0, 1 / 300   # vibration of a machine at rest; chance a sample that it changes


def typical(seed: int, samples: int) -> list[list[int]]:
    """One list a channel, in steps of its resolution."""
    chance = random.Random(seed)   # noqa: S311  repeatable
    level = list(_START)
    running = True
    columns: list[list[int]] = [[] for _ in CHANNELS]
    for _ in range(samples):
        running ^= chance.random() < _SWITCH
        for i, column in enumerate(columns):
            level[i] += chance.gauss(0, _DRIFT[i])
            value = level[i] + chance.gauss(0, _NOISE[i])
            if i == len(columns) - 1 and not running:
                value = _OFF + chance.gauss(0, _OFF_NOISE)
            column.append(round(value))
    return columns
