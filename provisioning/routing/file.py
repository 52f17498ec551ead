"""The file of routes: JSON that people read, review and keep under version control.

Decides its form, and that it is replaced whole (temporary file, fsync, rename) and changed by one at a time. What it may say is
checked by rules/routes.py.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.files import alone, write_whole
from provisioning.errors import ProvisioningError
from provisioning.rules.routes import Route, Routes, checked, domain, name_in, targets, zone_name

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def load(path: Path) -> Routes:
    """Read the routes.

    Raises:
        ProvisioningError: "route.file", naming what is wrong, or as rules/routes.py.
    """
    try:
        raw = json.loads(path.read_bytes())
        zone = zone_name(_text(raw, "zone"))
        routes = {name_in(zone, name): _route(zone, name, one) for name, one in raw["routes"].items()}
        if len(routes) < len(raw["routes"]):
            raise ValueError("routes: got a name twice, with the zone and without")
        servers = tuple(domain(server, "servers") for server in raw.get("servers", []))
    except FileNotFoundError:
        raise ProvisioningError(
            "route.file", f"{path}: no such file; tenfold route set main ADDRESS --zone ZONE begins one") from None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ProvisioningError("route.file", f"{path}: got {said}, expected what tenfold route set writes") from None
    return checked(Routes(zone, servers, routes))


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Load and save within: who changes the routes meanwhile waits, and his change is not lost.

    Raises:
        ProvisioningError: "route.file": there is no such folder.
    """
    if not path.resolve().parent.is_dir():
        raise ProvisioningError("route.file", f"{path}: no such folder; make it first")
    with alone(path):
        yield


def save(path: Path, routes: Routes) -> None:
    """Replace the file: whoever reads it has the old routes or the new."""
    body = {"zone": routes.zone, "servers": list(routes.servers),
            "routes": {name: entry(routes.routes[name]) for name in sorted(routes.routes)}}
    write_whole(path, json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def shown(at_s: int) -> str:
    """Write a time as the file has it."""
    return datetime.fromtimestamp(at_s, UTC).strftime(_TIME)


def entry(route: Route) -> dict[str, Any]:
    """Give a route as the file has it."""
    return {"to": list(route.to), "ttl_s": route.ttl_s, "by": route.by, "at": shown(route.at_s), "why": route.why}


def _route(zone: str, name: str, raw: dict[str, Any]) -> Route:
    if not isinstance(raw["to"], list) or not isinstance(raw["ttl_s"], int):
        raise ValueError(f"{name}: expected a list as `to` and a whole number as `ttl_s`")
    at = datetime.strptime(_text(raw, "at"), _TIME).replace(tzinfo=UTC)
    return Route(name_in(zone, name), targets(zone, raw["to"]), raw["ttl_s"], _text(raw, "by"), int(at.timestamp()),
                 _text(raw, "why"))


def _text(raw: dict[str, Any], key: str) -> str:
    text = raw[key]
    if not isinstance(text, str):
        raise ValueError(f"{key}: expected a text")
    return text
