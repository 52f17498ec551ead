"""Secure boot keys and signatures: makes keys, signs a flash image's bootloader and applications, tells who signed what.

Decides where a key may lie (outside every git work tree) and which bytes of a flash are an image. Signing is the work of
`provisioning.line.signer`, checking espsecure's, as a subprocess; the reading of images is esptool's, in
`provisioning.line.esp_image`.
"""

import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line import esp_image, signer
from provisioning.line.efuses import run_tool
from provisioning.line.image import NOTHING, SECTOR_BYTES, TABLE_OFFSET, ImageError, read_table, read_vfs
from provisioning.line.signer import scheme
from provisioning.rules.fuses import CHIPS, ECDSA, NEWER, RSA, Flash, Key, Part

TRACE = b"secure_boot_v2"   # log tag of ESP-IDF's code that checks applications; a bootloader built without it has none
BOOTLOADER = "bootloader"
BOOT_FILE = "/boot.py"      # what every image of ours has in its file system
DESCRIPTOR = struct.Struct("<II")   # esp_app_desc_t's magic and secure_version, behind the headers of file and first segment
DESCRIPTOR_AT = 32


def make_keys(folder: Path, kind: str, number: int) -> list[Path]:
    """Make signing keys: key-1.pem, mode 0600, and key-1.pub for the line, and so on. No file is ever overwritten.

    Raises:
        ProvisioningError: "secure.keys": the number; "secure.place": the folder lies in a git work tree; "secure.tool".
    """
    if kind not in (RSA, ECDSA):
        raise ProvisioningError("secure.scheme", f"got scheme {kind!r}, expected {RSA} or {ECDSA}")
    if not 1 <= number <= NEWER.slots:
        raise ProvisioningError("secure.keys", f"got {number} keys, expected 1 to {NEWER.slots}")
    want_outside(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    for index in range(1, number + 1):
        private, public = folder / f"key-{index}.pem", folder / f"key-{index}.pub"
        if private.exists() or public.exists():
            raise ProvisioningError("secure.place", f"{private}: there is one already; name another folder")
        run_tool("espsecure", "generate-signing-key", "--version", "2", "--scheme", kind, str(private), name=str(private))
        run_tool("espsecure", "extract-public-key", "--version", "2", "--keyfile", str(private), str(public), name=str(private))
        made.append(private)
    return made


def want_outside(folder: Path) -> None:
    """Refuse a folder that git could commit from, also one that does not exist yet.

    Raises:
        ProvisioningError: "secure.place".
    """
    place = folder.resolve()
    for each in (place, *place.parents):
        if (each / ".git").exists():
            raise ProvisioningError("secure.place", f"{folder}: got a folder in the git work tree {each}, expected one outside: a "
                                                    "key that was committed once is everybody's")


def read_key(path: Path) -> Key:
    """The public half of a signing key, as the line has it.

    Raises:
        ProvisioningError: "secure.key": no such file, a private key, or not one that secure boot knows; "secure.tool".
    """
    raw = path.read_bytes() if path.is_file() else b""
    if b"PRIVATE KEY" in raw:
        raise ProvisioningError("secure.key", f"{path}: got a private key, expected its public half: no private key is needed "
                                              "at the board (tenfold secure keys makes both)")
    kind = scheme(raw, str(path))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "digest"
        run_tool("espsecure", "digest-sbv2-public-key", "--keyfile", str(path), "--output", str(out), name=str(path))
        return Key(str(path), kind, out.read_bytes())


def look(flash: bytes, chip: str, keys: Sequence[Key]) -> Flash:
    """Tell what a flash holds, and which of the keys signed it.

    Raises:
        ImageError: there is no partition table. ImageError too: an unknown chip.
    """
    parts = tuple(_part(name, raw, keys) for name, _, raw in _places(flash, chip))
    try:
        has_files = BOOT_FILE in read_vfs(flash)
    except ImageError:
        has_files = False
    return Flash(parts, has_files)


def sign(flash: bytes, chip: str, private: Path) -> tuple[bytes, list[str]]:
    """A flash image whose bootloader and applications are signed, and their names. Signatures that were there are replaced.

    Args:
        private: of a PEM file, or a `pkcs11:` URI.

    Raises:
        ImageError: a part is damaged, or there is no table. ProvisioningError: "secure.scheme": the chip cannot check such a key;
            "secure.room"; "secure.key"; "secure.tool". KeyFileError: an HSM's key is not in order.
    """
    places = list(_places(flash, chip))
    images = [esp_image.trimmed(raw, name) for name, _, raw in places]
    kind = scheme(signer.public(private), str(private))
    if kind not in CHIPS[chip].schemes:
        raise ProvisioningError("secure.scheme", f"{private}: got {kind}, expected {' or '.join(CHIPS[chip].schemes)} for {chip}")
    signed, names = bytearray(flash), []
    for (name, offset, raw), content in zip(places, signer.sign(images, private), strict=True):
        if len(content) > len(raw):
            raise ProvisioningError("secure.room", f"{name}: got {len(content)} bytes when signed, expected at most {len(raw)}")
        signed[offset:offset + len(content)] = content
        names.append(name)
    return bytes(signed), names


def _places(flash: bytes, chip: str) -> Iterator[tuple[str, int, bytes]]:
    """Bootloader and application slots that are not erased: name, offset, and all the room that each has."""
    start = esp_image.bootloader_offset(chip)
    slots = [(one.label, one.offset, one.end) for one in read_table(flash) if one.type == "app"]
    for name, offset, end in [(BOOTLOADER, start, TABLE_OFFSET), *slots]:
        if flash[offset:offset + SECTOR_BYTES].strip(NOTHING):
            yield name, offset, flash[offset:end]


def _part(name: str, raw: bytes, keys: Sequence[Key]) -> Part:
    is_boot = name == BOOTLOADER
    try:
        image = esp_image.trimmed(raw, name)
    except ImageError as error:
        return Part(name, fault=str(error), verifies=False if is_boot else None)
    signed = raw[:-(-len(image) // SECTOR_BYTES) * SECTOR_BYTES + SECTOR_BYTES]   # whole sectors, and one with the signatures
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(signed)
        signers = frozenset(key.digest for key in keys if _is_signed(path, key))
    magic, version = DESCRIPTOR.unpack_from(image.ljust(DESCRIPTOR_AT + DESCRIPTOR.size), DESCRIPTOR_AT)
    is_told = magic == esp_image.APP_DESCRIPTOR_MAGIC
    return Part(name, signers, verifies=TRACE in image if is_boot else None, secure_version=version if is_told else 0)


def _is_signed(path: Path, key: Key) -> bool:
    """Whether a signature of the key is among those of a file. A check that cannot be made counts as none."""
    try:
        run_tool("espsecure", "verify-signature", "--version", "2", "--keyfile", key.path, str(path), name=key.path)
    except ProvisioningError:
        return False
    return True
