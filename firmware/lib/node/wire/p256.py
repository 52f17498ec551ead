"""ECDSA on P-256 with SHA-256 digests, in plain integers: what a device needs to prove itself and to trust a release.

Keys and signatures only; names, certificates and envelopes are der.py and signed.py. Signatures are deterministic
(RFC 6979). Every scalar multiplication with a secret does one addition and one doubling per bit, yet Python's integers are
not constant-time: sign where nobody can time you, on a device or offline. Numbers: FIPS 186-4, D.1.2.3.
"""

from node.compat import sha256
from node.errors import CallerError

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF   # the field
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551   # order of the base point
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B   # y^2 = x^3 - 3x + B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def keygen(random32: bytes) -> tuple[int, bytes]:
    """Make a key pair.

    Args:
        random32: 32 bytes from a cryptographic source, never used before.

    Returns:
        (private scalar, public point: 0x04 | x | y, 65 bytes).

    Raises:
        CallerError: `p256.random`: not 32 bytes, or outside 1..N-1 (once in 2**32: draw again).
    """
    d = int.from_bytes(random32, "big")
    if len(random32) != 32 or not 0 < d < N:
        raise CallerError("p256.random", "expected 32 random bytes below the group order; draw again")
    return d, public_key(d)


def public_key(d: int) -> bytes:
    """Return the 65-byte public point of a private scalar."""
    x, y = _affine(_ladder(d))
    return b"\x04" + _bytes32(x) + _bytes32(y)


def sign(d: int, digest: bytes) -> bytes:
    """Sign a 32-byte digest.

    Returns:
        r | s, 64 bytes.

    Raises:
        CallerError: `p256.key` or `p256.digest`.
    """
    if not 0 < d < N:
        raise CallerError("p256.key", "private scalar outside 1..N-1")
    if len(digest) != 32:
        raise CallerError("p256.digest", f"{len(digest)} bytes, expected 32")
    e = int.from_bytes(digest, "big") % N
    value = b"\x01" * 32   # V of RFC 6979, 3.2
    key = bytes(32)   # K
    seed = _bytes32(d) + _bytes32(e)
    for mark in (b"\x00", b"\x01"):
        key = _hmac(key, value + mark + seed)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        k = int.from_bytes(value, "big")
        if 0 < k < N:
            r = _affine(_ladder(k))[0] % N
            s = pow(k, N - 2, N) * (e + r * d) % N
            if r and s:
                return _bytes32(r) + _bytes32(s)
        key = _hmac(key, value + b"\x00")
        value = _hmac(key, value)


def verify(pub65: bytes, digest: bytes, sig64: bytes) -> bool:
    """Say whether the signature is the key's over the digest; anything malformed is simply not."""
    if len(digest) != 32 or len(sig64) != 64 or not is_public_key(pub65):
        return False
    r = int.from_bytes(sig64[:32], "big")
    s = int.from_bytes(sig64[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    w = pow(s, N - 2, N)
    u1 = int.from_bytes(digest, "big") * w % N
    u2 = r * w % N
    point = _two_products(u1, u2, int.from_bytes(pub65[1:33], "big"), int.from_bytes(pub65[33:], "big"))
    return bool(point[2]) and _affine(point)[0] % N == r


def is_public_key(pub65: bytes) -> bool:
    """Say whether the bytes are an uncompressed point on the curve (the cofactor is 1, so it is in the group)."""
    if len(pub65) != 65 or pub65[0] != 4:
        return False
    x = int.from_bytes(pub65[1:33], "big")
    y = int.from_bytes(pub65[33:], "big")
    return x < P and y < P and (y * y - (x * x - 3) * x - B) % P == 0


def _bytes32(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _hmac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 with a 32-byte key."""
    block = key + bytes(32)
    inner = sha256(bytes([byte ^ 0x36 for byte in block]) + message)
    return sha256(bytes([byte ^ 0x5C for byte in block]) + inner)


# Points are Jacobian (X, Y, Z): x = X/Z^2, y = Y/Z^3; Z = 0 is the neutral element.


def _double(point: tuple[int, int, int]) -> tuple[int, int, int]:
    """Formula dbl-2001-b of the Explicit-Formulas Database, for a = -3. No point of the group has Y = 0."""
    x, y, z = point
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x3 = (alpha * alpha - 8 * beta) % P
    return x3, (alpha * (4 * beta - x3) - 8 * gamma * gamma) % P, ((y + z) * (y + z) - gamma - delta) % P


def _add(left: tuple[int, int, int], right: tuple[int, int, int]) -> tuple[int, int, int]:
    """Complete addition: the neutral element, equal and opposite points are handled."""
    x1, y1, z1 = left
    x2, y2, z2 = right
    if not z1:
        return right
    if not z2:
        return left
    zz1 = z1 * z1 % P
    zz2 = z2 * z2 % P
    u1 = x1 * zz2 % P
    s1 = y1 * z2 * zz2 % P
    h = (x2 * zz1 - u1) % P
    r = (y2 * z1 * zz1 - s1) % P
    if not h:
        return (1, 1, 0) if r else _double(left)
    hh = h * h % P
    hhh = h * hh % P
    v = u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def _ladder(k: int) -> tuple[int, int, int]:
    """Return k times the base point, with the same operations for every bit."""
    low = (1, 1, 0)
    high = (GX, GY, 1)
    for i in range(255, -1, -1):
        middle = _add(low, high)
        if k >> i & 1:
            low, high = middle, _double(high)
        else:
            low, high = _double(low), middle
    return low


def _two_products(u1: int, u2: int, x: int, y: int) -> tuple[int, int, int]:
    """Return u1 * G + u2 * (x, y) with one chain of doublings (Shamir). Public inputs only."""
    table = ((1, 1, 0), (GX, GY, 1), (x, y, 1), _add((GX, GY, 1), (x, y, 1)))
    point = table[0]
    for i in range(255, -1, -1):
        point = _double(point)
        pick = (u1 >> i & 1) | (u2 >> i & 1) << 1
        if pick:
            point = _add(point, table[pick])
    return point


def _affine(point: tuple[int, int, int]) -> tuple[int, int]:
    inverse = pow(point[2], P - 2, P)
    square = inverse * inverse % P
    return point[0] * square % P, point[1] * square * inverse % P
