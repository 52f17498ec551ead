"""The update server is an attacker's, with TLS key, archive and direction key: it moves devices among signed releases, onwards."""

import random
from hashlib import sha256

import pytest

from node.agent import download, http, update
from node.wire import checkin, root, signed
from node.wire.limits import MAX_BYTES, ROOT
from ota.release import keys, sign
from ota.release.bundle import manifest_for
from ota.release.verify import manifest_name
from tests.attacks.middle import Answer, Middle, Thief
from tests.attacks.victim import Victim
from tests.ota.support import MODEL, Keys

FILES = {"main.mpy": b"M\x06" + bytes(500), "node/x.mpy": b"x" * 30_000}
HUGE = 1 << 40
PIECE = b"x" * 4096


@pytest.fixture
def thief(middle: Middle, signing: Keys) -> Thief:
    middle.rule = made = Thief(signing)
    return made


def own_release(key, counter=2, files=FILES, **more):
    """(envelope, artifact) of a release; `key` signs it."""
    values = {"models": [MODEL], "from_range": (0, counter - 1)} | more
    payload, artifact = manifest_for(files, f"1.{counter}.0", counter, **values)
    return sign.envelope(signed.MANIFEST, payload, [key]), artifact


def untouched(victim: Victim) -> None:
    """Nothing but the factory's release could run, and it does."""
    victim.boot()
    assert (victim.ran[-1], set(victim.holds())) == (1, {"factory"})


