"""A bundle's sources as syntax trees: what those share that rewrite them (fold.py, shake.py)."""

import ast
from collections.abc import Container


class SourceError(Exception):
    """A source does not parse; the message names the file and the line."""


def parse(path: str, source: bytes) -> ast.Module:
    """Give a source's tree."""
    try:
        return ast.parse(source.decode())
    except SyntaxError as error:
        raise SourceError(f"{path}:{error.lineno}: {error.msg}") from None


def path_of(dotted: str, sources: Container[str]) -> str | None:
    """Give the path of one of our modules or packages; None for others'."""
    stem = dotted.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in sources), None)
