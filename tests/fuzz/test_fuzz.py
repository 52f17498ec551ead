"""A fuzzer that finds nothing because it looks at nothing."""

import dataclasses

import pytest

from node.wire import batch, columns
from tests.fuzz import decoders, fuzz


def test_missing_atheris_is_said_aloud(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["fuzz", "--seconds", "1"])
    assert fuzz.main() == 0
    assert "SKIPPED, nothing was run" in capsys.readouterr().err


def test_decoders_that_differ_are_found_out(monkeypatch):
    raw = decoders.seeds()[0]
    assert isinstance(decoders.both(raw), dict)
    real = decoders.decode
    monkeypatch.setattr(decoders, "decode", lambda raw: dataclasses.replace(real(raw), boot=9))
    with pytest.raises(AssertionError):
        decoders.both(raw)


def test_seeds_leave_a_coding_out(monkeypatch):
    used = set()
    values, divisor = columns._get_values, columns._get_divisor
    monkeypatch.setattr(columns, "_get_values", lambda source, mode, *rest: used.add(mode) or values(source, mode, *rest))
    monkeypatch.setattr(columns, "_get_divisor", lambda source: used.add(columns.SCALED) or divisor(source))
    found = [decoders.both(raw) for raw in decoders.seeds() if raw[0] & 15 == batch.BATCH]
    assert all(isinstance(one, dict) for one in found)
    assert used == set(range(columns.CONSTANT, columns.SCALED + 1))
    assert isinstance(decoders.schema(decoders.seeds()[1]), tuple)
