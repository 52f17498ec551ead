"""The `tenfold` command: one file per group of commands, and the only place that prints."""

from host.cli.root import main

__all__ = ["main"]
