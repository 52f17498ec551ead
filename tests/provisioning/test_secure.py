"""Secure boot with the real espefuse and espsecure, on virtual eFuses: pulled plugs, wrong images, stray keys, wrong words."""

import os
import pty
import shutil
import stat
import subprocess
import sys
from dataclasses import astuple
from functools import cache
from pathlib import Path

import pytest

from provisioning.errors import ProvisioningError
from provisioning.line import burning, signing
from provisioning.line.efuses import Efuses
from provisioning.line.image import TABLE_OFFSET, ImageError
from provisioning.rules.fuses import ECDSA, RSA, Board, Flash, digests, held
from provisioning.rules.secure import Code, Plan, Step, plan
from tests.provisioning.secure_boards import blank, espefuse, flash_image
from tests.provisioning.secure_boards import board as factory_new

ROOT = Path(__file__).parents[2]


class Maker:
    """A plant's keys, and flash images signed with the first of them."""

    def __init__(self, folder: Path) -> None:
        self.private = signing.make_keys(folder, RSA, 2)
        self.keys = [signing.read_key(path.with_suffix(".pub")) for path in self.private]

    @cache   # noqa: B019  one object for the session; each call starts a process or two
    def signed(self, chip: str) -> bytes:
        return signing.sign(flash_image(chip), chip, self.private[0])[0]

    @cache   # noqa: B019  as above
    def looked(self, chip: str) -> Flash:
        return signing.look(self.signed(chip), chip, self.keys[:1])

    def plan(self, board: Board, level: str = "locked") -> Plan:
        return plan(board, level, self.keys[:1], self.looked(board.chip))


@pytest.fixture(scope="session")
def maker(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("keys"))


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["esp32s3", "esp32c6"])
def test_a_rehearsal_ends_at_the_level_and_leaves_the_board_alone(chip, maker, tmp_path):
    efuses = blank(tmp_path / "efuses", chip)
    board = efuses.read()
    after = burning.rehearse(efuses, board, maker.plan(board))
    assert held(after) == "locked"
    assert maker.plan(after).steps == ()
    assert efuses.read() == board


@pytest.mark.parametrize("chip", ["esp32", "esp32c3"])   # the others have the C3's eFuses
def test_a_plug_pulled_after_any_step_goes_on_with_the_next(chip, maker, tmp_path):
    efuses = blank(tmp_path / "efuses", chip)
    board = efuses.read()
    found = maker.plan(board)
    assert not found.refusals
    for done, step in enumerate(found.steps):
        now = efuses.read()
        assert maker.plan(now).steps == found.steps[done:]   # so from here the end is the same
        efuses.burn(step)
    end = efuses.read()
    assert held(end) == "locked"
    assert maker.plan(end).steps == ()
    efuses.burn(found.steps[0])   # a cut before it was read back: burned again
    assert efuses.read() == end


@pytest.mark.slow
@pytest.mark.parametrize(("chip", "cut"), [
    ("esp32c3", ("burn-block-data", "BLOCK_KEY0", "{digest}")),
    ("esp32c6", ("burn-key-digest", "--no-write-protect", "BLOCK_KEY0", "{key}", "SECURE_BOOT_DIGEST0")),
    ("esp32", ("burn-key-digest", "--no-protect-key", "{key}")),
])
def test_a_plug_pulled_within_a_step_ends_as_if_it_never_was(chip, cut, maker, tmp_path):
    efuses = blank(tmp_path / "efuses", chip)
    planned = burning.rehearse(efuses, efuses.read(), maker.plan(efuses.read(), "signed"))
    digest = tmp_path / "digest"
    digest.write_bytes(maker.keys[0].digest)
    espefuse(efuses, *(word.format(digest=digest, key=maker.keys[0].path) for word in cut))
    board, said = efuses.read(), []
    assert board != planned
    assert burning.burn(efuses, board, maker.plan(board, "signed"), said.append) == planned == efuses.read()
    assert len(said) == len(maker.plan(board, "signed").steps)


def test_a_board_that_was_exchanged_after_the_question_is_not_burned(maker, tmp_path):
    first, second = blank(tmp_path / "first", "esp32c3"), blank(tmp_path / "second", "esp32c3")
    espefuse(second, "burn-efuse", "DIS_TWAI", "1")
    board, other = first.read(), second.read()
    with pytest.raises(ProvisioningError, match=r"secure\.other_board"):
        burning.burn(second, board, maker.plan(board), print)
    assert second.read() == other


class Deaf(Efuses):
    """eFuses that say they were burned, and were not."""

    def burn(self, step: Step) -> None:
        pass


def test_a_step_that_did_not_take_ends_the_burning(maker, tmp_path):
    efuses = Deaf(*astuple(blank(tmp_path / "efuses", "esp32c3")))
    board = efuses.read()
    with pytest.raises(ProvisioningError, match=r"secure\.readback: .*digest-0"):
        burning.burn(efuses, board, maker.plan(board), print)


