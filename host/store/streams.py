"""A stream of bytes as fewer bytes: stored, DEFLATE, or LZMA's range coder, whichever is the smallest.

Decides how one stream is written and nothing about what its bytes mean. A range coder spends fractions of a bit where a Huffman
code spends whole ones. LZMA is told how long its answer is, so its end marker is cut off, and its first byte, which is always zero:
that is eight bytes of a stream, and a column has some.
"""

import lzma
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

STORED, DEFLATED, ENDED = 0, 1, 2   # ENDED: LZMA with its end marker, as it was written before CUT; only read
CUT = 3                             # and more by the context bits: 3 to 7
CONTEXTS = (0, 3, 4)                # high bits of the byte before that a byte is guessed from (LZMA's lc)
USUAL = (3,)                        # tried alone where several codings are compared
RANGED_LEAST = 16                   # bytes below which LZMA never is the smallest
CUTTABLE = 12                       # bytes at the end of LZMA's answer that may say no more than that it ends
_PAD = bytes(2 * CUTTABLE)          # in their place: the decoder reads ahead


class StreamError(Exception):
    """A stream is damaged; the message says how."""


def smallest(raw: bytes, contexts: Sequence[int] = CONTEXTS) -> tuple[int, bytes]:
    """The form that takes the fewest bytes, and those."""
    form, data = min(_forms(raw, contexts), key=lambda one: len(one[1]))
    return (form, _cut(form, data, raw)) if form >= CUT else (form, data)


def whole(form: int, data: bytes, size: int) -> bytes:
    """The bytes that `smallest` was given, which were `size` many.

    Raises:
        StreamError: they are not, or cannot be read.
    """
    try:
        if form == STORED:
            raw = data
        elif form == DEFLATED:
            raw = zlib.decompressobj(-15).decompress(data, size + 1)
        elif form == ENDED:
            raw = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(3)).decompress(data, size + 1)
        elif CUT <= form <= CUT + 4:
            raw = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(form - CUT)).decompress(b"\0" + data + _PAD, size)
        else:
            raise StreamError(f"a stream written as {form}")
    except (lzma.LZMAError, zlib.error) as error:
        raise StreamError(str(error)) from None
    if len(raw) != size:
        raise StreamError(f"a stream of {len(raw)} bytes where {size} are told")
    return raw


def _forms(raw: bytes, contexts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    yield STORED, raw
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    yield DEFLATED, deflate.compress(raw) + deflate.flush()
    if len(raw) >= RANGED_LEAST:
        for bits in contexts:
            yield CUT + bits, lzma.compress(raw, lzma.FORMAT_RAW, filters=_filters(bits))[1:]


def _cut(form: int, data: bytes, raw: bytes) -> bytes:
    """As much of the end gone as can be: tried, since what the last bytes still say depends on them."""
    for left in range(max(0, len(data) - CUTTABLE), len(data)):
        try:
            if whole(form, data[:left], len(raw)) == raw:
                return data[:left]
        except StreamError:
            continue
    return data


def _filters(bits: int) -> list[dict[str, Any]]:
    return [{"id": lzma.FILTER_LZMA1, "lc": bits, "lp": 0, "pb": 0, "dict_size": 1 << 16, "preset": 6}]
