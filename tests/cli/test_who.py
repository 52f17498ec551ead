"""Who runs a command is known wherever it runs."""

import os

import pytest

from host.cli.who import me


def test_a_user_without_a_name_is_kept_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)   # in no passwd file
    assert me() == "uid 54321"
