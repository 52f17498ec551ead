"""Lists of device ids in files that people keep: one a line, `#` begins a comment."""

from node.wire.identity import is_device_id

ANY = "-*"   # behind a product: all its devices


def read(text: str, *, products: bool = False) -> tuple[str, ...]:
    """Read a list in its order.

    Args:
        products: `hall-*` may stand for all devices of a product.

    Raises:
        ValueError: a line is neither; it tells which.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        is_product = products and name.endswith(ANY) and is_device_id(name.removesuffix(ANY) + "-000000000000")
        if not is_device_id(name) and not is_product:
            raise ValueError(f"line {number}: got {name!r}, expected a device id{f' or a product and {ANY}' if products else ''}")
        found.append(name)
    return tuple(found)
