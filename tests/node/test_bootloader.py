"""The simulated bootloader does what ESP-IDF's does with rollback switched on: each state of an image, each way into and out of it.

States and transitions as in "App rollback" of ESP-IDF's "Over The Air Updates" (5.2 and later); the device's update relies on them
in test_images.py and test_image_download.py.
"""

import unittest

from host.sim.flash import TEARS, PowerCut
from tests.sim.partitions import ABORTED, ERASED, INVALID, LABELS, NEW, PENDING_VERIFY, UNDEFINED, VALID, Chip, make_image

APP_SECTORS = 4
OLD, OTHER = make_image(9000, 1), make_image(10000, 2)


def board():
    """As it leaves the line: one image, otadata erased."""
    chip = Chip(APP_SECTORS)
    chip.flash_image(0, OLD)
    return chip


def updated():
    """An image in the other partition, chosen, not booted."""
    chip = board()
    chip.boot()
    chip.flash_image(1, OTHER)
    chip.set_boot(1)
    return chip


class TestTransitions(unittest.TestCase):
    def states(self, chip):
        return [state for number, state, _ in chip.entries() if number != ERASED]

    def test_erased_otadata_boots_the_first_image_which_counts_as_valid(self):
        chip = board()
        self.assertEqual((chip.boot(), chip.state(), chip.images().pending()), ("ota_0", VALID, False))
        self.assertEqual((chip.boot(), chip.state()), ("ota_0", VALID))

    def test_chosen_image_is_new_until_its_first_boot_and_then_pending(self):
        chip = updated()
        self.assertEqual((self.states(chip), chip.running), ([VALID, NEW], 0))
        self.assertEqual((chip.boot(), chip.state(), chip.images().pending()), ("ota_1", PENDING_VERIFY, True))

    def test_any_reset_of_a_pending_image_aborts_it_and_the_old_one_runs(self):
        chip = updated()
        chip.boot()
        self.assertEqual((chip.boot(), self.states(chip), chip.images().pending()), ("ota_0", [VALID, ABORTED], False))
        self.assertEqual(chip.boot(), "ota_0")   # an aborted image is not tried again by itself

    def test_confirmed_image_is_valid_for_good(self):
        chip = updated()
        chip.boot()
        chip.images().confirm()
        self.assertEqual((chip.state(), chip.images().pending()), (VALID, False))
        for _ in range(3):
            self.assertEqual((chip.boot(), chip.state()), ("ota_1", VALID))

    def test_aborted_image_can_be_chosen_again(self):
        chip = updated()
        chip.boot()
        chip.boot()
        chip.set_boot(1)
        self.assertEqual((chip.boot(), chip.state()), ("ota_1", PENDING_VERIFY))

    def test_old_image_can_be_chosen_from_a_confirmed_one_and_is_on_trial_as_any(self):
        chip = updated()
        chip.boot()
        chip.images().confirm()
        chip.set_boot(0)
        self.assertEqual((chip.boot(), chip.state()), ("ota_0", PENDING_VERIFY))
        self.assertEqual((chip.boot(), chip.state()), ("ota_1", VALID))

    def test_choosing_what_is_no_whole_image_changes_nothing(self):
        chip = board()
        chip.boot()
        before = chip.entries()
        for raw in (b"\xff" * len(OTHER), OTHER[:-1] + bytes([OTHER[-1] ^ 1]), b"\0" + OTHER[1:]):
            chip.flash_image(1, raw)
            with self.assertRaises(OSError) as caught:
                chip.images().set_boot()
            self.assertEqual(caught.exception.args[0], -0x1503)   # ESP_ERR_OTA_VALIDATE_FAILED, -5379
            self.assertEqual(chip.entries(), before)

    def test_image_that_rots_after_it_was_chosen_gives_way_to_the_old_one(self):
        chip = updated()
        chip.flash_image(1, b"\0" * 5000)
        self.assertEqual(chip.boot(), "ota_0")
        self.assertFalse(chip.images().pending())   # of the other image, which never ran
        self.assertEqual(chip.boot(), "ota_0")

    def test_old_image_that_rots_leaves_the_aborted_one_as_the_last_hope(self):
        chip = updated()
        chip.boot()
        chip.flash_image(0, b"\0" * 5000)
        self.assertEqual(chip.boot(), "ota_1")

    def test_confirming_without_any_entry_fails_as_on_a_bootloader_that_wrote_none(self):
        chip = board()
        chip.running = 0
        with self.assertRaises(OSError):
            chip.images().confirm()

    def test_states_of_other_bootloaders_pend_nothing(self):
        for state in (NEW, VALID, INVALID, ABORTED, UNDEFINED):   # NEW and UNDEFINED: one without rollback leaves them
            chip = updated()
            chip.boot()
            chip.write_entry(1, 2, state)
            self.assertEqual((state, chip.images().pending()), (state, False))

    def test_invalid_image_is_passed_over(self):
        chip = updated()
        chip.write_entry(1, 2, INVALID)
        self.assertEqual(chip.boot(), "ota_0")

    def test_entry_whose_checksum_does_not_hold_is_none(self):
        chip = updated()
        chip.write_entry(1, 2, NEW, 0x1234)
        self.assertEqual(chip.boot(), "ota_0")

    def test_sequence_numbers_name_the_partition_and_rise_with_every_choice(self):
        chip = updated()
        numbers = []
        for index in (0, 1, 0, 1):
            chip.boot()
            chip.images().confirm()
            numbers.append(max(number for number, _, _ in chip.entries() if number != ERASED))
            self.assertEqual(LABELS[(numbers[-1] - 1) % 2], LABELS[chip.running])
            chip.flash_image(index, OLD)
            chip.set_boot(index)
        self.assertEqual(numbers, [2, 3, 4, 5])

    def test_power_cut_in_any_write_of_otadata_leaves_a_bootable_chip(self):
        for act in ("choose", "boot", "confirm", "abort"):
            for op in (1, 2):
                for tear in TEARS:
                    chip = updated() if act != "choose" else board()
                    if act == "choose":
                        chip.boot()
                        chip.flash_image(1, OTHER)
                    elif act != "boot":
                        chip.boot()
                    call = {"choose": lambda chip=chip: chip.set_boot(1), "confirm": chip.mark_valid}.get(act, chip.boot)
                    chip.flash.cut_power_at(op, tear)
                    try:  # noqa: SIM105   (no contextlib on MicroPython)
                        call()
                    except PowerCut:
                        pass
                    chip.flash = chip.flash.power_on()
                    self.assertIn(chip.boot(), LABELS)
                    self.assertFalse(chip.images().pending() and chip.state() != PENDING_VERIFY)


if __name__ == "__main__":
    unittest.main()
