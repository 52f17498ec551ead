"""A PKI for all tests of the doctor, and patience that is short: what must come is waited for, what must not is not."""

import pytest

from host.doctor import rights, sessions

from .brokers import make_pki


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(rights, "GRACE_S", 0.15)
    monkeypatch.setattr(sessions, "GRACE_S", 0.15)
    monkeypatch.setattr(sessions, "QUIET_S", 1.0)
