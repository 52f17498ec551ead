"""The station's journal: what was written stays, a crash costs a torn line at most, and changes show."""

import pytest

from provisioning.errors import ProvisioningError
from provisioning.line.journal import Journal, read


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "station/journal.jsonl")
    for number in range(3):
        journal.append({"what": "ended", "number": number})
    journal.close()
    return journal.path


def test_what_was_written_is_read_again_and_gone_on_with(path):
    journal = Journal(path)
    journal.append({"what": "ended", "number": 3})
    assert [entry["number"] for entry in journal.entries] == [entry["number"] for entry in read(path)] == [0, 1, 2, 3]
    journal.close()


def test_a_line_torn_by_a_crash_is_taken_away(path):
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1])):
        path.write_bytes(whole[:-cut - 1] if cut else whole)
        journal = Journal(path)
        assert len(journal.entries) == 2
        journal.append({"what": "ended", "number": 2})
        journal.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize("change", [
    lambda lines: [lines[0].replace(b'"number":0', b'"number":7'), *lines[1:]], lambda lines: lines[1:],
    lambda lines: [lines[0], lines[2]], lambda lines: [lines[0], b"{}\n", *lines[1:]],
    lambda lines: [lines[0], lines[0], *lines[1:]],
])
def test_a_change_behind_its_back_is_found(path, change):
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ProvisioningError, match=r"line\.journal"):
        Journal(path)


def test_two_stations_do_not_write_one_journal(path):
    journal = Journal(path)
    with pytest.raises(ProvisioningError, match=r"line\.busy"):
        Journal(path)
    assert len(read(path)) == 3   # looking is allowed
    journal.close()


def test_there_is_nothing_to_read_of_a_line_that_never_ran(tmp_path):
    with pytest.raises(ProvisioningError, match="tenfold line run"):
        read(tmp_path / "journal.jsonl")
