"""CSV files of other people: what is played, what is left out, and how each unusable file is told in one line."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from host.sim import csv_columns, replay
from host.sim.replay import Replay, ReplayError
from host.sim.signals import MISSING, Channel

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"   # recorded data kept beside the checkout, not in it


def load(tmp_path: Path, text: str | bytes, sidecar: object = None) -> Replay:
    path = tmp_path / "some.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if sidecar is not None:
        (tmp_path / "some.csv.channels.json").write_text(sidecar if isinstance(sidecar, str) else json.dumps(sidecar))
    return replay.load(path)


def fault(tmp_path: Path, text: str | bytes, sidecar: object = None) -> ReplayError:
    with pytest.raises(ReplayError) as caught:
        load(tmp_path, text, sidecar)
    message = str(caught.value)
    assert "\n" not in message
    assert "some.csv" in message
    assert caught.value.what
    assert caught.value.hint
    return caught.value


# --- real recordings -----------------------------------------------------------------------------------------------------

RECORDED = {
    "fan-accelerometer/accelerometer_20_60_90_100pct.csv": (36000, None, ["x:0.001", "y:0.001", "z:0.001"]),
    "household-power/household_power_2007-02-01_02.csv": (2880, 60.0, ["voltage:0.01", "global_intensity:0.1", "sub_metering_3:1"]),
    "nab-office/ambient_temperature_system_failure.csv": (7267, 3600.0, ["value:0.001"]),
    "room-occupancy-estimation/Occupancy_Estimation.csv": (10129, 31.0, ["s1_temp:0.01", "s5_co2:1", "s5_co2_slope:0.001"]),
    "uci-hydraulic/block_a_cycles_0600-0860.csv": (15600, 1.0, ["ts1:0.001", "cooler_pct:1"]),
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_recording_of_a_real_machine_is_played_whole(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"NOT TESTED: {name} is not beside this checkout")
    rows, interval_s, some = RECORDED[name]
    result = replay.load(path)
    assert result.rows == len(result.table.steps) == rows
    assert result.interval_s == interval_s
    assert set(some) <= {f"{one.name}:{one.resolution}" for one in result.table.channels}
    assert not (result.table.steps == MISSING).any()


def test_no_recorded_file_is_forgotten_here() -> None:
    if not DATA.is_dir():
        pytest.skip("NOT TESTED: the recordings are not beside this checkout")
    assert {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.csv")} == set(RECORDED)


# --- what becomes of a table ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found_out(tmp_path: Path, delimiter: str, ending: str) -> None:
    lines = ["time,a,b", "2024-01-01 00:00:00,1.5,7", "2024-01-01 00:00:10,2.5,8", "2024-01-01 00:00:20,3.5,9"]
    result = load(tmp_path, ending.join(line.replace(",", delimiter) for line in lines))
    assert result.table.channels == (Channel("a", "", "0.1"), Channel("b", "", "1"))
    assert result.table.steps.tolist() == [[15, 7], [25, 8], [35, 9]]
    assert result.interval_s == 10


@pytest.mark.parametrize(("first", "second"), [
    ("2024-03-04T05:06:07", "2024-03-04T05:06:37"), ("2024-03-04 05:06:07Z", "2024-03-04 05:06:37Z"),
    ("2024-03-04 05:06:07.250", "2024-03-04 05:06:37.250"), ("2024/03/04 05:06:07", "2024/03/04 05:06:37"),
    ("04-03-2024 05:06:07", "04-03-2024 05:06:37"), ("4/3/2024 5:06:07", "4/3/2024 5:06:37"),
    ("04.03.2024 05:06:07", "04.03.2024 05:06:37"), ("4/3/24 5:06:07", "4/3/24 5:06:37"),
    ("2024-03-04T23:59:50+01:00", "2024-03-04T23:00:20+00:00"), ("05:06:07", "05:06:37"), ("23:59:45", "0:00:15"),
    ("1700000000", "1700000030"), ("1700000000000", "1700000030000"), ("1700000000.5", "1700000030.5"),
])
def test_times_in_many_spellings_are_times_and_no_channel(tmp_path: Path, first: str, second: str) -> None:
    result = load(tmp_path, f"when,a\n{first},1\n{second},2\n")
    assert [one.name for one in result.table.channels] == ["a"]
    assert result.interval_s == pytest.approx(30)


def test_date_and_time_may_stand_in_two_columns(tmp_path: Path) -> None:
    result = load(tmp_path, "D;T;a\n1/2/2007;23:59:00;1\n2/2/2007;00:00:00;2\n")
    assert result.interval_s == 60
    assert "'D' and 'T': date and time of day" in result.notes


@pytest.mark.parametrize(("dates", "days"), [
    (("30/1/2024", "31/1/2024", "1/2/2024"), 1), (("1/30/2024", "1/31/2024", "2/1/2024"), 1),   # only one reading rises evenly
    (("1/2/2024", "1/3/2024", "1/4/2024"), 30),                                                 # nothing decides: day first
])
def test_the_whole_column_decides_whether_day_or_month_comes_first(tmp_path: Path, dates: tuple[str, ...], days: int) -> None:
    result = load(tmp_path, "date,a\n" + "".join(f"{date},{row}\n" for row, date in enumerate(dates)))
    assert result.interval_s == pytest.approx(days * 86400, rel=0.02)


@pytest.mark.parametrize(("text", "names"), [
    ("cycle,second,a,b\n1,0,4,5\n1,1,6,7\n1,2,6,7\n2,0,8,9\n", ["a", "b"]), (",a\n0,4\n1,6\n2,5\n", ["a"]),
    ("first,a\n10,4\n20,6\n30,5\n", ["a"]), ("first,a\n10,4\n25,6\n30,5\n", ["first", "a"]), ("a\n1\n2\n3\n", ["a"]),
])
def test_columns_that_only_count_are_no_channels(tmp_path: Path, text: str, names: list[str]) -> None:
    assert [one.name for one in load(tmp_path, text).table.channels] == names


def test_a_cell_that_is_no_number_is_a_missing_reading_never_zero(tmp_path: Path) -> None:
    result = load(tmp_path, "a,b\n1,2\n?,3\n,4\nNaN,5\ninf,6\n1_000,7\n3,8\n4,0\n5,1\n")
    assert result.table.steps[:, 0].tolist() == [1, MISSING, MISSING, MISSING, MISSING, MISSING, 3, 4, 5]
    assert "'a': 4 cells are no numbers: no reading there" in result.notes


@pytest.mark.parametrize(("header", "name", "unit"), [
    ("Temp [degC]", "temp", "degC"), ("temp (degC)", "temp", "degC"), ("Temp [°C]", "temp", "degC"), ("a(m/s²)", "a", "m/s2"),
    ("Öl-Druck", "l_druck", ""), ("4th", "c_4th", ""), ("温度", "channel", ""), ("", "channel", ""), ("x" * 40, "x" * 24, ""),
    ("Load [%] ", "load", "%"), ("a [a very long unit]", "a", "a very long"),
])
def test_names_and_units_are_taken_from_headers(tmp_path: Path, header: str, name: str, unit: str) -> None:
    channel = load(tmp_path, f"q,{header},z\n9,1,3\n5,2,1\n7,1,2\n").table.channels[1]
    assert (channel.name, channel.unit.strip()) == (name, unit)


def test_equal_headers_get_different_names(tmp_path: Path) -> None:
    text = "A,a,a!," + "b" * 30 + "," + "b" * 31 + "\n1,2,3,4,5\n3,1,2,3,9\n1,2,7,8,1\n"
    names = [one.name for one in load(tmp_path, text).table.channels]
    assert names == ["a", "a_2", "a_3", "b" * 24, "b" * 22 + "_2"]


@pytest.mark.parametrize(("cells", "resolution"), [
    (("1", "2"), "1"), (("1.50", "2.00"), "0.1"), (("1.125", "2"), "0.001"), (("69.88083514", "91.2"), "0.001"),
    (("0.36951", "0.1"), "0.00001"), (("0.00001", "0.00002"), "0.00001"), (("1.25e-5", "1e-6"), "0.0000001"),
    (("4000000000", "1"), "10"), (("1e12", "5"), "1000"), (("2000000000.25", "1"), "1"), (("-0.5", "1e3"), "0.1"),
])
def test_resolution_is_what_the_digits_show_within_32_bits(tmp_path: Path, cells: tuple[str, str], resolution: str) -> None:
    assert load(tmp_path, f"v,a\n5,{cells[0]}\n1,{cells[1]}\n").table.channels[1].resolution == resolution


def test_cut_digits_are_told(tmp_path: Path) -> None:
    result = load(tmp_path, "a,b\n5,69.88083514\n7,2.5\n5,1.25\n")
    assert "'b': up to 8 decimals, played at a resolution of 0.001" in result.notes


def test_decimal_commas_are_understood_where_a_comma_does_not_separate(tmp_path: Path) -> None:
    result = load(tmp_path, "zeit;a\n2024-01-01 00:00;1,25\n2024-01-01 00:01;2,5\n")
    assert result.table.steps.tolist() == [[125], [250]]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    head = ",".join(f"c{number}" for number in range(18))
    rows = [",".join(str((row + number) ** 2 % 11) for number in range(18)) for row in range(9)]
    result = load(tmp_path, "\n".join([f"word,same,{head}", *(f"run{row},5,{cells}" for row, cells in enumerate(rows))]))
    assert [one.name for one in result.table.channels][:2] == ["c0", "c1"]
    assert len(result.table.channels) == 16
    assert "left out, not numeric: 'word'" in result.notes
    assert any(note.startswith("left out, constant: 'same'") for note in result.notes)
    assert "left out, more than 16 channels: 'c16', 'c17'" in result.notes


def test_gaps_and_steps_back_in_time_are_told(tmp_path: Path) -> None:
    result = load(tmp_path, "t,a\n" + "".join(f"2024-01-01 00:{minute:02},{minute}\n" for minute in (0, 1, 2, 20, 21, 5, 6)))
    assert "gaps in time, closed up: 1" in result.notes
    assert "steps back in time, played in the file's order: 1" in result.notes


def test_a_file_without_a_header_is_played(tmp_path: Path) -> None:
    result = load(tmp_path, "2024-01-01,5\n2024-01-02,7\n")
    assert [one.name for one in result.table.channels] == ["column_2"]
    assert result.rows == 2


@pytest.mark.parametrize("text", [
    "\ufefft,a\n1,5\n2,7\n", "# made by a logger\n# v2\n\nt,a\n1,5\n\n2,7\n", "sep=;\nt;a\n1;5\n2;7\n",
    '"t","a"\n"1","5"\n"2","7"\n',
    "t, a\n1, 5\n2, 7\n", "t,a,\n1,5,\n2,7,\n", "t,a\n1,5\n2,7\n3", "t,a\n1,5\n2,7",
])
def test_habits_of_other_programs_are_harmless(tmp_path: Path, text: str) -> None:
    result = load(tmp_path, text)
    assert [one.name for one in result.table.channels] == ["a"]
    assert result.table.steps.tolist() == [[5], [7]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_encodings_of_spreadsheets_are_understood(tmp_path: Path, encoding: str) -> None:
    result = load(tmp_path, "t\tT [°C]\r\n1\t5\r\n2\t7\r\n".encode(encoding))
    assert result.table.channels == (Channel("t", "degC", "1"),)


def test_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "MAX_ROWS", 100)
    result = load(tmp_path, "a\n" + "".join(f"{row % 7}\n" for row in range(150)))
    assert result.rows == 100
    assert "only the first 100 rows are played" in result.notes


# --- the sidecar ---------------------------------------------------------------------------------------------------------

def test_the_sidecar_overrules_header_and_digits(tmp_path: Path) -> None:
    said = {"delimiter": ";", "channels": {"x": {"name": "oil", "unit": "degC", "resolution": "0.5"}, "y": {"resolution": 0.01}}}
    result = load(tmp_path, "x;y\n1,2;7\n".replace(",", ".") + "2.6;9\n1;5\n", said)
    assert result.table.channels == (Channel("oil", "degC", "0.5"), Channel("y", "", "0.01"))
    assert result.table.steps[:, 0].tolist() == [2, 5, 2]


def test_columns_that_the_sidecar_names_come_before_the_limit(tmp_path: Path) -> None:
    head = ",".join(f"c{number}" for number in range(20))
    rows = "".join(",".join(str((row + 2) ** 2 * (number + 1) % 11) for number in range(20)) + "\n" for row in range(5))
    result = load(tmp_path, head + "\n" + rows, {"channels": {"c19": {"unit": "V"}}})
    assert result.table.channels[-1] == Channel("c19", "V", "1")


@pytest.mark.parametrize(("sidecar", "code", "what"), [
    ("{", "sidecar.json", "is not what it should be"), ("[]", "sidecar.json", "is not what it should be"),
    ('{"channels": 5}', "sidecar.json", "is not what it should be"),
    ({"delimiter": "|"}, "sidecar.value", "got '|'"), ({"channels": {"b": {}}}, "sidecar.column", "names no column of readings"),
    ({"channels": {"a": {"resolution": "0.010"}}}, "sidecar.value", "got '0.010'"),
    ({"channels": {"a": {"resolution": "-1"}}}, "sidecar.value", "got '-1'"),
    ({"channels": {"a": {"name": "Oil temp"}}}, "sidecar.value", "got 'Oil temp'"),
    ({"channels": {"a": {"unit": "°C"}}}, "sidecar.value", "got '°C'"),
    ({"channels": {"a": {"units": "V"}}}, "sidecar.value", "got ['units']"),
    ({"channels": {"a": {"resolution": "0.000000001"}}}, "sidecar.value", "leaves no room for 7 in 32 bits"),
])
def test_a_wrong_sidecar_is_told(tmp_path: Path, sidecar: object, code: str, what: str) -> None:
    error = fault(tmp_path, "t,a\n1,5\n2,7\n", sidecar)
    assert error.code == code
    assert what in error.what
    assert error.path.name == "some.csv.channels.json"


# --- files that cannot be played -----------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "code", "where"), [
    (b"", "csv.empty", ""), (b" \n\n", "csv.empty", ""), ("# only\n# comments\n", "csv.empty", ""), ("a,b\n", "csv.rows", ""),
    ("a,b\n1,2\n", "csv.rows", ""), (b"\x7fELF\x02\x01\x01\x00" * 50, "csv.binary", ""), (b"PK\x03\x04" * 50, "csv.binary", ""),
    (b"a,b\n1,2\n3\x00,4\n", "csv.binary", ""), ("a,b\n" + "1,2\n" * 20000 + "3\0,4\n", "csv.binary", "line 20002"),
    ("a,b\n1,2\n1,2,3\n1,2\n", "csv.ragged", "line 3"), ("\n# x\na,b\n1,2\n\n1\n1,2\n", "csv.ragged", "line 6"),
    ("a,b\n" + "1" * 200_000 + ",2\n", "csv.line", "line 2"), ('a,b\n1,2\n"3,4\n5,6\n', "csv.quotes", "line 4"),
    ('a,b\n1,2\n"3"x,4\n', "csv.quotes", "line 3"), ("name,place\nx,y\nz,w\n", "csv.numbers", ""),
    ("t,a\n2024-01-01,x\n2024-01-02,y\n", "csv.numbers", ""), ("t,a\n1,5\n2,5\n3,5\n", "csv.constant", ""),
    (",".join("a" * 300) + "\n1\n2\n", "csv.columns", ""), ("<html><body>\nnot found\n</body></html>\n", "csv.numbers", ""),
])
def test_a_hostile_file_ends_in_one_clear_line(tmp_path: Path, text: str | bytes, code: str, where: str) -> None:
    error = fault(tmp_path, text)
    assert (error.code, error.where) == (code, where)


def test_a_missing_file_a_folder_and_a_giant_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReplayError, match="there is no such file; check the path"):
        replay.load(tmp_path / "absent.csv")
    with pytest.raises(ReplayError, match="is not a file; name one CSV file"):
        replay.load(tmp_path)
    monkeypatch.setattr(csv_columns, "MAX_FILE_BYTES", 3_000_000)
    (tmp_path / "big.csv").write_bytes(b"a\n1\n" * 1_000_000)
    with pytest.raises(ReplayError, match="has 4 MB, at most 3 are read"):
        replay.load(tmp_path / "big.csv")


def test_no_garbage_escapes_as_another_error(tmp_path: Path) -> None:
    random_ = random.Random(5)
    alphabet = '0123456789.,;\t\n\r"-+eE:/# \'abZ_é温\u2028=[]()%'
    path = tmp_path / "fuzz.csv"
    for _ in range(600):
        path.write_text("".join(random_.choices(alphabet, k=random_.randrange(120))), encoding="utf-8", newline="")
        try:
            table = replay.load(path).table
        except ReplayError:
            continue
        assert np.abs(table.steps.astype(np.int64)).max() <= 2**31
