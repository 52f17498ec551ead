"""The few DER structures that a device writes and reads: its key, its certificate request, what enrolment answers.

Writes PKCS#10 (RFC 2986) and SEC1 (RFC 5915); reads SEC1, certs-only PKCS#7 (RFC 5652, 5.1) and two fields of a certificate.
Validates no chain: TLS does. Every length is checked against its container; a definite length of at most 65,535 is accepted, in its
shortest form, and nothing behind a structure.
"""

from node.compat import const, sha256
from node.errors import CallerError, FormatError
from node.wire import p256
from node.wire.fields import DIGITS, only

MAX_BYTES = const(16384)   # largest input that is looked at
MAX_CERTS = const(8)   # in one PKCS#7 answer; a chain has two or three
MAX_CN = const(64)   # ub-common-name of RFC 5280
_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_OID = const(0x06)
_UTF8 = const(0x0C)
_UTC_TIME = const(0x17)
_GENERAL_TIME = const(0x18)
_SEQUENCE = const(0x30)
_SET = const(0x31)
_TAG0 = const(0xA0)
_TAG1 = const(0xA1)
_OID_CN = b"\x06\x03\x55\x04\x03"
_OID_P256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
_OID_EC_KEY = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
_OID_ECDSA_SHA256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
_OID_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one element with the parts joined as its content."""
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        head = bytes((tag, n))
    elif n < 0x100:
        head = bytes((tag, 0x81, n))
    else:
        head = bytes((tag, 0x82, n >> 8, n & 0xFF))
    return head + body


def read_tlv(buf: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Read the element that starts at `at` and must end by `end`.

    Returns:
        (tag, start of its content, end of its content).

    Raises:
        FormatError: `der.length`.
    """
    if at + 2 <= end:
        n = buf[at + 1]
        start = at + 2
        if n == 0x81 and start < end and buf[start] >= 0x80:
            n = buf[start]
            start += 1
        elif n == 0x82 and start + 1 < end and buf[start]:
            n = buf[start] << 8 | buf[start + 1]
            start += 2
        elif n >= 0x80:
            n = MAX_BYTES
        if start + n <= end:
            return buf[at], start, start + n
    raise FormatError("der.length", f"element at byte {at} exceeds {end}")


def csr(d: int, pub65: bytes, cn: str) -> bytes:
    """Return a PKCS#10 certificate request for the subject CN=<cn>, signed with the key (proof of possession).

    Raises:
        CallerError: `der.cn`.
    """
    if not 0 < len(cn) <= MAX_CN:
        raise CallerError("der.cn", f"{len(cn)} characters, expected 1..{MAX_CN}")
    name = tlv(_SEQUENCE, tlv(_SET, tlv(_SEQUENCE, _OID_CN, tlv(_UTF8, cn.encode()))))
    public = tlv(_SEQUENCE, tlv(_SEQUENCE, _OID_EC_KEY, _OID_P256), tlv(_BIT_STRING, b"\x00", pub65))
    info = tlv(_SEQUENCE, b"\x02\x01\x00", name, public, b"\xa0\x00")
    sig = p256.sign(d, sha256(info))
    return tlv(_SEQUENCE, info, tlv(_SEQUENCE, _OID_ECDSA_SHA256),
               tlv(_BIT_STRING, b"\x00", tlv(_SEQUENCE, _integer(sig[:32]), _integer(sig[32:]))))


def sec1(d: int, pub65: bytes) -> bytes:
    """Return the private key as SEC1 DER, the form that TLS loads on MicroPython."""
    return tlv(_SEQUENCE, b"\x02\x01\x01", tlv(_OCTET_STRING, d.to_bytes(32, "big")), tlv(_TAG0, _OID_P256),
               tlv(_TAG1, tlv(_BIT_STRING, b"\x00", pub65)))


def parse_sec1(raw: bytes) -> tuple[int, bytes]:
    """Return (private scalar, public point) of a SEC1 key.

    Raises:
        FormatError: `der.length`, `der.tag`, `der.trailing` or `der.key`: not P-256, or the two halves do not belong together.
    """
    at, end = _whole(raw)
    version = at
    at = _skip(raw, at, end, _INTEGER)
    start, stop = _enter(raw, at, end, _OCTET_STRING)
    d = int.from_bytes(raw[start:stop], "big")
    at, inner = _enter(raw, stop, end, _TAG0)
    curve = bytes(raw[at:inner])
    at, inner = _enter(raw, inner, end, _TAG1)
    _ends(inner, end)
    pub65, at = _bits(raw, at, inner)
    _ends(at, inner)
    if (raw[version:version + 3] != b"\x02\x01\x01" or stop - start != 32 or curve != _OID_P256
            or not 0 < d < p256.N or p256.public_key(d) != pub65):
        raise FormatError("der.key", "not a P-256 key pair")
    return d, pub65


