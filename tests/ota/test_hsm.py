"""Keys in an HSM, here a real SoftHSM: they sign what devices accept, and no PIN is ever on a command line."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.wire import signed
from ota.release import keys, sign, verify
from ota.release.bundle import manifest_for
from ota.release.keys import KeyFileError, public65
from tests.cli.test_release_desk import tenfold
from tests.ota.support import DEVICE, Keys, PretendDevice, plant

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")
MODULE = next((path for path in MODULES if Path(path).exists()), None)
PIN = "246810"


@dataclass
class Token:
    """A SoftHSM token with three P-256 keys and one of another curve."""

    folder: Path
    public: dict[str, bytes]

    def uri(self, name: str, more: str = "") -> Path:
        return Path(f"pkcs11:token=plant;object={name}?module-path={MODULE}{more}")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    if MODULE is None:
        pytest.skip("NO HSM WAS TESTED: apt-get install softhsm2")
    pytest.importorskip("pkcs11", reason="NO HSM WAS TESTED: pip install python-pkcs11")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    (folder / "pin").write_text(PIN + "\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
    util("--init-token", "--free", "--label", "plant", "--so-pin", "13579135", "--pin", PIN)
    made = {}
    for number, (name, curve) in enumerate({
        "root": ec.SECP256R1(), "release": ec.SECP256R1(), "direction": ec.SECP256R1(), "large": ec.SECP384R1()}.items()):
        key = ec.generate_private_key(curve)
        file = folder / f"{name}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        util("--import", str(file), "--token", "plant", "--label", name, "--id", f"a{number}", "--pin", PIN)
        if name != "large":
            made[name] = public65(key)
    yield Token(folder, made)
    patch.undo()


@pytest.fixture(autouse=True)
def pin(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_PKCS11_PIN_FILE", str(token.folder / "pin"))


def util(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True, timeout=20)


def test_a_key_in_an_hsm_signs_what_devices_accept(token: Token) -> None:
    root, release, direction = (keys.load(token.uri(name)) for name in ("root", "release", "direction"))
    assert [public65(key) for key in (root, release, direction)] == list(token.public.values())
    raw = sign.first_root([root], [public65(release)], [public65(direction)])
    assert verify.follow([raw])["version"] == 1
    again = sign.add_signature(sign.envelope(signed.MANIFEST, b"{}", [root]), signed.MANIFEST, release)
    assert signed.verify(again, signed.MANIFEST, [public65(root), public65(release)], 2) == b"{}"


def test_a_key_is_found_by_its_id_too(token: Token) -> None:
    key = keys.load(Path(f"pkcs11:token=plant;id=%a1;type=private?module-path={MODULE}"))
    assert public65(key) == token.public["release"]


def test_the_pin_comes_from_the_file_that_the_uri_names(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENFOLD_PKCS11_PIN_FILE")
    key = keys.load(token.uri("root", f"&pin-source=file:{token.folder}/pin"))
    assert public65(key) == token.public["root"]


@pytest.mark.parametrize(("uri", "words"), [
    ("pkcs11:token=plant;object=root?module-path=/nowhere.so", "/nowhere.so"),
    ("pkcs11:token=another;object=root?module-path={module}", "NoSuchToken"),
    ("pkcs11:token=plant;object=none?module-path={module}", "NoSuchKey"),
    ("pkcs11:token=plant;object=large?module-path={module}", "got a key of another curve"),
    ("pkcs11:token=plant?module-path={module}", "expected a private key by object= or id="),
    ("pkcs11:token=plant;object=root", "module-path="),
    ("pkcs11:token=plant;object=root;type=public?module-path={module}", "expected a private key"),
    ("pkcs11:token=plant;token=plant;object=root?module-path={module}", "each once"),
    ("pkcs11:token=plant;colour=red;object=root?module-path={module}", "got 'colour=red'"),
    ("pkcs11:token=plant;object=root?module-path={module}&pin-source=/nowhere", "pin-source: got /nowhere"),
])
def test_what_names_no_key_is_told(token: Token, uri: str, words: str) -> None:
    with pytest.raises(KeyFileError, match=words.replace("(", r"\(")):
        keys.load(Path(uri.format(module=MODULE)))


def test_a_pin_in_the_uri_is_refused_and_not_repeated(token: Token) -> None:
    with pytest.raises(KeyFileError, match="got a PIN in the URI") as caught:
        keys.load(token.uri("root", "&pin-value=246810"))
    assert PIN not in str(caught.value)


def test_the_servers_direction_key_may_lie_in_an_hsm(token: Token, tmp_path: Path) -> None:
    made = Keys(tmp_path / "keys")
    made.root_raw = sign.first_root([made.root_key], [public65(made.release_key)], [token.public["direction"]])
    made.root = verify.follow([made.root_raw])
    (made.folder / "root.bin").write_bytes(made.root_raw)
    with plant(tmp_path, made=made, direction_key=token.uri("direction")) as server:
        manifest = server.publish(*made.release(2)).json()["manifest"]
        device = PretendDevice(server, DEVICE)
        device.check_in()
        server.pass_time(1)
        server.rollout(manifest, stages=[100], soak_s=[0])
        device.check_in()   # verifies the direction as a device does
        assert device.directed == manifest


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")   # the library cleans up in a session that is gone
def test_a_token_that_goes_away_fails_one_signature_and_is_opened_again(token: Token) -> None:
    key = keys.load(token.uri("direction"))
    key._session.close()   # what a token that restarts looks like from here
    with pytest.raises(KeyFileError, match="pkcs11:token=plant"):
        sign.envelope(signed.DIRECTION, b"{}", [key])
    raw = sign.envelope(signed.DIRECTION, b"{}", [key])
    assert signed.verify(raw, signed.DIRECTION, [token.public["direction"]], 1) == b"{}"


def test_a_wrong_pin_is_told_without_it(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: PKCS#11 logs in a whole process, and here somebody is logged in already."""
    program = "import sys; from pathlib import Path; from ota.release import keys; keys.load(Path(sys.argv[1]))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for pin, words in (("97531", "PinIncorrect"), (None, "no PIN in TENFOLD_PKCS11_PIN_FILE or TENFOLD_PKCS11_PIN")):
        env = {name: value for name, value in env.items() if not name.startswith("TENFOLD_PKCS11")}
        env |= {} if pin is None else {"TENFOLD_PKCS11_PIN": pin}
        done = subprocess.run([sys.executable, "-c", program, str(token.uri("root"))], env=env, capture_output=True, text=True,
                              check=False, timeout=30)
        assert done.returncode == 1
        assert words in done.stderr
        assert pin is None or pin not in done.stderr


