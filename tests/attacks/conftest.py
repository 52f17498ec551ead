"""A device under attack, the real update server, and an attacker between them or in its place."""

from collections.abc import Iterator

import pytest

from provisioning import pki
from tests.attacks.middle import Middle
from tests.attacks.victim import Victim
from tests.ota.conftest import certificates, config, port, signing
from tests.ota.support import Keys

__all__ = ["certificates", "config", "port", "signing"]


@pytest.fixture
def middle(certificates: pki.FleetPki) -> Iterator[Middle]:
    """Whoever has the update server's TLS key."""
    with Middle(certificates) as made:
        yield made


@pytest.fixture
def victim(middle: Middle, certificates: pki.FleetPki, signing: Keys) -> Victim:
    """A device whose update server is the attacker."""
    return Victim(middle.port, certificates, signing)
