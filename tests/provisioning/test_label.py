"""Labels: what is scanned is the device's id, and the same bytes come out each time."""

import io
import re

import pytest
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

from provisioning.errors import ProvisioningError
from provisioning.line import label

DEVICE = "hall-0242ac130001"
GOLDEN = """^XA
^CI28
^PW400
^LL200
^FO24,25^BQN,2,6,M^FDMA,hall-0242ac130001^FS
^FO198,66^A0N,18,18^FDhall-^FS
^FO198,92^A0N,18,18^FD0242ac^FS
^FO198,118^A0N,18,18^FD130001^FS
^PQ1
^XZ
"""


@pytest.mark.parametrize("device", [DEVICE, "a-000000000000", "abcdefghijklmnop-ffffffffffff"])
def test_the_code_is_read_as_the_id_and_everything_fits(device):
    with Image.open(io.BytesIO(label.png(device))) as picture:
        assert picture.size == (400, 200)
        assert [found.text for found in zxingcpp.read_barcodes(picture.convert("L"))] == [device]
        border = [picture.getpixel((x, y)) for x in (0, 399) for y in range(200)]
        assert all(border)   # white: nothing is cut off
    draw = ImageDraw.Draw(Image.new("1", (1, 1)))
    at = int(re.findall(r"\^FO(\d+)", label.zpl(device))[1])
    assert at + draw.textlength(device.split("-")[0] + "-", ImageFont.load_default(label.FONT)) < 400


def test_the_printers_words_are_these():
    assert label.zpl(DEVICE) == GOLDEN
    assert label.png(DEVICE) == label.png(DEVICE)


@pytest.mark.parametrize("device", ["", "svc.ota", "hall-0242ac13000", "hall^XZ-0242ac130001", "hall-0242ac130001\n^XA"])
def test_what_is_no_id_is_not_printed(device):
    for make in (label.png, label.zpl):
        with pytest.raises(ProvisioningError, match=r"label\.device"):
            make(device)
