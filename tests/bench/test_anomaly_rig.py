"""The hydraulic rig's whole set: where a run begins and what trains, and files that do not fit each other."""

import numpy as np
import pytest

from host.bench.anomaly_rig import curves_of, is_rig, runs_of
from host.bench.recordings import RIG_CHANNELS
from node.errors import CallerError

CYCLES = 90


@pytest.fixture
def folder(tmp_path):
    """Two grades of the cooler; in the second the leak begins after 20 cycles."""
    labels = np.tile([3, 100, 0, 130, 0], (CYCLES, 1))
    labels[40:, 0] = 20
    labels[30:40, 2], labels[60:65, 2] = 2, 1
    np.savetxt(tmp_path / "profile.txt", labels, "%d", "\t")
    for place, name in enumerate(RIG_CHANNELS):
        np.savetxt(tmp_path / f"{name}.txt", np.full((CYCLES, 60), 40.0 + place), "%.3f", "\t")
    return tmp_path


def test_faulty_cycles_train(folder):
    assert is_rig(folder)
    runs = runs_of(folder)
    assert [(run.first, run.train, len(run.values)) for run in runs] == [(0, 30, 40), (40, 20, 50)]
    assert not any(run.labels[:run.train, 2].any() for run in runs)


def test_forecasts_are_asked_over_a_change_of_condition(folder):
    curves, what = curves_of(runs_of(folder)[1])
    assert {len(means) for means in curves.values()} == {20}
    assert "cycle 40" in what


def test_files_that_do_not_fit_are_measured(folder):
    np.savetxt(folder / "SE.txt", np.zeros((CYCLES - 1, 60)), "%.3f", "\t")
    with pytest.raises(CallerError, match=r"expected a line a cycle|tabs between"):
        runs_of(folder)
    (folder / "TS1.txt").unlink()
    assert not is_rig(folder)
