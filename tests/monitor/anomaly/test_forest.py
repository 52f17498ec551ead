"""The forest: channels that do not fit each other, the same scores as scikit-learn's, and a model file that is data only."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from host.clock import HOUR_MS
from host.monitor.anomaly.features import FEATURES, Windows, names_of, windows_of
from host.monitor.anomaly.findings import TOGETHER
from host.monitor.anomaly.forest import GROWN_SHARE, MOST_BYTES, SAMPLE, TREES, ModelError, load, train
from host.monitor.anomaly.together import findings_of
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch

TUNING = Tuning(season=False)
START_MS = 1_600_000_000_000 // HOUR_MS * HOUR_MS


def plant(hours=400, seed=0, *, broken_from=None):
    """Two channels that follow each other, and one of its own; `broken_from` an hour in which they stop doing so."""
    chance = np.random.default_rng(seed)
    times = START_MS + np.arange(hours * 12, dtype=np.int64) * HOUR_MS // 12
    load_ = 10 * np.sin(np.arange(len(times)) / 50)
    flow = load_ + chance.normal(0, 0.3, len(times))
    if broken_from is not None:
        flow[broken_from * 12:] = 9.0 + chance.normal(0, 0.01, len(times) - broken_from * 12)
    return {"power": (times, load_ + chance.normal(0, 0.3, len(times))), "flow": (times, flow),
            "room": (times, 20 + chance.normal(0, 0.5, len(times)))}


def windows(readings):
    return windows_of(readings, sorted(readings), HOUR_MS, TUNING)


@pytest.fixture(scope="module")
def model():
    return train(windows(plant()), names_of(["flow", "power", "room"], TUNING), HOUR_MS, TUNING)


def test_scores_are_not_those_of_scikit_learn(model):
    rows = windows(plant()).rows
    grown = rows[:int(len(rows) * GROWN_SHARE)]
    theirs = IsolationForest(n_estimators=TREES, max_samples=min(SAMPLE, len(grown)), random_state=0, n_jobs=1).fit(grown)
    asked = np.concatenate([rows, rows * 3, rows - 50])
    np.testing.assert_allclose(model.scores(asked), -theirs.score_samples(asked), rtol=1e-9)


def test_channel_that_no_longer_follows_the_others_is_not_named(model):
    found = findings_of("hall-1", model, windows(plant(seed=7, broken_from=300)), {"flow": "l/s"}, TUNING)
    found = [one for one in found if one.since_ms >= START_MS + 299 * HOUR_MS]
    assert found
    assert {(one.channel, one.kind, one.unit) for one in found} == {("flow", TOGETHER, "l/s")}
    assert found[0].feature in FEATURES
    assert "flow" not in found[0].says()
    assert "does not fit the other channels" in found[0].says()


def test_stored_model_gives_other_scores(model):
    rows = windows(plant(seed=3)).rows
    again = load(model.dump())
    assert (again.names, again.window_ms, again.limit) == (model.names, model.window_ms, model.limit)
    np.testing.assert_array_equal(again.scores(rows), model.scores(rows))


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def changed(model, **arrays):
    with np.load(io.BytesIO(model.dump())) as told:
        return npz(**{name: told[name] for name in told.files} | arrays)


class Attack:
    def __reduce__(self):
        return (pytest.fail, ("code of a model was run",))


def test_code_in_a_model_is_run():
    for body in (pickle.dumps(Attack()), npz(names=np.array([Attack()], dtype=object))):
        with pytest.raises(ModelError, match="train it again"):
            load(body)


def test_damaged_model_is_used_or_never_ends(model):
    body = model.dump()
    for damaged in (b"", body[:100], body[:-30], b"x" * 1000, npz(a=np.zeros(3))):
        with pytest.raises(ModelError, match="train it again"):
            load(damaged)
    back = np.zeros_like(model.left)
    for wrong in ({"left": back}, {"right": back}, {"feature": model.feature + 100}, {"usual": model.usual[:2]},
                  {"length": model.length[:, :2]}, {"left": model.left + 1_000_000}):
        with pytest.raises(ModelError, match="do not fit"):
            load(changed(model, **wrong))
    with pytest.raises(ModelError, match="at most"):
        load(bytes(MOST_BYTES + 1))


def test_too_few_windows_make_a_model():
    few = windows(plant(hours=10))
    with pytest.raises(ModelError, match="10 windows of 3600 s, at least 32"):
        train(few, names_of(["flow"], TUNING), HOUR_MS, TUNING)


def test_missing_channel_or_bad_value_breaks_the_windows(model):
    readings = plant(hours=40)
    _, values = readings["flow"]
    values[5:200] = np.nan
    del readings["room"]
    made = windows_of(readings, ["flow", "power", "room"], HOUR_MS, TUNING)
    assert made.rows.shape == (40, 12)
    assert np.isnan(made.rows[:, 8:]).all()
    assert np.isfinite(model.scores(made.rows)).all()
    assert windows_of({}, ["flow"], HOUR_MS, TUNING).rows.shape == (0, 4)
    assert findings_of("hall-1", model, Windows(np.empty(0, np.int64), np.empty((0, 12))), {}, TUNING) == []


def test_hours_of_the_day_are_told_of_a_season():
    seasonal = replace(TUNING, season=True)
    made = windows_of(plant(hours=48), ["flow"], HOUR_MS, seasonal)
    assert names_of(["flow"], seasonal)[-2:] == [("", "hour sine"), ("", "hour cosine")]
    np.testing.assert_allclose(made.rows[:24, -2:], made.rows[24:, -2:], atol=1e-9)


def test_finding_of_the_forest_passes_by_the_budget_or_is_told_twice(model):
    watch = DeviceWatch("hall-1", TUNING)
    going_on = replace(findings_of("hall-1", model, windows(plant(seed=7, broken_from=300)), {}, TUNING)[-1], until_ms=None)
    watch.limiter.begun_ms = [going_on.found_ms - HOUR_MS * 7]
    assert [one.held for one in watch.hear([going_on])] == [True]
    assert [one.held for one in watch.hear([going_on])] == [True]
    assert len(watch.open()) == 1
    ended = replace(going_on, until_ms=going_on.last_ms)
    assert [one.until_ms for one in watch.hear([ended])] == [going_on.last_ms]
    assert (watch.open(), len(watch.recent), watch.hear([ended])) == ([], 1, [])
