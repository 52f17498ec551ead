"""What would brick a board, lock updates out or protect nothing: each is refused, by its own code, before anything is burned."""

from dataclasses import replace

import pytest

from provisioning.rules.fuses import BLOCKS, CHIPS, DIGEST_PURPOSE, ECDSA, RSA, Flash, Fuse, Key, Part, held
from provisioning.rules.secure import Code, plan, strays
from tests.provisioning.secure_boards import board

KEY, SPARE, OTHER = (Key(f"{name}.pub", RSA, bytes([index]) * 32) for index, name in enumerate(("key", "spare", "other"), 1))
BOTH = frozenset({KEY.digest})
GOOD = Flash((Part("bootloader", BOTH, verifies=True), Part("ota_0", BOTH)), True)
NEWER = ["esp32s3", "esp32c3", "esp32c6"]


def number(key):
    return int.from_bytes(key.digest, "big")


def codes(found):
    return {refusal.code for refusal in found.refusals}


def after(start, steps):
    """The board when the steps are done, as the rules themselves describe them."""
    fuses = dict(start.fuses)
    for step in steps:
        for name, bits in step.values.items():
            fuses[name] = replace(fuses[name], value=fuses[name].value | bits)
        for name in step.protects:
            fuses[name] = replace(fuses[name], writeable=False)
    return replace(start, fuses=fuses)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("level", ["signed", "guarded", "locked"])
def test_a_plan_leads_to_its_level_and_then_there_is_nothing_left(chip, level):
    if (chip, level) == ("esp32", "guarded"):
        assert codes(plan(board(chip), level, [KEY], GOOD)) == {Code.LEVEL}
        return
    start = board(chip)
    found = plan(start, level, [KEY], GOOD)
    assert not found.refusals
    end = after(start, found.steps)
    assert held(end) == level
    assert plan(end, level, [KEY], GOOD).steps == ()


@pytest.mark.parametrize("chip", CHIPS)
def test_secure_boot_is_on_only_after_a_digest_that_nobody_can_hide_and_the_port_closes_last(chip):
    found = plan(board(chip), "locked", [KEY], GOOD)
    names = [step.name for step in found.steps]
    assert names[0].startswith("digest")
    assert 0 < names.index("read-protection") < names.index(CHIPS[chip].boot)
    assert [step.closes for step in found.steps] == [False] * (len(names) - 1) + [True]
    assert all(step.does and step.impossible for step in found.steps)


@pytest.mark.parametrize("chip", NEWER)
def test_digest_slots_that_are_free_are_revoked_so_that_no_stranger_fills_them(chip):
    names = [step.name for step in plan(board(chip), "signed", [KEY, SPARE], GOOD).steps]
    assert [name for name in names if "REVOKE" in name] == ["SECURE_BOOT_KEY_REVOKE2"]
    assert {"digest-0", "digest-1"} <= set(names)


@pytest.mark.parametrize("chip", CHIPS)
def test_level_none_burns_nothing_and_encryption_is_refused_plainly(chip):
    assert plan(board(chip), "none", [], Flash((), False)).steps == ()
    refused = plan(board(chip), "encrypted", [KEY], GOOD)
    assert codes(refused) == {Code.ENCRYPTION}
    assert "MicroPython cannot encrypt its file system" in refused.refusals[0].message
    assert codes(plan(board(chip), "safe", [KEY], GOOD)) == {Code.LEVEL}


