"""Which sensor drivers a build ships: all, or those that some configurations name."""

from pathlib import Path
from typing import Annotated

import typer

from node import config as site
from node.settings import Config
from ota.release import drivers

Configs = Annotated[list[Path] | None, typer.Option(
    "--config", help="Ship only the sensor drivers that this configuration (site.json) names; repeat. Default: all.")]


def chosen_drivers(configs: list[Path] | None) -> frozenset[str] | None:
    """Tell the drivers to ship; None: all.

    Raises:
        CallerError: one of the configurations is invalid.
    """
    if not configs:
        return None
    raws = [path.read_bytes() for path in configs]
    for raw in raws:
        site.parse(raw, Config())
    return drivers.named(raws)
