"""What several tests of this folder share: golden bytes and test keys. Runs on CPython and MicroPython."""

import binascii
import json

from node.compat import sha256
from node.errors import NodeError
from node.wire import p256, root, signed

HERE = __file__.rsplit("/", 1)[0]
DEVICE = "hall-0242ac110001"
NONCE = "0f" * 16
DIGEST = "00112233445566778899aabbccddeeff" * 2
_keys = {}
_golden = {}


class StillClock:
    """Ticks and the time of day as the app sees them; `now` moves when a test moves it."""

    epoch_ms, quality = 1795237512780, 2

    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now


def golden(name):
    """Return one entry of golden.json; text in hex comes back as bytes when the entry is one."""
    if not _golden:
        with open(HERE + "/../vectors/golden.json") as file:
            _golden.update(json.load(file))
    value = _golden[name]
    try:
        return binascii.unhexlify(value)
    except (TypeError, ValueError):
        return value


def shared_lines(path):
    """Return the lines of a public test vector beside the project, or None when it is not there."""
    try:
        with open(HERE + "/../../../shared/vectors/" + path) as file:
            return file.read().split("\n")
    except OSError:
        return None


def key(name):
    """Return (private, public) made from a name, once: the same key as tests/vectors/make_golden.py makes."""
    if name not in _keys:
        _keys[name] = p256.keygen(sha256(b"tenfold test key " + name.encode()))
    return _keys[name]


def seal(kind, payload, *names):
    """Sign a payload with the named keys."""
    digest = signed.signing_digest(kind, payload)
    return signed.join(kind, [(signed.key_id(key(name)[1]), p256.sign(key(name)[0], digest)) for name in names], payload)


def root_payload(version=1, root_keys=("root-1",), root_threshold=1, release_keys=("release-1",), release_threshold=1, floor=0):
    """Build a root whose roles have the named keys."""
    return root.build(version, {
        "root": ([key(name)[1] for name in root_keys], root_threshold),
        "release": ([key(name)[1] for name in release_keys], release_threshold),
        "direction": ([key("direction")[1]], 1),
    }, floor)


def code_of(case, error, function, *args):
    """Return the code of the error that a call must raise."""
    with case.assertRaises(error) as caught:
        function(*args)
    return caught.exception.code


def fault_of(function, *args):
    """Return the code of the error that a call ends with, or None."""
    try:
        function(*args)
    except NodeError as error:
        return error.code
    return None