@pytest.mark.parametrize(("start", "code"), [
    (board("esp32", 299), Code.REVISION),
    (board("esp32c3", 2), Code.REVISION),
    (board("esp32", CODING_SCHEME=1), Code.CODING),
    (board("esp32", ABS_DONE_0=1), Code.OLD_BOOT),
    (board("esp32", FLASH_CRYPT_CNT=1), Code.ENCRYPTED),
    (board("esp32c3", SPI_BOOT_CRYPT_CNT=0b111), Code.ENCRYPTED),
    (board("esp32", BLOCK2=number(OTHER)), Code.SLOT),
    (board("esp32", BLOCK2=Fuse(0, readable=False)), Code.UNREADABLE),
    (board("esp32", BLOCK2=Fuse(0, writeable=False)), Code.PROTECTED),
    (board("esp32", UART_DOWNLOAD_DIS=Fuse(0, writeable=False)), Code.PROTECTED),
    (board("esp32c3", BLOCK_KEY0=number(OTHER), KEY_PURPOSE_0=DIGEST_PURPOSE), Code.SLOT),
    (board("esp32c3", BLOCK_KEY0=number(KEY), KEY_PURPOSE_0=DIGEST_PURPOSE, SECURE_BOOT_KEY_REVOKE0=1), Code.REVOKED),
    (board("esp32c3", BLOCK_KEY0=Fuse(0, readable=False), KEY_PURPOSE_0=DIGEST_PURPOSE), Code.UNREADABLE),
    (board("esp32c3", BLOCK_KEY0=number(KEY), KEY_PURPOSE_0=DIGEST_PURPOSE, BLOCK_KEY1=number(KEY),
           KEY_PURPOSE_1=DIGEST_PURPOSE + 1), Code.SLOT),
    (board("esp32c3", **{f"SECURE_BOOT_KEY_REVOKE{slot}": 1 for slot in range(3)}), Code.SLOT),
    (board("esp32c3", **{f"KEY_PURPOSE_{block}": 8 for block in range(BLOCKS)}), Code.SLOT),
    (board("esp32s3", SECURE_BOOT_EN=Fuse(0, writeable=False)), Code.PROTECTED),
    (board("esp32c6", WR_DIS=Fuse(0, writeable=False)), Code.PROTECTED),
    (board("esp32c6", SECURE_VERSION=0b11), Code.ROLLBACK),
], ids=lambda value: value.name if isinstance(value, Code) else value.chip)
def test_efuses_that_speak_against_it(start, code):
    assert code in codes(plan(start, "locked", [KEY], GOOD))


@pytest.mark.parametrize(("chip", "keys", "code"), [
    ("esp32c3", [], Code.KEYS),
    ("esp32c3", [KEY, KEY], Code.KEYS),
    ("esp32", [KEY, SPARE], Code.KEYS),
    ("esp32c3", [KEY, SPARE, OTHER, Key("fourth.pub", RSA, b"4" * 32)], Code.KEYS),
    ("esp32s3", [replace(KEY, scheme=ECDSA)], Code.SCHEME),
])
def test_keys_that_the_chip_cannot_use(chip, keys, code):
    assert codes(plan(board(chip), "signed", keys, GOOD)) == {code}


@pytest.mark.parametrize(("flash", "code"), [
    (Flash(GOOD.parts[1:], True), Code.BOOTLOADER),
    (Flash(GOOD.parts[:1], True), Code.APPLICATION),
    (Flash((replace(GOOD.parts[0], signers=frozenset()), GOOD.parts[1]), True), Code.UNSIGNED),
    (Flash((*GOOD.parts, Part("ota_1", frozenset({OTHER.digest}))), True), Code.UNSIGNED),
    (Flash((*GOOD.parts, Part("ota_1", fault="cut off")), True), Code.UNSIGNED),
    (Flash((replace(GOOD.parts[0], verifies=False), GOOD.parts[1]), True), Code.BOOTLOADER),
    (replace(GOOD, has_files=False), Code.UNFINISHED),
])
@pytest.mark.parametrize("chip", CHIPS)
def test_a_flash_that_would_not_start_or_not_protect(chip, flash, code):
    assert codes(plan(board(chip), "locked", [KEY], flash)) == {code}


def test_a_rotated_board_keeps_its_slots_and_loses_none_of_its_keys():
    start = board("esp32c3", BLOCK_KEY0=number(OTHER), KEY_PURPOSE_0=DIGEST_PURPOSE, SECURE_BOOT_KEY_REVOKE0=1,
                  BLOCK_KEY1=number(KEY), KEY_PURPOSE_1=DIGEST_PURPOSE + 1)
    found = plan(start, "signed", [SPARE, KEY], GOOD)
    assert not found.refusals
    assert [step.command for step in found.steps][:2] == [
        ("burn-key-digest", "BLOCK_KEY1", "{key}", "SECURE_BOOT_DIGEST1"),
        ("burn-key-digest", "BLOCK_KEY2", "{key}", "SECURE_BOOT_DIGEST2")]
    assert not [step for step in found.steps if "REVOKE" in step.name]


