"""Secure boot of a board at a serial port, here a simulated one: the real espefuse and esptool read it and burn nothing unasked."""

from pathlib import Path

import pytest

from provisioning.errors import ProvisioningError
from provisioning.line import burning, signing
from provisioning.line.efuses import Efuses, read_flash
from provisioning.rules.fuses import RSA, held
from provisioning.rules.secure import plan
from tests.provisioning.flash_boards import boards
from tests.provisioning.secure_boards import flash_image


@pytest.mark.slow
def test_a_board_at_a_port_is_read_planned_and_rehearsed_and_one_whose_efuses_do_not_take_is_told(tmp_path: Path) -> None:
    private = signing.make_keys(tmp_path / "keys", RSA, 1)[0]
    keys = [signing.read_key(private.with_suffix(".pub"))]
    with boards(tmp_path, "esp32c3") as (board,):
        board.load(signing.sign(flash_image("esp32c3"), "esp32c3", private)[0])
        efuses = Efuses.at(str(board.port))
        before = efuses.read()
        assert (before.mac, before.chip, held(before)) == (board.mac, "esp32c3", "none")
        raw = read_flash(str(board.port))
        assert raw == board.flash()
        found = plan(before, "signed", keys, signing.look(raw, before.chip, keys))
        assert not found.refusals
        assert held(burning.rehearse(efuses, before, found)) == "signed"
        with pytest.raises(ProvisioningError, match=r"^secure\.(tool|readback): "):   # the simulated chip's eFuses can be read only
            burning.burn(efuses, before, found, print)
        assert efuses.read() == before
