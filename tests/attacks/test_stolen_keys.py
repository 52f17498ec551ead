"""A key is stolen: what it opens alone, what a threshold and a rotation close again, and what the root's theft means."""

from pathlib import Path

import pytest

from node.agent import verify
from node.wire import direction, root, signed
from ota.release import keys, sign
from ota.release.bundle import manifest_for
from ota.release.verify import follow
from tests.attacks.middle import Middle, Thief
from tests.attacks.victim import Victim
from tests.ota.support import MODEL, Keys


@pytest.fixture
def thief(middle: Middle, signing: Keys) -> Thief:
    middle.rule = made = Thief(signing)
    return made


def release(*signers: keys.PrivateKey, counter: int = 2) -> tuple[bytes, bytes]:
    payload, artifact = manifest_for({"main.mpy": b"M\x06" * 300}, f"1.{counter}.0", counter, [MODEL], (0, counter - 1))
    return sign.envelope(signed.MANIFEST, payload, list(signers)), artifact


def next_root(signing: Keys, version: int, folder: Path, min_counter: int = 0, **roles: tuple[list[bytes], int]) -> bytes:
    public = {name: ([keys.public65(getattr(signing, f"{name}_key"))], 1) for name in root.ROLES}
    return sign.next_root(version, public | roles, [signing.root_key], min_counter)


def test_offline_release_key_alone_directs_no_device(thief: Thief, victim: Victim, signing: Keys) -> None:
    """The thief of a release key has no direction key: whatever it signs, nothing tells a device to take it."""
    thief.direct_to = thief.hold(*release(signing.release_key))
    thief.direction_key = signing.release_key
    assert victim.live() is None
    assert not victim.files.list("/slots/a")


def test_one_stolen_release_key_of_two_signs_no_release(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    second = keys.generate(tmp_path / "second.pem")
    both = [keys.public65(signing.release_key), keys.public65(second)]
    thief.roots = {2: next_root(signing, 2, tmp_path, release=(both, 2))}
    for signers in ((signing.release_key,), (second,), (second, keys.generate(tmp_path / "own.pem"))):
        thief.direct_to = thief.hold(*release(*signers))
        assert victim.live() is None
        assert victim.device.update.failed["reason"] == "signature.threshold"
        thief.direct_to = None
        victim.live()
    thief.direct_to = thief.hold(*release(signing.release_key, second))
    assert victim.live() == "update"


def test_release_key_that_a_root_withdrew_signs_nothing_any_more(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    new = keys.generate(tmp_path / "new.pem")
    thief.roots = {2: next_root(signing, 2, tmp_path, release=([keys.public65(new)], 1))}
    thief.direct_to = thief.hold(*release(signing.release_key))
    assert victim.live() is None
    assert victim.device.update.failed["reason"] == "signature.threshold"
    thief.direct_to = None
    victim.live()
    thief.direct_to = thief.hold(*release(new))
    assert victim.live() == "update"


def test_releases_that_a_thief_signed_are_withdrawn_by_the_roots_counter(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    thief.roots = {2: next_root(signing, 2, tmp_path, min_counter=6)}
    thief.direct_to = thief.hold(*release(signing.release_key, counter=5))
    assert victim.live() is None
    assert victim.device.update.failed["reason"] == "manifest.counter"


def test_online_key_that_a_root_withdrew_directs_nothing_even_if_the_flash_forgets_that_root(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    new = keys.generate(tmp_path / "new.pem")
    thief.roots = {2: next_root(signing, 2, tmp_path, direction=([keys.public65(new)], 1))}
    thief.direct_to = thief.hold(*release(signing.release_key))
    assert victim.live() is None
    assert victim.trust.root()["version"] == 2
    victim.files.data[verify.NEWEST] = b"rot"
    thief.roots = {}   # the thief holds it back
    victim.boot()
    assert victim.live() is None
    assert victim.device.logged[-1][1].startswith("root.version")
    thief.roots, thief.direction_key = {2: next_root(signing, 2, tmp_path, direction=([keys.public65(new)], 1))}, new
    assert any(victim.live() == "update" for _ in range(2))


def test_device_asleep_for_years_comes_home_over_every_root_though_all_it_holds_has_expired(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    """Its clock is unknown or years off, its direction key, its release key and its root key are long replaced."""
    old, signers, thief.roots = signing.root_key, {}, {}
    for version in range(2, 41):
        signers = {name: keys.generate(tmp_path / f"{name}{version}.pem") for name in root.ROLES}
        public = {name: ([keys.public65(key)], 1) for name, key in signers.items()}
        thief.roots[version] = sign.next_root(version, public, [old, signers["root"]])
        old = signers["root"]
    follow([signing.root_raw, *thief.roots.values()])
    thief.now_s = 2_100_000_000   # ten years later
    thief.direct_to = thief.hold(*release(signers["release"]))
    thief.direction_key = signers["direction"]
    assert victim.clock.unix_ms() == 0
    assert victim.live() == "update"
    assert victim.trust.root()["version"] == 40


def test_directions_end_by_the_nonce_where_the_clock_is_unknown(signing: Keys) -> None:
    """An expiry needs a clock; the nonce needs none, and so an unknown one neither stops a device nor opens it."""
    made = direction.build("hall-0242ac110001", "11" * 16, 1, "ab" * 32, 1, 2)
    raw = sign.envelope(signed.DIRECTION, made, [signing.direction_key])
    assert direction.load(raw, signing.root, "hall-0242ac110001", "11" * 16, 0, None)["seq"] == 1


def test_root_key_compromise_is_total_and_ends_by_the_line_only(
        thief: Thief, victim: Victim, signing: Keys, tmp_path: Path) -> None:
    """Told as it is: who signs roots owns the fleet. Only a threshold of root keys in several hands is against it."""
    own = keys.generate(tmp_path / "thief.pem")
    thief.roots = {2: sign.next_root(2, {name: ([keys.public65(own)], 1) for name in root.ROLES}, [signing.root_key, own])}
    thief.direct_to, thief.direction_key = thief.hold(*release(own)), own
    assert victim.live() == "update"


def test_one_stolen_root_key_of_two_makes_no_root(middle: Middle, certificates, tmp_path: Path, signing: Keys) -> None:
    second, own = keys.generate(tmp_path / "second.pem"), keys.generate(tmp_path / "thief.pem")
    careful = Keys(tmp_path / "careful")
    careful.root_raw = sign.first_root(
        [careful.root_key, second], [keys.public65(careful.release_key)], [keys.public65(careful.direction_key)], root_threshold=2)
    careful.root = follow([careful.root_raw])
    victim = Victim(middle.port, certificates, careful)
    middle.rule = thief = Thief(careful)
    roles = {name: ([keys.public65(own)], 1) for name in root.ROLES}
    thief.direct_to, thief.direction_key = thief.hold(*release(own)), own
    for signers in ([second, own], [careful.root_key, own]):
        thief.roots = {2: sign.next_root(2, roles, signers)}
        assert victim.live() is None
        assert victim.trust.root()["version"] == 1
        victim.live()
