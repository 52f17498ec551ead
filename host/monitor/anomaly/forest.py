"""An isolation forest over windows of several channels: what is usual for each channel alone, and not together.

Decides how unusual a window is (0..1; half is average) and which channel makes it so: with that channel's features put to their
usual values, the score falls the most. scikit-learn grows the trees; they are kept as plain arrays (npz, no pickle) and asked by
numpy, so that a stored model is data and never code, and nothing but numpy is needed to use one.

A forest's score cannot leave the range that its trees know: it has a ceiling and ranks what is far off no higher than what is
just outside. The limit comes from the last part of the training windows, which the trees have not seen (peaks.py), and stays
below the ceiling.
"""

import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from host.clock import WEEK_MS
from host.monitor.anomaly.features import Matrix, Windows
from host.monitor.anomaly.peaks import LEAST_BLOCKS, threshold
from host.monitor.anomaly.tuning import Tuning

TREES = 100            # scikit-learn's default; the score's error falls with its root
SAMPLE = 256           # windows of a tree: scikit-learn's default
GROWN_SHARE = 0.7      # of the training windows; the limit is set on the rest
LEAST_WINDOWS = 32
LEAF = -2              # feature of a node without children, as scikit-learn has it
MOST_BYTES = 64 << 20
EULER = 0.5772156649

Numbers = npt.NDArray[np.int32]


