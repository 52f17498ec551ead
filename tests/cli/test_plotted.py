"""Plots in a terminal: extremes and gaps are seen."""

from host.cli.plotted import field, sparkline


def test_a_gap_is_a_space_and_the_extremes_are_the_lowest_and_highest_block():
    line = sparkline([0, 10, 20, 70, 90], [1.0, 5.0, 9.0, 5.0, 1.0], 0, 99, 10)
    assert line == "▁▄█    ▄ ▁".replace("▄", line[1])
    assert line[1] in "▄▅"


def test_a_level_course_is_in_the_middle_and_nothing_is_blank():
    assert sparkline([0, 99], [3.0, 3.0], 0, 99, 4) == "▄  ▄"
    assert sparkline([], [], 0, 99, 4) == "    "


def test_a_spike_of_one_sample_reaches_the_top_of_the_plot():
    lines = field(list(range(1000)), [0.0] * 500 + [9.0] + [0.0] * 499, 0, 999, 20, 4)
    assert len(lines) == 4
    assert sum(cell != " " for cell in lines[0]) == 1
    assert " " not in lines[3]
    assert all(len(line) == 20 for line in lines)


def test_a_plot_of_nothing_or_of_one_value_is_drawn():
    assert field([], [], 0, 9, 5, 2) == ["     ", "     "]
    assert any(cell != " " for line in field([5], [1.5], 0, 9, 5, 2) for cell in line)
