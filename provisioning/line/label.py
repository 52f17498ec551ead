"""A device's label: its id as text and as a QR code, as a picture (PNG) and for a label printer (ZPL II).

Decides how it is laid out. Nothing on it is secret: the id is printed on the case and is in every name of the device. Sends nothing
to a printer: the files are for whatever prints on the line (`lp -o raw LABEL.zpl`).
"""

import io

import segno
from PIL import Image, ImageDraw, ImageFont

from node.wire.identity import is_device_id
from provisioning.errors import ProvisioningError

DOTS_PER_MM = 8            # 203 dpi, what most label printers have
WIDTH, HEIGHT = 50 * DOTS_PER_MM, 25 * DOTS_PER_MM   # millimetres
MODULE = 6                 # dots of one square of the code: 0.75 mm, read by any telephone
MARGIN = 8                 # dots around everything; the code's own white border is 4 modules
FONT = 18                  # dots high
LEVEL = "M"                # 15 % of the code may be scratched


def png(device: str) -> bytes:
    """The label as a black and white picture, 203 dpi.

    Raises:
        ProvisioningError: "label.device".
    """
    _want(device)
    code = segno.make_qr(device, error=LEVEL.lower())
    picture = Image.new("1", (WIDTH, HEIGHT), 1)
    raw = io.BytesIO()
    code.save(raw, kind="png", scale=MODULE, border=4)
    with Image.open(raw) as square:
        side = square.height
        picture.paste(square.convert("1"), (0, (HEIGHT - side) // 2))
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"
    font = ImageFont.load_default(FONT)
    for number, line in enumerate(_lines(device)):
        draw.text((side, HEIGHT // 3 + number * (FONT + MARGIN)), line, fill=0, font=font)
    out = io.BytesIO()
    picture.save(out, "PNG", dpi=(203, 203))
    return out.getvalue()


def zpl(device: str) -> str:
    """The label in ZPL II, for a printer of 203 dpi; UTF-8, one label.

    Raises:
        ProvisioningError: "label.device".
    """
    _want(device)
    side = segno.make_qr(device, error=LEVEL.lower()).symbol_size(MODULE, border=4)[0]
    fields = [f"^FO{4 * MODULE},{(HEIGHT - side) // 2 + 4 * MODULE}^BQN,2,{MODULE},{LEVEL}^FD{LEVEL}A,{device}^FS"]
    for number, line in enumerate(_lines(device)):
        fields.append(f"^FO{side},{HEIGHT // 3 + number * (FONT + MARGIN)}^A0N,{FONT},{FONT}^FD{line}^FS")
    return "\n".join(["^XA", "^CI28", f"^PW{WIDTH}", f"^LL{HEIGHT}", *fields, "^PQ1", "^XZ"]) + "\n"


def _lines(device: str) -> list[str]:
    """The id in lines that fit: product, and the MAC address in two halves of three bytes."""
    product, _, mac = device.rpartition("-")
    return [f"{product}-", mac[:6], mac[6:]]


def _want(device: str) -> None:
    """A device id and nothing else: ZPL's commands begin with ^ and ~, which an id cannot have."""
    if not is_device_id(device):
        raise ProvisioningError("label.device", f"got {device!r}, expected a device id")
