"""A folder of the release desk: the chain of roots as files, and the keys beside it.

Decides file names and which of the keys that lie here have to sign. What a root may say is `ota.release.roots`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from host.ecdsa import Signer
from node.wire import root as root_format
from node.wire import signed
from ota.release import keys
from ota.release.keys import PrivateKey, public65
from ota.release.roots import Quorum, key_name, quorums, with_signatures
from ota.release.sign import envelope
from ota.release.verify import ReleaseError, Root, follow


@dataclass(frozen=True)
class Named:
    """A key as it was named on the command line: its public point, and the private one if it is here.

    Attributes:
        fresh: it was made just now; `keep` writes it to its file.
    """

    point: bytes
    signer: Signer | None
    fresh: tuple[Path, PrivateKey] | None = None

    def keep(self) -> None:
        """Write a key that was made just now, once everything else is known to be right."""
        if self.fresh is not None:
            keys.save(*self.fresh, keys.passphrase())


def named(place: Path) -> Named:
    """Open a key: a private one, an HSM's, or a file with somebody else's public one."""
    if keys.is_public(place):
        return Named(keys.load_public(place), None)
    signer = keys.load(place, keys.passphrase())
    return Named(public65(signer), signer)


def made(path: Path) -> Named:
    """Make a key that will lie in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Named(public65(key), key, (path, key))


def root_file(folder: Path, version: int) -> Path:
    """Tell where a root lies: the one that devices are born with is `root.bin`."""
    return folder / ("root.bin" if version == 1 else f"root-{version}.bin")


def chain(folder: Path, until: int | None = None) -> list[bytes]:
    """Read the roots of a folder, version 1 first.

    Args:
        until: stop before this version; None reads all there are.
    """
    found: list[bytes] = []
    while (until is None or len(found) + 1 < until) and root_file(folder, len(found) + 1).exists():
        found.append(root_file(folder, len(found) + 1).read_bytes())
    return found


def newest(folder: Path) -> Root:
    """Follow the folder's chain to the root in force.

    Raises:
        ReleaseError: there is none, or a root in it still lacks signatures.
    """
    trusted: Root | None = None
    for version, raw in enumerate(chain(folder), 1):
        if lacking(raw, trusted):
            raise ReleaseError("signature.threshold", f"{root_file(folder, version)}: not signed by all who must; "
                                                      f"tenfold keys show {folder} tells by whom, `tenfold keys sign` signs")
        trusted = follow([raw], trusted)
    if trusted is None:
        raise ReleaseError("root.missing", f"{root_file(folder, 1)}: no such file; expected the root that devices are born with")
    return trusted


def before(path: Path) -> tuple[bytes, Root | None]:
    """Read a root that may lack signatures, and the one before it, which lies beside it; None for version 1.

    Raises:
        ReleaseError: a root before it is missing or not in order.
    """
    raw = path.read_bytes()
    version = root_format.parse(signed.split(raw, signed.ROOT)[1])["version"]
    if version == 1:
        return raw, None
    found = chain(path.parent, version)
    if len(found) != version - 1:
        lost = root_file(path.parent, len(found) + 1)
        raise ReleaseError("root.missing", f"{lost}: no such file; expected all roots before {path}")
    return raw, follow(found)


def lacking(raw: bytes, trusted: Root | None) -> list[Quorum]:
    """Tell which thresholds of a root are not met yet."""
    return [each for each in quorums(raw, trusted) if each.have < each.need]


def signers(folder: Path, root: Root) -> list[Signer]:
    """Find the private keys of a folder that a root lists as root keys."""
    listed = root_format.role(root, "root")[0]
    secret = keys.passphrase()
    found = [keys.load(path, secret) for path in sorted(folder.glob("*.pem")) if keys.PRIVATE_LABEL in path.read_bytes()]
    return [key for key in found if public65(key) in listed]


def write_root(
    folder: Path, payload: bytes, trusted: Root | None, given: Sequence[Signer], fresh: Sequence[Named],
) -> tuple[Path, bytes]:
    """Sign a root with the keys that are here, and keep it and the keys that were made for it; no file is ever overwritten.

    Raises:
        ReleaseError: "root.key": there is no key here that may sign it.
        KeyFileError: a new key cannot be kept.
    """
    root = root_format.parse(payload)
    if not given:
        wanted = ", ".join(key_name(key) for key in root_format.role(trusted or root, "root")[0])
        raise ReleaseError("root.key", f"{folder}: none of the keys here may sign root {root['version']}; expected one of {wanted}")
    raw = with_signatures(envelope(signed.ROOT, payload, given[:1]), trusted, given)
    for key in fresh:
        key.keep()
    path = root_file(folder, root["version"])
    with path.open("xb") as file:
        file.write(raw)
    return path, raw