def test_roots_and_releases_are_made_with_keys_of_an_hsm(token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root, release, direction = (str(token.uri(name)) for name in token.public)
    given = ("--root-key", root, "--release-key", release, "--direction-key", direction)
    assert tenfold(monkeypatch, "keys", "init", "keys", *given) == 0
    payload, artifact = manifest_for({"main.mpy": b"M"}, "1.1.0", 2, ["hall"], (1, 1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_bytes(payload)
    (tmp_path / "out/artifact.bin").write_bytes(artifact)
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", release) == 0
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 0
    assert tenfold(monkeypatch, "keys", "revoke", "keys", release, "--min-counter", "3", "--key", root) == 0
    found = verify.follow((tmp_path / "keys" / name).read_bytes() for name in ("root.bin", "root-2.bin"))
    assert found["min_counter"] == 3
    assert token.public["release"].hex() not in found["roles"]["release"]["keys"]


def test_many_threads_may_sign_with_one_key_of_an_hsm(token: Token) -> None:
    key, good = keys.load(token.uri("direction")), []

    def work() -> None:
        for _ in range(10):
            raw = sign.envelope(signed.DIRECTION, b"{}", [key])
            good.append(signed.verify(raw, signed.DIRECTION, [token.public["direction"]], 1) == b"{}")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [True] * 40