def test_a_plan_that_was_refused_is_neither_rehearsed_nor_burned(maker, tmp_path):
    efuses = Efuses.virtual(tmp_path / "efuses", "esp32")   # revision 0
    board = efuses.read()
    found = maker.plan(board)
    for act in (lambda: burning.rehearse(efuses, board, found), lambda: burning.burn(efuses, board, found, print)):
        with pytest.raises(ProvisioningError, match=r"secure\.revision: .*expected 3\.0"):
            act()
    assert efuses.read() == board


def test_the_copy_of_a_rehearsal_has_what_the_board_has(maker, tmp_path):
    efuses = blank(tmp_path / "efuses", "esp32s3")
    secret = tmp_path / "hmac.bin"
    secret.write_bytes(b"\x5a" * 32)
    espefuse(efuses, "burn-key", "BLOCK_KEY0", str(secret), "HMAC_UP", "burn-efuse", "DIS_USB_JTAG", "1")
    board = efuses.read()
    assert efuses.copy(tmp_path / "copy").read() == board
    assert maker.plan(board).steps[0].command[1] == "BLOCK_KEY1", "a block in use is left alone"


def test_a_port_that_is_not_there_and_a_chip_that_we_do_not_know_are_told_in_one_line(tmp_path):
    with pytest.raises(ProvisioningError, match=r"secure\.tool: /dev/nowhere: espefuse: .*does not answer any more") as told:
        Efuses.at("/dev/nowhere").read()
    assert "\n" not in str(told.value)
    with pytest.raises(ProvisioningError, match=r"secure\.chip: .*got esp32c2"):
        Efuses.virtual(tmp_path / "efuses", "esp32c2").read()


@pytest.mark.parametrize(("name", "change", "code"), [
    ("a stock image", lambda raw, chip: flash_image(chip), Code.UNSIGNED),
    ("one byte changed", lambda raw, chip: raw[:0x10100] + bytes([raw[0x10100] ^ 1]) + raw[0x10101:], Code.UNSIGNED),
    ("bootloader erased", lambda raw, chip: b"\xff" * TABLE_OFFSET + raw[TABLE_OFFSET:], Code.BOOTLOADER),
])
def test_what_the_flash_holds_is_looked_at(name, change, code, maker):
    raw = change(maker.signed("esp32"), "esp32")
    assert raw != maker.signed("esp32"), name
    found = plan(factory_new("esp32"), "signed", maker.keys[:1], signing.look(raw, "esp32", maker.keys[:1]))
    assert code in {refusal.code for refusal in found.refusals}


def test_an_image_signed_by_a_strangers_key_and_a_blind_bootloader_are_told(maker):
    looked = signing.look(maker.signed("esp32c3"), "esp32c3", maker.keys)
    assert [(part.name, part.signers) for part in looked.parts] == [
        ("bootloader", {maker.keys[0].digest}), ("ota_0", {maker.keys[0].digest})]
    assert looked.has_files
    assert [part.verifies for part in looked.parts] == [True, None]
    blind = signing.look(signing.sign(flash_image("esp32c3", trace=b""), "esp32c3", maker.private[1])[0], "esp32c3", maker.keys)
    assert [(part.verifies, part.signers) for part in blind.parts] == [
        (False, {maker.keys[1].digest}), (None, {maker.keys[1].digest})]


def test_signing_again_replaces_the_signature_and_what_is_damaged_is_not_signed(maker):
    raw, _ = signing.sign(maker.signed("esp32s3"), "esp32s3", maker.private[1])
    assert {part.signers for part in signing.look(raw, "esp32s3", maker.keys).parts} == {frozenset({maker.keys[1].digest})}
    with pytest.raises(ImageError, match="damaged"):
        signing.sign(raw[:0x10100] + b"\x00\x01" + raw[0x10102:], "esp32s3", maker.private[0])


def test_keys_are_kept_from_others_and_out_of_git_and_are_never_overwritten(maker, tmp_path):
    assert {stat.S_IMODE(path.stat().st_mode) for path in maker.private} == {0o600}
    with pytest.raises(ProvisioningError, match=r"secure\.place: .*there is one already"):
        signing.make_keys(maker.private[0].parent, RSA, 1)
    (tmp_path / ".git").mkdir()
    with pytest.raises(ProvisioningError, match=r"secure\.place: .*git work tree"):
        signing.make_keys(tmp_path / "deep" / "keys", RSA, 1)
    assert not (tmp_path / "deep").exists()
    with pytest.raises(ProvisioningError, match=r"secure\.keys"):
        signing.make_keys(tmp_path / "keys", RSA, 4)
    with pytest.raises(ProvisioningError, match=r"secure\.scheme"):
        signing.make_keys(tmp_path / "keys", "rsa2048", 1)


def test_a_private_key_is_refused_at_the_board_and_so_is_what_is_no_key(maker, tmp_path):
    with pytest.raises(ProvisioningError, match=r"secure\.key: .*got a private key"):
        signing.read_key(maker.private[0])
    with pytest.raises(ProvisioningError, match=r"secure\.key: .*got no public key"):
        signing.read_key(tmp_path / "nothing.pub")


