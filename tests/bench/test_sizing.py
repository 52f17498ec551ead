"""deploy/SIZING.md: plants that nobody worked out anew when a figure, a formula or the plant changed."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "deploy/SIZING.md").read_text(encoding="utf-8")
UNITS = {"": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "s": 1, "min": 60, "h": 3600}
PLANTS = {"100": 10, "10,000": 100, "1,000,000": 1_000}   # devices: the rate that is chosen for all of them to come back at
CHANNELS, PERIOD_S, SAMPLES, CHECKIN_S, DRAIN_S, DAY_S = 4, 10, 60, 3_600, 10_800, 86_400
LEAST = 0.05   # of a core; below it is shown as 0


def number(text):
    """A number as it is shown, and its unit."""
    digits, unit = re.fullmatch(r"([\d,.]+) ?(\w*)", text).groups()
    return digits.replace(",", ""), UNITS[unit]


def rows(heading):
    """The cells of a section's table, by the first one."""
    table = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {cells[0]: cells[1:] for line in table.splitlines() if line.startswith("| ")
            if (cells := [cell.strip() for cell in line.strip("|").split("|")])}


def letters():
    """The figures by their letters. "1.2" is 1.2; "1 KB, …" is 1,000; marks are left out."""
    found = {}
    for names, (_, values, _) in ((names, cells) for names, cells in rows("The figures").items() if names and names[0].islower()):
        shown = re.findall(r"\d[\d,]*(?:\.\d+)?(?: KB)?", values)
        for name, value in zip(names.split(", "), shown, strict=False):
            digits, unit = number(value)
            found[name] = float(digits) * unit
    return found


FIGURES = letters()


def expected(devices, rate):
    """What the formulae of the page give, row by row."""
    u, v, d, i, b, k, h, e, p = (FIGURES[name] for name in "uvdibkhep")
    readings, batches = devices * CHANNELS / PERIOD_S, devices / (PERIOD_S * SAMPLES)
    return {
        "readings; batches a second": (readings, batches),
        "disk a day": (readings * DAY_S * d,),
        "traffic of all a day": (devices * (u + v) * DAY_S / (PERIOD_S * SAMPLES),),
        "cores of ingest; of the broker": (readings / i, batches / b),
        "check-ins a second; cores": (devices / CHECKIN_S, devices / (CHECKIN_S * h)),
        "all back at once: rate; until the last": (rate, devices / rate),
        "cores for it": (p * rate * (1 / h - 1 / k),),
        "a day's backlog in three hours: readings a second more": (readings * DAY_S / DRAIN_S,),
        "enrolling all once, one core": (devices / e,),
    }


@pytest.mark.parametrize(("column", "devices"), list(enumerate(PLANTS)))
def test_a_plant_is_not_what_the_formulae_make_of_the_figures(column, devices):
    plants = rows("The plants")
    assert plants[""][column] == devices
    wanted = expected(int(devices.replace(",", "")), PLANTS[devices])
    assert set(plants) - {"", "---"} == set(wanted)
    for row, values in wanted.items():
        shown = plants[row][column].split("; ")
        assert len(shown) == len(values), row
        for text, value in zip(shown, values, strict=True):
            digits, unit = number(text)
            if digits == "0":
                assert "cores" in row
                assert value < LEAST, (row, text, value)
            else:
                places = len(digits.partition(".")[2])
                assert float(digits) == pytest.approx(value / unit, abs=0.51 * 10 ** -places), (row, text, value)


def test_a_handshake_costs_what_it_once_cost():
    told = re.search(r"costs 1/h − 1/k = ([\d.]+) ms", TEXT).group(1)
    assert float(told) == pytest.approx(1000 * (1 / FIGURES["h"] - 1 / FIGURES["k"]), abs=0.05)
    assert TEXT.count(f"{told} ms") == 2


def test_the_plants_are_of_another_kind_than_the_text_says():
    assert "4 channels each 10 s, 60 samples a batch, a check-in an hour over its own connection." in TEXT


def test_a_figure_has_no_command_that_makes_it():
    for name, (_, _, source) in ((name, cells) for name, cells in rows("The figures").items() if name and name[0].islower()):
        assert "`tenfold bench " in source, name
    assert "assumed" not in TEXT
