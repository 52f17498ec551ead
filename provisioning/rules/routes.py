"""Which routes there may be: the grammar of names and targets, and what a set of routes must not say.

A device knows one name, its id in the zone, and never an address. A route says where a name leads: everybody's (`*`), a group's
(`*.nord`, devices whose zone is `nord.<zone>`), a device's (`hall-0242ac110001`), or a gateway's (any other single label).
Decides from values only; what DNS makes of them is zone.py's, the file is routing/file.py's.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_address

from node.wire.identity import is_device_id
from provisioning.errors import ProvisioningError

DEFAULT_TTL_S = 60               # a moved device is at the new place after this and its next connection
MIN_TTL_S, MAX_TTL_S = 5, 86_400   # below, each connection is a question to the zone's own servers
MAX_HOPS = 4                     # names from a device's to an address; each may be a round trip for the resolver
MAX_ZONE = 220                   # characters, as in a device's configuration (node/config.py)
MAX_NOTE = 200                   # characters of `by` and `why`
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Kind(Enum):
    """Whom a name of the zone belongs to."""

    EVERYBODY = "everybody"   # a wildcard: of the zone, or of a group
    DEVICE = "device"
    GATEWAY = "gateway"


@dataclass(frozen=True)
class Route:
    """Where one name leads.

    Attributes:
        name: relative to the zone.
        to: one IPv4 and one IPv6 address at most, in canonical text; or one absolute name, without the final dot.
        by, at_s, why: the last change: who, Unix seconds, the reason.
    """

    name: str
    to: tuple[str, ...]
    ttl_s: int = DEFAULT_TTL_S
    by: str = ""
    at_s: int = 0
    why: str = ""


@dataclass(frozen=True)
class Routes:
    """All routes of one zone.

    Attributes:
        servers: names of the zone's own name servers, the first its primary; needed for a zone file only.
    """

    zone: str
    servers: tuple[str, ...]
    routes: Mapping[str, Route]


def domain(text: str, key: str) -> str:
    """Check an absolute name; gives it in lower case without the final dot.

    Raises:
        ProvisioningError: "route.name".
    """
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ProvisioningError("route.name", f"{key}: got {text!r}, expected a full name such as gw.example.org")
    return name


def zone_name(text: str) -> str:
    """Check the name of a zone that devices can be told.

    Raises:
        ProvisioningError: "route.name".
    """
    name = domain(text, "zone")
    if len(name) > MAX_ZONE:
        raise ProvisioningError("route.name", f"zone: got {len(name)} characters, expected at most {MAX_ZONE}")
    return name


def name_in(zone: str, text: str) -> str:
    """Check a route's name, with or without the zone behind it; gives it relative to the zone.

    Raises:
        ProvisioningError: "route.name".
    """
    name = text.removesuffix(".").removesuffix("." + zone)
    if kind_of(name) is None:
        raise ProvisioningError(
            "route.name", f"got {text!r}, expected * (everybody), a device id, *.GROUP, a device id in a group or a "
                          f"gateway's single label, of a-z, 0-9 and -, in {zone}")
    return name


def kind_of(name: str) -> Kind | None:
    """Tell whom a relative name belongs to; None when it fits no grammar."""
    first, dot, group = name.partition(".")
    if dot and (not _LABEL.fullmatch(group) or is_device_id(group)):
        return None
    if first == "*":
        return Kind.EVERYBODY
    if is_device_id(first):
        return Kind.DEVICE
    return Kind.GATEWAY if not dot and _LABEL.fullmatch(first) else None


def targets(zone: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Check where a route leads: addresses, one of each family, or one name: a gateway's label, or a full name elsewhere.

    Raises:
        ProvisioningError: "route.target".
    """
    try:
        addresses = sorted(map(ip_address, texts), key=lambda address: address.version)
    except ValueError:
        return (_target_name(zone, texts),)
    families = [address.version for address in addresses]
    if not families or len(set(families)) < len(families):
        raise ProvisioningError(
            "route.target", f"got {' '.join(texts)!r}, expected one IPv4 address, one IPv6 address or one of each")
    for address in addresses:
        if address.is_multicast or address.is_unspecified or address.is_link_local or "%" in str(address):
            raise ProvisioningError("route.target", f"got {address}, expected an address that devices can reach")
    return tuple(map(str, addresses))


def _target_name(zone: str, texts: Sequence[str]) -> str:
    if len(texts) != 1:
        raise ProvisioningError("route.target", f"got {' '.join(texts)!r}, expected addresses, or one name alone")
    try:
        name = domain(texts[0] if "." in texts[0] else f"{texts[0]}.{zone}", "target")
    except ProvisioningError:
        raise ProvisioningError("route.target", f"got {texts[0]!r}, expected addresses, a gateway's label or a full name") from None
    return name


def checked(routes: Routes) -> Routes:
    """Check that every name leads somewhere.

    Raises:
        ProvisioningError: "route.ttl", "route.note", or "route.target": a target in the zone that is no gateway of it, a circle, or
            more than MAX_HOPS names in a row.
    """
    for route in routes.routes.values():
        if not MIN_TTL_S <= route.ttl_s <= MAX_TTL_S:
            raise ProvisioningError("route.ttl", f"{route.name}: got {route.ttl_s} s, expected {MIN_TTL_S} to {MAX_TTL_S}")
        for text in (route.by, route.why):
            if len(text) > MAX_NOTE or not all(map(str.isprintable, text)):
                raise ProvisioningError(
                    "route.note", f"{route.name}: expected at most {MAX_NOTE} printable characters as by and why")
        _follow(routes, route)
    return routes


def with_route(routes: Routes, route: Route) -> Routes:
    """Set a route; one that leads there already, as long, stays as it is, and so does who said so.

    Raises:
        ProvisioningError: as checked().
    """
    known = routes.routes.get(route.name)
    if known is not None and (known.to, known.ttl_s) == (route.to, route.ttl_s):
        return routes
    return checked(replace(routes, routes={**routes.routes, route.name: route}))


def without(routes: Routes, name: str) -> Routes:
    """Clear a route; one that is not there is fine.

    Raises:
        ProvisioningError: "route.used": others lead to it.
    """
    users = sorted(route.name for route in routes.routes.values() if route.to == (f"{name}.{routes.zone}",))
    if users:
        raise ProvisioningError("route.used", f"{name}: {_some(users)} lead there, expected none: set them elsewhere first")
    return replace(routes, routes={key: route for key, route in routes.routes.items() if key != name})


def _follow(routes: Routes, route: Route) -> None:
    seen = [route.name]
    while (target := route.to[0]).endswith("." + routes.zone) or target == routes.zone:
        name = target.removesuffix("." + routes.zone)
        if name not in routes.routes or kind_of(name) is not Kind.GATEWAY:
            known = sorted(one for one in routes.routes if kind_of(one) is Kind.GATEWAY)
            raise ProvisioningError("route.target", f"{route.name}: got {name}, expected a gateway that has a route of its own: "
                                                    f"{_some(known) or 'there is none yet'}")
        if name in seen or len(seen) >= MAX_HOPS:
            way = " -> ".join([*seen, name])
            raise ProvisioningError("route.target", f"{seen[0]}: got {way}, expected an address after at most {MAX_HOPS} names")
        seen.append(name)
        route = routes.routes[name]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
