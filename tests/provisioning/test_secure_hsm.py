"""Secure boot with keys that cannot leave their HSM, here a real SoftHSM: espsecure itself finds the signatures good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.line import signing
from provisioning.rules.fuses import ECDSA, RSA
from tests.provisioning.hsm import PIN, URI, softhsm
from tests.provisioning.secure_boards import flash_image


class Desk:
    """`tenfold secure` beside a token with keys of three kinds, with flash images to sign."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pin").write_text(PIN)
        self._env = os.environ | {"SOFTHSM2_CONF": str(softhsm(folder, "rsa3072", "p256", "rsa2048"))}
        for name in [name for name in self._env if name.startswith("TENFOLD_PKCS11")]:
            del self._env[name]

    def tenfold(self, *words: str, pin: str = "pin") -> tuple[int, str]:
        """In a process of its own: PKCS#11 is set up once for each."""
        env = self._env | {"TENFOLD_PKCS11_PIN_FILE": str(self.folder / pin)}
        done = subprocess.run([sys.executable, "-c", "from host.cli import main; main()", "secure", *words], env=env,
                              capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stdout + done.stderr

    def sign(self, chip: str, label: str, pin: str = "pin") -> tuple[int, str]:
        image = self.folder / chip
        image.write_bytes(flash_image(chip))
        return self.tenfold("sign", str(image), "--chip", chip, "--key", URI.format(label), "--out", str(self.out), pin=pin)

    @property
    def out(self) -> Path:
        return self.folder / "signed"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("hsm"))


@pytest.mark.parametrize(("chip", "label", "kind"), [("esp32c3", "rsa3072", RSA), ("esp32c6", "p256", ECDSA)])
def test_a_key_in_an_hsm_signs_what_espsecure_and_the_plan_find_good(desk: Desk, chip: str, label: str, kind: str) -> None:
    public = desk.folder / f"{label}.pub"
    code, said = desk.tenfold("public", URI.format(label), str(public))
    assert code == 0, said
    key = signing.read_key(public)
    assert key.scheme == kind
    code, said = desk.sign(chip, label)
    assert (code, PIN in said) == (0, False), said
    looked = signing.look(desk.out.read_bytes(), chip, [key])
    assert [(part.name, part.fault, part.signers) for part in looked.parts] == [
        ("bootloader", "", {key.digest}), ("ota_0", "", {key.digest})]


@pytest.mark.parametrize(("chip", "label", "words"), [
    ("esp32s3", "p256", "secure.scheme"), ("esp32c6", "rsa2048", "secure.key"), ("esp32c6", "none", "NoSuchKey")])
def test_a_key_that_the_chip_cannot_check_signs_nothing(desk: Desk, chip: str, label: str, words: str) -> None:
    desk.out.unlink(missing_ok=True)
    code, said = desk.sign(chip, label)
    assert (code, words in said) == (2, True), said
    assert not desk.out.exists()


def test_a_wrong_pin_is_told_without_it(desk: Desk) -> None:
    (desk.folder / "wrong").write_text("97531")
    code, said = desk.sign("esp32c6", "p256", pin="wrong")
    assert (code, "PinIncorrect" in said, "97531" in said) == (2, True, False), said
