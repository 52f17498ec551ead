"""Plots in a terminal: a line of blocks, and a field of dots. Numbers in, text out."""

from collections.abc import Sequence

import numpy as np

from host.cli.drawn import BLOCKS

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))   # Unicode 10.0, Braille Patterns: bits of a cell's 4 x 2 dots
BLANK = 0x2800


def sparkline(t_ms: Sequence[int], values: Sequence[float], from_ms: int, to_ms: int, width: int) -> str:
    """The mean of each column as a block; a column without a value is a space, so that a gap is seen."""
    if not len(values):
        return " " * width
    column, value = _columns(t_ms, from_ms, to_ms, width), np.asarray(values, np.float64)
    counts = np.bincount(column, minlength=width)
    means = np.bincount(column, value, width) / np.maximum(counts, 1)
    low, high = float(means[counts > 0].min()), float(means[counts > 0].max())
    level = np.rint((means - low) / (high - low) * 7).astype(int) + 1 if high > low else np.full(width, 4)
    return "".join(BLOCKS[level[at]] if counts[at] else " " for at in range(width))


def field(t_ms: Sequence[int], values: Sequence[float], from_ms: int, to_ms: int, width: int, height: int) -> list[str]:
    """Lines of Braille dots, the highest value on top: each column of dots from its lowest to its highest value."""
    if not len(values):
        return [" " * width] * height
    value = np.asarray(values, np.float64)
    low, high = float(value.min()), float(value.max())
    dots = height * 4
    row = np.rint((high - value) / (high - low) * (dots - 1)).astype(int) if high > low else np.full(len(value), dots // 2)
    column = _columns(t_ms, from_ms, to_ms, width * 2)
    top, bottom = np.full(width * 2, dots), np.full(width * 2, -1)
    np.minimum.at(top, column, row)
    np.maximum.at(bottom, column, row)
    cells = np.zeros((height, width), int)
    for at in range(width * 2):
        for dot in range(top[at], bottom[at] + 1):
            cells[dot // 4, at // 2] |= DOTS[dot % 4][at % 2]
    return ["".join(chr(BLANK + cell) if cell else " " for cell in line) for line in cells.tolist()]


def _columns(t_ms: Sequence[int], from_ms: int, to_ms: int, width: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at = (np.asarray(t_ms, np.int64) - from_ms) * width // max(1, to_ms - from_ms + 1)
    return np.clip(at, 0, width - 1)