def two_keys(chip="esp32c3", **more):
    """A board that was taken to `signed` with two keys."""
    start = board(chip)
    values = {name: fuse.value for name, fuse in after(start, plan(start, "signed", [KEY, SPARE], GOOD).steps).fuses.items()}
    return board(chip, **values | more)


BY_SPARE = Flash(tuple(replace(part, signers=frozenset({SPARE.digest})) for part in GOOD.parts), True)


@pytest.mark.parametrize("chip", NEWER)
def test_a_lost_key_is_revoked_where_another_burned_one_signed_what_runs(chip):
    found = plan(two_keys(chip), "signed", [SPARE], BY_SPARE, [KEY])
    assert not found.refusals
    assert [step.values for step in found.steps if "REVOKE" in step.name] == [{"SECURE_BOOT_KEY_REVOKE0": 1}]
    end = after(two_keys(chip), found.steps)
    assert not [step for step in plan(end, "signed", [SPARE], BY_SPARE, [KEY]).steps if "REVOKE" in step.name]   # a pulled plug
    assert codes(plan(end, "signed", [KEY], GOOD)) == {Code.REVOKED, Code.SLOT}


def test_a_key_is_revoked_after_the_digest_that_takes_its_place_is_burned():
    start = two_keys(SECURE_BOOT_KEY_REVOKE2=0)
    names = [step.name for step in plan(start, "signed", [SPARE, OTHER], BY_SPARE, [KEY]).steps]
    assert names.index("digest-2") < names.index("SECURE_BOOT_KEY_REVOKE0")


@pytest.mark.parametrize(("start", "level", "keys", "lost", "flash", "code"), [
    (board("esp32", BLOCK2=number(KEY), ABS_DONE_1=1), "signed", [SPARE], [KEY], BY_SPARE, Code.REVOKE),
    (two_keys(), "signed", [], [KEY, SPARE], GOOD, Code.LAST),
    (two_keys(SECURE_BOOT_KEY_REVOKE1=1), "signed", [SPARE], [KEY], BY_SPARE, Code.REVOKED),   # it would be the last
    (two_keys(), "signed", [OTHER], [KEY, SPARE], GOOD, Code.SLOT),                 # likewise: no slot is left for another
    (two_keys(), "signed", [SPARE], [KEY], GOOD, Code.UNSIGNED),                    # what runs is signed by the lost one alone
    (two_keys(), "signed", [SPARE], [KEY], Flash((*BY_SPARE.parts, GOOD.parts[1]), True), Code.UNSIGNED),   # in one slot
    (two_keys(), "signed", [KEY, SPARE], [KEY], BY_SPARE, Code.REVOKE),
    (two_keys(), "signed", [KEY, SPARE], [OTHER], BY_SPARE, Code.REVOKE),
    (two_keys(), "none", [SPARE], [KEY], BY_SPARE, Code.REVOKE),
    (two_keys(), "signed", [SPARE], [], BY_SPARE, Code.SLOT),                       # left out by mistake: not revoked unsaid
    (two_keys(ENABLE_SECURITY_DOWNLOAD=1), "guarded", [SPARE], [KEY], BY_SPARE, Code.CLOSED),
    (two_keys(DIS_DOWNLOAD_MODE=1), "locked", [SPARE], [KEY], BY_SPARE, Code.CLOSED),
    (two_keys(SECURE_BOOT_KEY_REVOKE0=Fuse(0, writeable=False)), "signed", [SPARE], [KEY], BY_SPARE, Code.PROTECTED),
])
def test_a_key_is_not_revoked_where_the_board_would_not_start_again_or_nothing_would_be_revoked(
        start, level, keys, lost, flash, code):
    assert code in codes(plan(start, level, keys, flash, lost))


def test_a_digest_burned_without_its_purpose_is_finished_where_it_lies():
    start = board("esp32s3", BLOCK_KEY4=number(KEY))
    assert plan(start, "signed", [KEY], GOOD).steps[0].command == ("burn-key-digest", "BLOCK_KEY4", "{key}", "SECURE_BOOT_DIGEST0")


def test_what_changed_unasked_in_a_rehearsal_is_told():
    start = board("esp32c3")
    steps = plan(start, "signed", [KEY], GOOD).steps
    assert strays(start, after(start, steps), steps) == []
    assert strays(start, after(board("esp32c3", DIS_USB_JTAG=1), steps), steps) == ["DIS_USB_JTAG"]
