"""Roots and releases for tests, signed with real keys, on CPython and on MicroPython."""

import json

from node.compat import hexstr, sha256
from node.wire import bundle, manifest, p256, root, signed
from tests.sim.boot_stub import stub

MODEL = "hall"
MPY = 6


class Key:
    """A key pair from a small number."""

    def __init__(self, number):
        self.d, self.pub = p256.keygen(bytes([number]) * 32)


def sign(kind, payload, *keys):
    digest = signed.signing_digest(kind, payload)
    return signed.join(kind, [(signed.key_id(key.pub), p256.sign(key.d, digest)) for key in keys], payload)


ROOT, RELEASE, ONLINE, OTHER = Key(1), Key(2), Key(3), Key(4)
_ROOTS = {}   # signing takes 5 ms: equal roots are signed once


def root_envelope(version=1, online=ONLINE, release=RELEASE, own=ROOT, before=None, min_counter=0):
    """A root envelope signed by its own root key and by the one before it."""
    name = (version, online, release, own, before, min_counter)
    if name not in _ROOTS:
        roles = {"root": ([own.pub], 1), "release": ([release.pub], 1), "direction": ([online.pub], 1)}
        keys = [own] if before is None or before is own else [before, own]
        _ROOTS[name] = sign(signed.ROOT, root.build(version, roles, min_counter), *keys)
    return _ROOTS[name]


class Release:
    """A signed release of these files, {path: bytes}, and of an image for the chip.

    Args:
        deltas: {"artifact" or "image": [(what it starts from, delta)]}.
    """

    def __init__(self, counter, files, key=RELEASE, span=None, model=MODEL, mpy=MPY, image=None, deltas=None):
        self.counter = counter
        self.files = files
        self.artifact = bundle.build(files)
        self.artifact_sha = hexstr(sha256(self.artifact))
        self.image = image
        self.image_sha = hexstr(sha256(image)) if image else None
        self.deltas = [delta for part in (deltas or {}).values() for _, delta in part]
        ways = {part: [(hexstr(sha256(base)), len(base), hexstr(sha256(delta)), len(delta)) for base, delta in found]
                for part, found in (deltas or {}).items() if found}
        payload = manifest.build(f"1.{counter}.0", counter, [model], span or (0, counter - 1), False, mpy,
                                 (self.artifact_sha, len(self.artifact)), (self.image_sha, len(image)) if image else None, ways)
        self.envelope = sign(signed.MANIFEST, payload, key)
        self.sha = hexstr(sha256(self.envelope))

    def marker(self):
        """What the device writes as release.json."""
        return {"release": f"1.{self.counter}.0", "counter": self.counter, "manifest": self.sha, "model": MODEL, "mpy": MPY}

    def install(self, files, slot):
        """Write it into a slot, as the line does for the factory's."""
        files.write_atomic(stub.DIRS[slot] + "/bundle", self.artifact)
        files.write_atomic(stub.DIRS[slot] + "/release.json", json.dumps(self.marker()).encode())
