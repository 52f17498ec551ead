"""Which events a webhook is told. From values only; how they are signed and tried again is host.webhook's, for every part."""

from collections.abc import Sequence


def is_wanted(kind: str, wanted: Sequence[str]) -> bool:
    """Tell whether a webhook is told of a kind of event: all, those named, or those that begin with a name that ends in a dot."""
    return not wanted or any(kind == each or (each.endswith(".") and kind.startswith(each)) for each in wanted)