class ModelError(Exception):
    """A forest cannot be grown or read; the message tells why and what to do."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees as arrays of (tree, node); node 0 is the root.

    Attributes:
        names: (channel, feature) of each column.
        feature: column that a node asks, LEAF at the end; left, right: next node where the value is at most `cut`, and above.
        length: at a leaf, the expected length of the path to a window that ends there.
        usual, scale: of each column, median and robust standard deviation in training.
        normal: expected length for as many windows as a tree has seen.
    """

    names: tuple[tuple[str, str], ...]
    window_ms: int
    trained_ms: int
    limit: float
    normal: float
    usual: Matrix
    scale: Matrix
    feature: Numbers
    left: Numbers
    right: Numbers
    cut: Matrix
    length: Matrix

    def scores(self, rows: Matrix) -> Matrix:
        """How unusual each row is, 0..1."""
        values = np.where(np.isfinite(rows), rows, self.usual).astype(np.float32).astype(np.float64)   # as the trees were grown
        total = np.zeros(len(values))
        every = np.arange(len(values))
        for tree in range(len(self.feature)):
            node = np.zeros(len(values), np.int64)
            while True:
                asked = self.feature[tree, node]
                inner = asked != LEAF
                if not inner.any():
                    break
                low = values[every, np.where(inner, asked, 0)] <= self.cut[tree, node]
                node = np.where(inner, np.where(low, self.left[tree, node], self.right[tree, node]), node)
            total += self.length[tree, node]
        return np.asarray(np.exp2(-total / (len(self.feature) * self.normal)), np.float64)

    def shares(self, row: Matrix) -> list[tuple[str, float]]:
        """How much of the score each channel makes, the most first."""
        channels = list(dict.fromkeys(channel for channel, _ in self.names if channel))
        owner = np.array([channel for channel, _ in self.names])
        without = np.repeat(row[None, :], 1 + len(channels), axis=0)
        for place, channel in enumerate(channels, 1):
            without[place, owner == channel] = self.usual[owner == channel]
        scores = self.scores(without)
        return sorted(((channel, float(scores[0] - scores[place])) for place, channel in enumerate(channels, 1)),
                      key=lambda one: -one[1])

    def farthest(self, row: Matrix, channel: str) -> tuple[str, float, float, float]:
        """The channel's feature that is farthest from usual: its name, value, usual value and robust sigmas."""
        sigmas = (np.where(np.isfinite(row), row, self.usual) - self.usual) / self.scale
        place = max((at for at, (name, _) in enumerate(self.names) if name == channel), key=lambda at: abs(float(sigmas[at])))
        return self.names[place][1], float(row[place]), float(self.usual[place]), float(sigmas[place])

    def dump(self) -> bytes:
        """The model as npz bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, names=np.array(self.names, dtype=np.str_), usual=self.usual, scale=self.scale, feature=self.feature,
            left=self.left, right=self.right, cut=self.cut, length=self.length, normal=self.normal, limit=self.limit,
            times=np.array([self.window_ms, self.trained_ms], np.int64))
        return buffer.getvalue()


def load(body: bytes) -> Forest:
    """Read what `dump` wrote; nothing in it is run, and it is checked before it is used.

    Raises:
        ModelError: not a model, or one whose trees do not end.
    """
    if len(body) > MOST_BYTES:
        raise ModelError(f"model has {len(body)} bytes, at most {MOST_BYTES} are read; train it again")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as told:
            one = {name: told[name] for name in ("names", "usual", "scale", "feature", "left", "right", "cut", "length")}
            window_ms, trained_ms = told["times"].tolist()
            limit, normal = float(told["limit"]), float(told["normal"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"not a model of this version ({error}); train it again") from None
    columns, shape = len(one["names"]), one["feature"].shape
    inner = one["feature"] != LEAF
    place = np.arange(shape[-1] if len(shape) == 2 else 0)
    fits = (
        len(shape) == 2 and shape[0] > 0 and one["names"].shape == (columns, 2) and normal > 0
        and all(one[name].shape == shape for name in ("left", "right", "cut", "length"))
        and all(one[name].shape == (columns,) for name in ("usual", "scale"))
        and bool((one["feature"][inner] >= 0).all()) and bool((one["feature"][inner] < columns).all())
        and all(bool(((one[side] > place) & (one[side] < shape[1]))[inner].all()) for side in ("left", "right"))   # no way back
    )
    if not fits:
        raise ModelError("not a model of this version (its trees do not fit); train it again")
    return Forest(names=tuple((str(a), str(b)) for a, b in one.pop("names").tolist()), window_ms=window_ms, trained_ms=trained_ms,
                  limit=limit, normal=normal, **one)


def train(windows: Windows, names: Sequence[tuple[str, str]], window_ms: int, tuning: Tuning, *, seed: int = 0) -> Forest:
    """Grow a forest on windows in the order of time, and set its limit on the last of them.

    Raises:
        ModelError: too few windows, or scikit-learn is not installed.
    """
    if len(windows.rows) < LEAST_WINDOWS:
        raise ModelError(f"{len(windows.rows)} windows of {window_ms // 1000} s, at least {LEAST_WINDOWS} are needed: "
                         "wait, or train on a longer time (--days)")
    try:
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415  an extra: only training needs it
    except ImportError:
        raise ModelError("scikit-learn is not installed; `pip install 'tenfold[analysis]'`") from None
    with np.errstate(invalid="ignore"):
        usual = np.nan_to_num(_median(windows.rows))
        scale = np.nan_to_num(_median(np.abs(windows.rows - usual))) * 1.4826
    scale = np.maximum(scale, np.maximum(1e-9 * np.abs(usual), 1e-12))
    grown = int(len(windows.rows) * GROWN_SHARE)
    rows = np.where(np.isfinite(windows.rows), windows.rows, usual)
    model = IsolationForest(n_estimators=TREES, max_samples=min(SAMPLE, grown), random_state=seed, n_jobs=1).fit(rows[:grown])
    forest = Forest(tuple(names), window_ms, int(windows.at_ms[-1]) + window_ms, 1.0, expected_length(min(SAMPLE, grown)),
                    usual, scale, *_trees([one.tree_ for one in model.estimators_]))
    return replace(forest, limit=_limit(windows.at_ms[grown:], forest.scores(rows[grown:]), forest, tuning))


def expected_length(n: int) -> float:
    """Expected length of a path in a random tree of n windows (Liu, Ting and Zhou, Isolation Forest, 2008, equation 1)."""
    if n < 3:
        return float(max(0, n - 1))
    return 2.0 * (math.log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n


def _trees(trees: Sequence[Any]) -> tuple[Numbers, Numbers, Numbers, Matrix, Matrix]:
    """scikit-learn's trees as feature, left, right, cut and length."""
    most = max(one.node_count for one in trees)
    feature = np.full((len(trees), most), LEAF, np.int32)
    left, right = np.zeros_like(feature), np.zeros_like(feature)
    cut, length = np.zeros(feature.shape), np.zeros(feature.shape)
    for at, tree in enumerate(trees):
        n = tree.node_count
        feature[at, :n], left[at, :n], right[at, :n], cut[at, :n] = (
            tree.feature, tree.children_left, tree.children_right, tree.threshold)
        depth = np.zeros(n)
        for node in range(n):
            if feature[at, node] != LEAF:
                depth[[left[at, node], right[at, node]]] = depth[node] + 1
        length[at, :n] = depth + [expected_length(int(count)) for count in tree.n_node_samples]
    return feature, left, right, cut, length


def _limit(at_ms: npt.NDArray[np.int64], scores: Matrix, forest: Forest, tuning: Tuning) -> float:
    """What the highest score of a block exceeds as rarely as the budget asks, and no more than halfway to the ceiling."""
    blocks = at_ms // tuning.block_ms
    highs = [float(scores[blocks == one].max()) for one in np.unique(blocks)]
    if len(highs) < LEAST_BLOCKS:
        highs = [float(part.max()) for part in np.array_split(scores, LEAST_BLOCKS)]
    ceiling = float(np.exp2(-1.0 / forest.normal))
    return min(threshold(highs, tuning.budget_per_week * tuning.block_ms / WEEK_MS), (max(highs) + ceiling) / 2)


def _median(rows: Matrix) -> Matrix:
    """Medians of the columns; NaN where a column has nothing."""
    return np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in rows.T])
