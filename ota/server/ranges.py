"""HTTP byte ranges (RFC 9110, section 14) for artifacts: one range, or the whole.

A server that ignores Range makes a resuming device append a whole image to half of one; so this is strict about what it
answers and has its own tests.
"""


class UnsatisfiableError(Exception):
    """The range lies outside of the object: 416."""


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a Range header.

    Args:
        size: of the object, in bytes, at least 1.

    Returns:
        (first, last) byte, both inclusive; None for the whole object: no header, another unit, several ranges or a malformed
        one, all of which RFC 9110 lets a server ignore.

    Raises:
        UnsatisfiableError: well-formed, but outside of the object.
    """
    unit, _, spec = (header or "").partition("=")
    first_text, dash, last_text = spec.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or "," in spec or not _digits(first_text) or not _digits(last_text):
        return None
    if not first_text:
        if not last_text:
            return None
        length = int(last_text)   # the last so many bytes
        if length == 0:
            raise UnsatisfiableError(f"got {header}, expected at least one byte")
        return max(0, size - length), size - 1
    first = int(first_text)
    last = min(int(last_text), size - 1) if last_text else size - 1
    if last_text and int(last_text) < first:
        return None
    if first >= size:
        raise UnsatisfiableError(f"got {header}, expected a first byte below {size}")
    return first, last


def _digits(text: str) -> bool:
    return len(text) <= 12 and all("0" <= char <= "9" for char in text)
