"""Which objects a manifest names: its parts, whatever kinds of them there are.

A part is what a manifest gives a SHA-256 and a size: the bundle, the image, a delta that makes either, or what later manifests
add. Verifies nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NamedPart:
    """One object that a manifest names: kind ("artifact", "image", "deltas", …), SHA-256 in hex, size in bytes."""

    kind: str
    sha256: str
    size: int


def parts_of(body: dict[str, Any]) -> list[NamedPart]:
    """Tell the parts of a parsed manifest."""
    return [part for key, value in body.items() for part in _found(key, value)]


def _found(kind: str, value: Any) -> Iterator[NamedPart]:
    if isinstance(value, dict):
        if "sha256" in value and "size" in value:
            yield NamedPart(kind, value["sha256"], value["size"])
        for key, each in value.items():
            yield from _found(key, each)
    elif isinstance(value, list):
        for each in value:
            yield from _found(kind, each)