def certs_only(raw: bytes) -> list[bytes]:
    """Return the certificates, as DER, of a PKCS#7 certs-only message.

    Raises:
        FormatError: `der.length`, `der.tag`, `der.trailing`, or `der.pkcs7`: another message, no certificate or too many.
    """
    at, end = _whole(raw)
    if bytes(raw[at:at + len(_OID_SIGNED_DATA)]) != _OID_SIGNED_DATA:
        raise FormatError("der.pkcs7", "not SignedData")
    at, end = _enter(raw, at + len(_OID_SIGNED_DATA), end, _TAG0)
    at, end = _enter(raw, at, end, _SEQUENCE)
    at = _skip(raw, at, end, _INTEGER)
    at = _skip(raw, at, end, _SET)
    at = _skip(raw, at, end, _SEQUENCE)
    at, end = _enter(raw, at, end, _TAG0)
    certs = []
    while at < end:
        stop = _skip(raw, at, end, _SEQUENCE)
        certs.append(bytes(raw[at:stop]))
        at = stop
        if len(certs) > MAX_CERTS:
            raise FormatError("der.pkcs7", f"more than {MAX_CERTS} certificates")
    if not certs:
        raise FormatError("der.pkcs7", "no certificate")
    return certs


def cert_validity(raw: bytes) -> tuple[int, int]:
    """Return (not before, not after) of a certificate in Unix seconds.

    Raises:
        FormatError: `der.length`, `der.tag`, `der.trailing` or `der.time`.
    """
    at, end = _validity(raw)
    start = _enter_time(raw, at, end)
    return start[0], _enter_time(raw, start[1], end)[0]


def cert_public_key(raw: bytes) -> bytes:
    """Return the 65-byte P-256 point that a certificate certifies.

    Raises:
        FormatError: `der.length`, `der.tag`, `der.trailing` or `der.key`.
    """
    _, at = _validity(raw)
    at = _skip(raw, at, len(raw), _SEQUENCE)   # subject
    at, end = _enter(raw, at, len(raw), _SEQUENCE)
    at = _skip(raw, at, end, _SEQUENCE)   # algorithm; the point's own check below is stricter
    pub65, at = _bits(raw, at, end)
    _ends(at, end)
    if not p256.is_public_key(pub65):
        raise FormatError("der.key", "not a P-256 key")
    return pub65


def _whole(raw: bytes) -> tuple[int, int]:
    """Return (start, end) of the content of the one SEQUENCE that the bytes are."""
    if len(raw) > MAX_BYTES:
        raise FormatError("der.length", f"{len(raw)} bytes, at most {MAX_BYTES}")
    start, end = _enter(raw, 0, len(raw), _SEQUENCE)
    _ends(end, len(raw))
    return start, end


def _ends(at: int, end: int) -> None:
    if at != end:
        raise FormatError("der.trailing", f"{end - at} bytes behind byte {at}")


def _bits(raw: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Return (whole bytes of a BIT STRING, its end)."""
    start, stop = _enter(raw, at, end, _BIT_STRING)
    if raw[start:start + 1] != b"\0":
        raise FormatError("der.key", "a point has no unused bits")
    return bytes(raw[start + 1:stop]), stop


def _enter(raw: bytes, at: int, end: int, want: int) -> tuple[int, int]:
    """Return (start, end) of the content of an element that must have this tag."""
    tag, start, stop = read_tlv(raw, at, end)
    if tag != want:
        raise FormatError("der.tag", f"got 0x{tag:02x} at byte {at}, expected 0x{want:02x}")
    return start, stop


def _skip(raw: bytes, at: int, end: int, want: int) -> int:
    return _enter(raw, at, end, want)[1]


def _validity(raw: bytes) -> tuple[int, int]:
    """Return (start, end) of the content of the validity field of a certificate."""
    at, end = _enter(raw, *_whole(raw), _SEQUENCE)   # what is signed
    if raw[at:at + 1] == b"\xa0":
        at = _skip(raw, at, end, _TAG0)   # version
    at = _skip(raw, at, end, _INTEGER)   # serial number
    at = _skip(raw, at, end, _SEQUENCE)   # signature algorithm
    at = _skip(raw, at, end, _SEQUENCE)   # issuer
    return _enter(raw, at, end, _SEQUENCE)


def _enter_time(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Return (Unix seconds, end) of a UTCTime or GeneralizedTime in the form that RFC 5280 (4.1.2.5) demands."""
    tag, start, stop = read_tlv(raw, at, end)
    text = "".join([chr(byte) for byte in raw[start:stop]])
    if tag == _UTC_TIME and len(text) == 13:
        text = ("20" if text[:2] < "50" else "19") + text
    elif tag != _GENERAL_TIME:
        text = ""
    if len(text) != 15 or text[14] != "Z" or not only(text[:14], DIGITS):
        raise FormatError("der.time", f"got {text!r}")
    year = int(text[:4])
    month, day, hour, minute, second = [int(text[i:i + 2]) for i in range(4, 14, 2)]
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        raise FormatError("der.time", f"got {text!r}")
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second, stop


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the Gregorian calendar; years counted from March, so that a leap day is the last."""
    if month < 3:
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719468


def _integer(raw: bytes) -> bytes:
    """Return an unsigned big-endian number as the shortest DER INTEGER."""
    at = 0
    while at < len(raw) - 1 and not raw[at]:
        at += 1
    return tlv(_INTEGER, b"\x00" if raw[at] & 0x80 else b"", raw[at:])
