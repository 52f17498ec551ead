"""Keys stay with their owner; nothing unsigned, half signed or signed by the wrong role gets through."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.errors import SignatureError
from node.wire import manifest, root, signed
from ota.release import keys, sign, verify
from ota.release.keys import KeyFileError, public65
from ota.release.verify import ReleaseError
from tests.ota.support import Keys


def new_key() -> keys.PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "release.key"
    made = keys.generate(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public65(keys.load(path)) == public65(made)
    with pytest.raises(KeyFileError, match="File exists"):
        keys.generate(path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys.generate(tmp_path / "k")
    (tmp_path / "k").chmod(0o644)
    with pytest.raises(KeyFileError, match="got mode 0644, expected 0600"):
        keys.load(tmp_path / "k")


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    made = keys.generate(tmp_path / "k", b"correct horse")
    assert b"ENCRYPTED" in (tmp_path / "k").read_bytes()
    assert public65(keys.load(tmp_path / "k", b"correct horse")) == public65(made)
    with pytest.raises(KeyFileError, match="wrong passphrase"):
        keys.load(tmp_path / "k", b"battery")
    with pytest.raises(KeyFileError, match="TENFOLD_KEY_PASSPHRASE_FILE"):
        keys.load(tmp_path / "k")


def test_one_passphrase_serves_plain_files_too(tmp_path: Path) -> None:
    made = keys.generate(tmp_path / "k")
    assert public65(keys.load(tmp_path / "k", b"not needed")) == public65(made)


def test_where_a_passphrase_comes_from(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("from file\nsecond line\n")
    (tmp_path / "empty").write_text("\n")
    both = {keys.PASSPHRASE_ENV: "from env", keys.PASSPHRASE_FILE_ENV: str(tmp_path / "p")}
    assert keys.passphrase({}) is None
    assert keys.passphrase({keys.PASSPHRASE_ENV: "from env"}) == b"from env"
    assert keys.passphrase(both) == b"from file"
    with pytest.raises(KeyFileError, match="empty first line"):
        keys.passphrase({keys.PASSPHRASE_FILE_ENV: str(tmp_path / "empty")})
    with pytest.raises(KeyFileError, match="No such file"):
        keys.passphrase({keys.PASSPHRASE_FILE_ENV: str(tmp_path / "none")})


def test_other_kinds_of_keys_and_files_are_refused(tmp_path: Path) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content, words in (("rsa", other, "expected P-256"), ("text", b"hello", "not a PEM private key")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
        with pytest.raises(KeyFileError, match=words):
            keys.load(tmp_path / name)
    with pytest.raises(KeyFileError, match="No such file"):
        keys.load(tmp_path / "none")


def test_a_signature_made_here_is_accepted_by_the_devices_code() -> None:
    key = new_key()
    raw = sign.envelope(signed.MANIFEST, b"{}", [key])
    assert signed.verify(raw, signed.MANIFEST, [public65(key)], 1) == b"{}"
    with pytest.raises(SignatureError):
        signed.verify(raw, signed.MANIFEST, [public65(new_key())], 1)


def test_thresholds_are_met_by_different_hands() -> None:
    first, second = new_key(), new_key()
    raw = sign.envelope(signed.MANIFEST, b"{}", [first])
    both = [public65(first), public65(second)]
    again = sign.add_signature(raw, signed.MANIFEST, first)
    with pytest.raises(SignatureError):
        signed.verify(again, signed.MANIFEST, both, 2)   # signing twice with one key is one signature
    assert signed.verify(sign.add_signature(raw, signed.MANIFEST, second), signed.MANIFEST, both, 2) == b"{}"


def test_the_chain_of_roots_is_followed_link_by_link(signing: Keys) -> None:
    new_root, new_release = new_key(), new_key()
    roles = {"root": ([public65(new_root)], 1), "release": ([public65(new_release)], 1),
             "direction": ([public65(signing.direction_key)], 1)}
    second = sign.next_root(2, roles, [signing.root_key, new_root], min_counter=2)
    found = verify.follow([signing.root_raw, second])
    assert (found["version"], found["min_counter"]) == (2, 2)
    for bad in (sign.next_root(2, roles, [signing.root_key]), sign.next_root(2, roles, [new_root])):
        with pytest.raises(ReleaseError, match="valid signatures"):
            verify.follow([signing.root_raw, bad])
    with pytest.raises(ReleaseError, match="expected 2"):
        verify.follow([signing.root_raw, sign.next_root(3, roles, [signing.root_key, new_root])])
    with pytest.raises(ReleaseError, match="empty chain"):
        verify.follow([])


def test_the_online_key_cannot_sign_a_release(signing: Keys) -> None:
    raw, artifact = signing.release(2, key=signing.direction_key)
    with pytest.raises(ReleaseError) as caught:
        verify.verify_release(raw, artifact, signing.root)
    assert caught.value.code == "signature.threshold"


def test_an_artifact_that_is_not_the_signed_one_is_refused(signing: Keys) -> None:
    raw, artifact = signing.release(2)
    assert verify.verify_release(raw, artifact, signing.root).release.counter == 2
    for bad in (artifact[:-1], artifact + b"x", bytes([artifact[0] ^ 1]) + artifact[1:]):
        with pytest.raises(ReleaseError) as caught:
            verify.verify_release(raw, bad, signing.root)
        assert caught.value.code == "release.artifact"


def test_a_release_below_the_floor_is_withdrawn(signing: Keys) -> None:
    roles = {name: (list(map(bytes.fromhex, body["keys"])), 1) for name, body in signing.root["roles"].items()}
    raised = verify.follow([sign.next_root(2, roles, [signing.root_key], min_counter=3)], signing.root)
    raw, artifact = signing.release(2)
    with pytest.raises(ReleaseError, match="floor"):
        verify.verify_release(raw, artifact, raised)


def test_a_changed_payload_byte_is_noticed(signing: Keys) -> None:
    raw, artifact = signing.release(2)
    assert root.role(signing.root, "release")[1] == 1
    assert manifest.load(raw, signing.root)["counter"] == 2
    tampered = raw.replace(b'"counter": 2', b'"counter": 9')
    assert tampered != raw
    with pytest.raises(ReleaseError, match="0 valid signatures"):
        verify.verify_release(tampered, artifact, signing.root)
