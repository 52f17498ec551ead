"""Alarms that a device told: none twice, none without an end that had one, and none that the host made up."""

from host.monitor.alarms import Alarm, alarms, columns

UNITS = {"temp.alarm": "Cel"}
MINUTE = 60_000


def told(*changes, name="temp"):
    """Changes as (minute, value, side or "", limit)."""
    series = {f"{name}.alarm": ([each[0] * MINUTE for each in changes], [each[1] for each in changes])}
    for side in ("high", "low"):
        of_side = [each for each in changes if each[2] == side]
        if of_side:
            series[f"{name}.{side}"] = ([each[0] * MINUTE for each in of_side], [each[3] for each in of_side])
    return series


def found(series, from_minute=0, to_minute=100):
    return alarms(series, UNITS, from_minute * MINUTE, to_minute * MINUTE)


def test_alarm_has_the_limit_the_value_and_its_end():
    (one,) = found(told((0, 60.0, "", 0), (5, 81.2, "high", 80.0), (9, 78.9, "", 0)))
    assert one == Alarm("temp", "Cel", "high", 80.0, 5 * MINUTE, 81.2, 9 * MINUTE, 78.9)
    assert one.says() == "temp above 80 Cel (81.2)"


def test_alarm_that_stands_has_no_end():
    (one,) = found(told((5, -1.5, "low", 0.0)))
    assert (one.until_ms, one.end_value, one.says()) == (None, None, "temp below 0 Cel (-1.5)")


def test_restart_in_an_alarm_makes_no_second_one_and_a_restart_that_finds_it_well_ends_it():
    (one,) = found(told((5, 81.2, "high", 80.0), (7, 82.0, "high", 80.0), (9, 70.0, "", 0)))
    assert (one.from_ms, one.until_ms) == (5 * MINUTE, 9 * MINUTE)


def test_jump_to_the_other_side_and_another_limit_are_alarms_of_their_own():
    one, other, third = found(told((1, 90.0, "high", 80.0), (2, -3.0, "low", 0.0), (3, -2.0, "low", -1.0)))
    assert [(each.side, each.limit, each.until_ms) for each in (one, other, third)] == [
        ("high", 80.0, 2 * MINUTE), ("low", 0.0, 3 * MINUTE), ("low", -1.0, None)]


def test_alarm_that_began_before_the_window_is_in_it_and_one_that_ended_before_is_not():
    series = told((1, 90.0, "high", 80.0), (2, 70.0, "", 0), (3, 91.0, "high", 80.0), (20, 70.0, "", 0))
    assert [each.from_ms for each in found(series, 10, 30)] == [3 * MINUTE]
    assert [each.from_ms for each in found(series, 0, 2)] == [MINUTE]


def test_state_of_a_start_alone_is_no_alarm():
    assert found(told((0, 60.0, "", 0), (9, 61.0, "", 0))) == []


def test_names_of_others_that_look_like_ours_stay_channels():
    assert columns(["temp", "temp.alarm", "temp.high", "tank.high", "oil.low", "temp.mean"]) == {"temp.alarm", "temp.high"}