@pytest.mark.slow
def test_ecdsa_is_for_the_chip_that_can_check_it(maker, tmp_path):
    private = signing.make_keys(tmp_path / "keys", ECDSA, 1)[0]
    key = signing.read_key(private.with_suffix(".pub"))
    raw, _ = signing.sign(flash_image("esp32c6"), "esp32c6", private)
    efuses = blank(tmp_path / "efuses", "esp32c6")
    board = efuses.read()
    found = plan(board, "guarded", [key], signing.look(raw, "esp32c6", [key]))
    assert not found.refusals
    assert held(burning.rehearse(efuses, board, found)) == "guarded"
    other = plan(blank(tmp_path / "other", "esp32s3").read(), "signed", [key], signing.look(raw, "esp32c6", [key]))
    assert {refusal.code for refusal in other.refusals} == {Code.SCHEME}


@pytest.fixture
def bench(maker, tmp_path):
    """Arguments of `tenfold secure` for a virtual ESP32-C3 whose flash is signed."""
    flash = tmp_path / "flash.bin"
    flash.write_bytes(maker.signed("esp32c3"))
    efuses = blank(tmp_path / "efuses", "esp32c3")
    efuses.read()
    place = ["--virtual", efuses.name, "--chip", "esp32c3", "--flash", str(flash)]
    return efuses, [*place, "--level", "signed", "--key", maker.keys[0].path]


def tenfold(*arguments, **kwargs):
    command = [sys.executable, "-c", "from host.cli import main; main()", "secure", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def typed(word, *arguments):
    """Run a command with a terminal as its input, on which a word is typed."""
    ours, theirs = pty.openpty()
    try:
        running = tenfold(*arguments, stdin=theirs)
        os.write(ours, f"{word}\n".encode())
        out, err = running.communicate(timeout=600)
    finally:
        os.close(ours)
        os.close(theirs)
    return running.returncode, out, err


def test_a_pipe_burns_nothing(bench):
    efuses, arguments = bench
    before = efuses.read()
    running = tenfold("burn", *arguments, stdin=subprocess.PIPE)
    _, err = running.communicate(f"{before.mac}\n", timeout=300)
    assert running.returncode == 2
    assert "secure.terminal" in err
    assert efuses.read() == before


def test_only_the_boards_own_address_typed_by_a_person_burns(bench):
    efuses, arguments = bench
    before = efuses.read()
    code, out, err = typed("yes", "burn", *arguments)
    assert (code, "secure.word" in err) == (2, True), err
    assert "SECURE_BOOT_KEY_REVOKE2" in out, "a name that is cut off says nothing"
    assert efuses.read() == before
    code, out, err = typed(before.mac, "burn", *arguments)
    assert code == 0, err
    assert "burned and read back: signed" in out
    assert held(efuses.read()) == "signed"


@pytest.mark.slow
def test_a_lost_key_is_revoked_by_a_person_and_what_it_signed_is_refused_from_then_on(maker, tmp_path):
    flash, efuses = tmp_path / "flash.bin", blank(tmp_path / "efuses", "esp32c3")
    flash.write_bytes(maker.signed("esp32c3"))
    lost, kept = maker.keys
    espefuse(efuses, "burn-key-digest", "BLOCK_KEY0", lost.path, "SECURE_BOOT_DIGEST0", "burn-key-digest", "BLOCK_KEY1", kept.path,
             "SECURE_BOOT_DIGEST1", "burn-efuse", "SECURE_BOOT_KEY_REVOKE2", "1", "DIS_DIRECT_BOOT", "1", "SECURE_BOOT_EN", "1",
             "write-protect-efuse", "RD_DIS")   # as a plan for two keys does it
    before = efuses.read()
    arguments = ["--virtual", efuses.name, "--chip", "esp32c3", "--flash", str(flash), "--level", "signed", "--key", kept.path,
                 "--revoke", lost.path]
    code, _, err = typed(before.mac, "burn", *arguments)
    assert (code, "secure.unsigned" in err) == (2, True), "what runs is signed by the lost key alone"
    flash.write_bytes(signing.sign(maker.signed("esp32c3"), "esp32c3", maker.private[1])[0])
    code, out, err = typed(before.mac, "burn", *arguments)
    assert code == 0, err
    assert "1/1 SECURE_BOOT_KEY_REVOKE0" in out
    assert [(one.sha256, one.is_revoked) for one in digests(efuses.read())] == [(lost.digest, True), (kept.digest, False)]
    code, out, err = typed(before.mac, "burn", *arguments)
    assert (code, "nothing to burn" in out) == (0, True), "the plug was pulled after it was burned"


def test_make_secure_without_a_port_says_so():
    make = shutil.which("make")
    assert make
    done = subprocess.run([make, "-o", ".venv/.demo", "secure"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "make secure PORT=" in done.stderr
