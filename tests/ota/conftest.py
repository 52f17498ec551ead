"""A server for each test, called in the test's own thread or real and behind TLS; keys that nothing changes are made once."""

import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ota.server.app import create_app
from ota.server.settings import OtaSettings
from provisioning import pki
from tests.brokers import issue
from tests.host.test_tls import running
from tests.ota.support import PEER, Keys, Plant, PretendDevice, fleet, plant
from tests.ota.targets import label


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path) as made:
        yield made


@pytest.fixture
def released(server: Plant) -> str:
    """The manifest's name of a release, counter 2, that the server has published."""
    answer = server.publish(*server.keys.release(2))
    assert answer.status_code == 201, answer.text
    return answer.json()["manifest"]


@pytest.fixture
def known(server: Plant) -> list[PretendDevice]:
    """24 devices that have checked in; those at the site nord come first."""
    devices = fleet(server, 24)
    for each in devices:
        each.check_in()
    server.pass_time(1)
    label(server, devices[:10], site="nord")
    label(server, devices[10:], site="sued")
    label(server, devices[:2] + devices[10:12], tag=["pilot"])
    return devices


@pytest.fixture
def zone_that_goes(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The name of a time zone like Berlin's, and what takes it out of the machine's database."""
    name, file = "Plant/Hall", tmp_path / "zones/Plant/Hall"
    berlin = next(path for path in (Path(folder, "Europe/Berlin") for folder in zoneinfo.TZPATH) if path.exists())
    file.parent.mkdir(parents=True)
    file.write_bytes(berlin.read_bytes())

    def go() -> None:
        file.unlink()
        zoneinfo.ZoneInfo.clear_cache(only_keys=[name])   # as a server that starts again

    zoneinfo.reset_tzpath([*zoneinfo.TZPATH, str(tmp_path / "zones")])
    yield name, go
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache(only_keys=[name])


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> pki.FleetPki:
    """Of servers and operators, and of one device that is in the field."""
    made = pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "ours")
    issue(made, PEER)
    return made


@pytest.fixture
def config(tmp_path: Path, certificates: pki.FleetPki, signing: Keys) -> dict[str, object]:
    """The real server's settings, of a rollout without patience."""
    return {
        "cert_file": str(certificates.cert("svc.ota")), "key_file": str(certificates.key("svc.ota")),
        "ca_file": str(certificates.ca_file), "database": f"sqlite:///{tmp_path}/ota.db", "archive": str(tmp_path / "archive"),
        "root_file": str(signing.folder / "root.bin"), "direction_key": str(signing.folder / "direction.key"),
        "period_s": 1, "tick_s": 0.05, "flush_s": 0.05,
        "policy": {"stages": [100], "soak_s": [0], "lease_s": 60, "min_reports": 1, "active_s": 60},
    }


@pytest.fixture
def port(config: dict[str, object]) -> Iterator[int]:
    """Where the real server listens, with TLS and its background work."""
    settings = OtaSettings.model_validate(config)
    with running(create_app(settings), settings.tls()) as port:
        yield port
