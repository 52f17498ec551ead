"""A PKI for all tests of the doctor, and a shorter wait for what must not come."""

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