def test_thief_can_move_a_device_to_a_signed_release(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    assert victim.live() == "update"
    assert (victim.ran, victim.trust.floor) == ([1, 2], 2)


def test_arbitrary_software_signed_with_the_online_key_is_refused(thief: Thief, victim: Victim, signing: Keys, tmp_path) -> None:
    for key in (signing.direction_key, keys.generate(tmp_path / "own.pem")):
        thief.direct_to = thief.hold(*own_release(key))
        assert victim.live() is None
        assert victim.device.update.failed["reason"] == "signature.threshold"
        thief.direct_to = None
        victim.live()
        assert thief.heard[-1]["failed"]["reason"] == "signature.threshold"
    untouched(victim)


def test_arbitrary_software_under_the_hash_of_a_signed_release_is_refused(thief: Thief, victim: Victim, signing: Keys) -> None:
    raw, artifact = signing.release(2)
    thief.direct_to = thief.hold(raw, artifact)
    thief.artifacts[sha256(artifact).hexdigest()] = artifact[:-1] + b"!"
    assert victim.live() is None
    assert victim.device.update.failed["reason"] == "download.hash"
    untouched(victim)


def test_rollback_to_an_older_signed_release_is_refused(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(3))
    victim.live()
    for counter, low, high in ((2, 0, 9), (3, 0, 9), (1, 0, 9)):
        thief.direct_to = thief.hold(*signing.release(counter, low=low, high=high))
        assert victim.live() is None
        assert victim.device.update.failed["reason"] == "manifest.counter"
        victim.live()
    assert set(victim.ran) == {1, 3}


def test_rollback_below_the_floor_is_refused_even_after_a_fall_to_factory(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(5))
    victim.live()
    for name in ("/slots/a/bundle", "/slots/b/bundle"):
        victim.files.data.pop(name, None)   # the flash rots
    victim.boot()
    assert victim.ran[-1] == 1
    thief.direct_to = thief.hold(*signing.release(4))
    victim.live()
    victim.live()
    assert victim.device.update.failed["reason"] == "manifest.counter"


def test_sequence_of_old_directions_and_of_lower_numbers_is_refused(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    thief.forged = {"seq": 7}
    victim.live()
    thief.direct_to = thief.hold(*signing.release(3))
    for seq in (1, 6, 7):
        thief.forged = {"seq": seq}
        assert victim.live() is None
    thief.forged = {"seq": 8}
    assert victim.live() == "update"


def test_fast_forward_of_the_sequence_is_refused_and_a_new_direction_key_ends_it(
        thief: Thief, victim: Victim, signing: Keys, tmp_path) -> None:
    thief.direct_to = thief.hold(*own_release(signing.release_key, 2, models=[MODEL]))
    thief.answers = {"/v1/artifacts/": Answer(status=503)}   # each direction is consumed, none arrives
    for jump in (1 << 31) - 1, (1 << 20) + 1:
        thief.forged = {"seq": jump}
        victim.live()
        assert victim.trust.seq == 0
    for step in range(1, 4):
        thief.forged = {"seq": step << 20}
        victim.live()
    assert victim.trust.seq == 3 << 20
    thief.roots, honest_key = {2: rotated(signing, tmp_path)}, keys.load(tmp_path / "new.pem")
    thief.direction_key, thief.forged, thief.answers = honest_key, {"seq": 1}, {}
    assert victim.live() == "update"


def rotated(signing: Keys, folder, version=2, **more) -> bytes:
    """The next root, with a new direction key, new.pem."""
    new = keys.generate(folder / "new.pem")
    roles = {"root": ([keys.public65(signing.root_key)], 1), "release": ([keys.public65(signing.release_key)], 1),
             "direction": ([keys.public65(new)], 1)} | more
    return sign.next_root(version, roles, [signing.root_key])


def test_wrong_software_for_another_model_interpreter_or_step_is_refused(thief: Thief, victim: Victim, signing: Keys) -> None:
    wrong = ({"models": ["gate"]}, "manifest.model"), ({"mpy": 7}, "manifest.mpy"), ({"from_range": (2, 3)}, "manifest.from")
    for more, reason in wrong:
        thief.direct_to = thief.hold(*own_release(signing.release_key, 4, **more))
        assert victim.live() is None
        assert victim.device.update.failed["reason"] == reason
        victim.live()
    untouched(victim)


def test_direction_for_another_device_or_another_question_is_refused(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    for forged in ({"device": "hall-0242ac110002"}, {"nonce": "00" * 16}):
        thief.forged = forged
        assert victim.live() is None
    assert not victim.device.trust().seq
    untouched(victim)


def test_mix_and_match_of_one_releases_manifest_with_anothers_artifact_is_refused(
        thief: Thief, victim: Victim, signing: Keys) -> None:
    raw_2, artifact_2 = own_release(signing.release_key, 2)
    raw_3, artifact_3 = own_release(signing.release_key, 3, {"a.mpy": b"3" * 3000})
    thief.hold(raw_2, artifact_2)
    thief.direct_to = thief.hold(raw_3, artifact_3)
    thief.artifacts[sha256(artifact_3).hexdigest()] = artifact_2
    victim.live()
    thief.artifacts[sha256(artifact_3).hexdigest()] = artifact_2[:1000] + artifact_3[1000:]
    victim.live()
    thief.manifests[manifest_name(raw_3)] = raw_2   # another genuine manifest than the one directed
    victim.live()
    assert victim.device.update.failed["reason"] == "manifest.hash"
    untouched(victim)


def test_partial_bundle_never_runs(thief: Thief, victim: Victim, signing: Keys) -> None:
    raw, artifact = own_release(signing.release_key)
    thief.direct_to = thief.hold(raw, artifact)
    for kept in (100, 5000, len(artifact) - 1):
        thief.artifacts[sha256(artifact).hexdigest()] = artifact[:kept]
        assert victim.live() is None
        untouched(victim)
    thief.artifacts[sha256(artifact).hexdigest()] = artifact
    assert victim.live() == "update"


def test_extraneous_files_behind_or_beside_a_release_are_not_taken(
        thief: Thief, victim: Victim, signing: Keys) -> None:
    raw, artifact = own_release(signing.release_key)
    thief.direct_to = thief.hold(raw, artifact)
    thief.artifacts[sha256(artifact).hexdigest()] = artifact + b"import extra\n" * 100
    victim.live()   # larger than it was signed: not one byte
    assert "/slots/a/bundle" not in victim.files.data
    thief.artifacts[sha256(artifact).hexdigest()] = artifact
    victim.live()
    assert victim.holds()["a"] == sha256(artifact).hexdigest()
    assert sorted(victim.files.list("/slots/a")) == ["bundle", "part", "release.json"]


def endless():
    while True:
        yield PIECE


@pytest.mark.parametrize("length", [{}, {"Content-Length": str(HUGE)}, {"Transfer-Encoding": "chunked"}, {"Content-Length": "-1"}])
@pytest.mark.parametrize("path", ["/v1/checkin", "/v1/roots/", "/v1/manifests/", "/v1/artifacts/"])
def test_endless_data_is_cut_off_at_every_object(
        thief: Thief, victim: Victim, signing: Keys, path: str, length: dict[str, str]) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    thief.answers = {path: Answer(endless(), headers=length)}
    assert victim.live() is None
    assert sum(map(len, victim.files.data.values())) < 8192
    thief.answers = {}
    assert victim.live() == "update"


@pytest.mark.parametrize("path", ["/v1/checkin", "/v1/artifacts/"])
def test_endless_headers_are_cut_off(thief: Thief, victim: Victim, signing: Keys, path: str) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    thief.answers = {path: Answer(headers={"X": "x" * 10 * http.MAX_HEAD_BYTES})}
    assert victim.live() is None
    untouched(victim)


@pytest.mark.parametrize(("path", "cap"), [
    ("/v1/checkin", checkin.MAX_RESPONSE_BYTES), ("/v1/roots/", MAX_BYTES[ROOT]), ("/v1/manifests/", MAX_BYTES[signed.MANIFEST])])
def test_object_one_byte_over_its_cap_is_not_read(thief: Thief, victim: Victim, signing: Keys, path: str, cap: int) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    thief.answers = {path: Answer(b" " * (cap + 1))}
    victim.live()
    assert "expected at most" in victim.device.logged[-1][1]
    untouched(victim)


def trickle(thief: Thief, victim: Victim, signing: Keys, ms: int, files=FILES) -> None:
    """Serve a release so slowly: each read of the device, of 512 bytes at most, takes `ms` of its time."""
    thief.direct_to = thief.hold(*own_release(signing.release_key, files=files))

    def read_first() -> None:
        victim.clock.now_ms += ms if victim.device.update.state == update.FETCHING else 0

    victim.net.read_first = read_first


def test_slow_retrieval_is_broken_off_and_goes_on_where_it_stopped(thief: Thief, victim: Victim, signing: Keys) -> None:
    trickle(thief, victim, signing, ms=download.WINDOW_MS // 7 + 1)
    assert victim.live() is None
    assert victim.device.logged[-1][1].startswith("download.slow")
    kept = len(victim.files.data["/slots/a/bundle"])
    assert 0 < kept < 8192
    assert victim.device.update.state == update.IDLE   # no verdict on the release
    thief.answers, victim.net.read_first = {}, lambda: None
    assert victim.live() == "update"


def test_crawl_just_above_the_least_speed_ends_with_its_session(thief: Thief, victim: Victim, signing: Keys) -> None:
    files = {f"f{n}.mpy": bytes(30_000) for n in range(13)}   # 390 KB: half an hour does not suffice
    trickle(thief, victim, signing, download.WINDOW_MS // 8 - 100, files)
    assert victim.live() is None
    assert f"in {download.SESSION_MS // 1000} s" in victim.device.logged[-1][1]
    assert victim.clock.now_ms <= download.SESSION_MS + 20_000


def test_freeze_on_old_answers_does_not_stop_a_device_and_nonces_never_repeat(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = None   # "nothing new", for ever
    for _ in range(5):
        assert victim.live() is None
    assert len({asked["nonce"] for asked in thief.heard}) == 5
    untouched(victim)


def test_time_wound_forward_or_back_by_the_server_opens_nothing(thief: Thief, victim: Victim, signing: Keys) -> None:
    thief.direct_to = thief.hold(*signing.release(2))
    for now_s, expires in ((4_000_000_000, 1_900_000_000), (1, 1)):   # ahead of the direction's end; before every floor
        thief.now_s, thief.forged = now_s, {"issued": 1, "expires": expires}
        assert victim.live() is None
    untouched(victim)
    thief.now_s, thief.forged = 1_800_000_000, {}
    assert victim.live() == "update"


def test_roots_of_the_thief_are_refused(
        thief: Thief, victim: Victim, signing: Keys, tmp_path) -> None:
    own = keys.generate(tmp_path / "thief.pem")
    roles = {name: ([keys.public65(own)], 1) for name in root.ROLES}
    thief.direct_to = thief.hold(*own_release(own))
    thief.direction_key = own
    genuine = rotated(signing, tmp_path)
    unsigned = sign.next_root(2, roles, [own]), sign.next_root(2, roles, [signing.direction_key, own])
    for forged in (*unsigned, signing.root_raw, genuine[:-1], b"x"):
        thief.roots = {2: forged}
        assert victim.live() is None
        assert victim.trust.root()["version"] == 1
        victim.live()
    untouched(victim)


def test_online_key_gets_nowhere_but_among_signed_releases_forwards(
        thief: Thief, victim: Victim, signing: Keys, tmp_path) -> None:
    """Everything at once, by chance: whatever runs was signed offline for this model, and the counter never sinks."""
    chance = random.Random(5)

    def mostly(honest, lies):
        return honest if chance.random() < 0.8 else chance.choice(lies)

    own = keys.generate(tmp_path / "thief.pem")
    good = [own_release(signing.release_key, counter, {"main.mpy": b"%d" % counter * 400}, from_range=(0, 99))
            for counter in range(1, 8)]
    bad = [own_release(own, 9), own_release(signing.direction_key, 8), own_release(signing.release_key, 9, models=["gate"]),
           own_release(signing.release_key, 9, mpy=7), own_release(signing.release_key, 9, from_range=(8, 8))]
    allowed = {sha256(artifact).hexdigest() for _, artifact in good} | set(victim.holds().values())
    named, foreign = [thief.hold(*each) for each in good], [thief.hold(*each) for each in bad]
    root_of_own = sign.next_root(2, {name: ([keys.public65(own)], 1) for name in root.ROLES}, [own])
    confirmed = 1
    for _ in range(60):
        thief.direct_to = mostly(chance.choice(named), foreign)
        thief.direction_key = mostly(None, [own, signing.release_key])
        thief.forged = mostly({}, [{"seq": chance.randrange(1, 1 << 31)}, {"device": "gate-0242ac110001"},
                                   {"nonce": "ab" * 16}, {"issued": 1, "expires": 1_750_000_000}])
        thief.now_s = mostly(1_800_000_000, [1_700_000_000, 0xFFFFFFFF - 3600])
        raw, wrong = thief.manifests[thief.direct_to], chance.choice([*thief.artifacts.values(), b"", bytes(100)])
        thief.answers = mostly({}, [
            {"/v1/artifacts/": Answer(wrong)}, {"/v1/artifacts/": Answer(wrong, 206)},
            {"/v1/artifacts/": Answer(endless(), headers={})}, {"/v1/manifests/": Answer(raw + b" ")},
            {"/v1/manifests/": Answer(chance.choice(list(thief.manifests.values())))},
            {"/v1/roots/": Answer(root_of_own)}, {"/v1/checkin": Answer(b"[" * 8000)}])
        if victim.cycle() is not None:
            victim.boot()
            if chance.random() < 0.7:
                victim.confirm()
            else:
                victim.boot()
                victim.boot()
        assert set(victim.holds().values()) <= allowed
        counter = victim.info["release"]["counter"]
        assert counter >= confirmed
        assert victim.trust.floor <= counter or victim.info["trial"]
        confirmed = max(confirmed, victim.trust.floor)
    assert confirmed == 7   # it was no standstill that kept it safe
