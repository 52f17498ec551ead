"""What DNS makes of routes: the records of the zone, what a name resolves to, and what differs from the zone that is there.

The trap that this module is about (RFC 4592, 2.2): a name that exists, and be it only because something below it exists, is not
matched by the wildcard any more, nor is anything below. So the first record of a group or a gateway `nord` would cut off every
device `….nord.<zone>` that `*` has served until then; records() closes that hole with a `*.nord` of its own.

Only A, AAAA and CNAME below the zone's apex are ours. Decides from values only; routing/server.py asks and tells the server.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from node.wire.identity import is_device_id
from provisioning.errors import ProvisioningError
from provisioning.rules.routes import MAX_HOPS, Kind, Routes, kind_of

OURS = ("A", "AAAA", "CNAME")
CUTS = frozenset({"NS", "DNAME"})   # what is at or below such a name is not answered from this zone
REFRESH_S, RETRY_S, EXPIRE_S, NEGATIVE_S = 3600, 600, 1_209_600, 60   # SOA: RIPE-203's, but "there is no such name" is short-lived
_SERIALS = 1 << 32


@dataclass(frozen=True, order=True)
class RRset:
    """Records of one name and type. `name` is relative to the zone; a CNAME's value absolute, without the final dot."""

    name: str
    type: str
    ttl_s: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a resolver finds.

    Attributes:
        path: the names on the way, absolute, the asked one first.
        addresses: empty if there are none, or if the last name of the path is outside the zone.
        by: the record that matched the asked name, relative: itself, a wildcard, or "" for none.
    """

    path: tuple[str, ...]
    addresses: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class Change:
    """What becomes of one name; both sides of it in one message, or the name would lead nowhere in between."""

    name: str
    remove: tuple[RRset, ...]
    add: tuple[RRset, ...]


def records(routes: Routes) -> frozenset[RRset]:
    """Give the zone's records for a set of routes."""
    wanted = dict(routes.routes)
    everybody = wanted.get("*")
    if everybody is not None:
        for label in {name.rpartition(".")[2] for name in wanted} - {"*"}:
            if not is_device_id(label):   # nothing is ever below a device
                wanted.setdefault(f"*.{label}", replace(everybody, name=f"*.{label}"))
    return frozenset(
        RRset(route.name, kind, route.ttl_s, (value,)) for route in wanted.values() for value in route.to
        for kind in ["AAAA" if ":" in value else "A" if value.rpartition(".")[2].isdigit() else "CNAME"])


def resolve(zone: str, rrsets: Iterable[RRset], name: str) -> Answer:
    """Resolve a name as a DNS server does that has these records (RFC 1034, 4.3.2; RFC 4592)."""
    nodes = _by_name(rrsets)
    existing = {tail for owner in nodes for tail in _tails(owner)}
    path, by = [f"{name}.{zone}"], ""
    for hop in range(MAX_HOPS + 1):
        source = name if name in existing else _wildcard(name, existing)
        found = nodes.get(source, set())
        by = source if hop == 0 and found else by
        target = next((rrset.values[0] for rrset in found if rrset.type == "CNAME"), None)
        if target is None:
            addresses = [value for rrset in sorted(found) for value in rrset.values]
            return Answer(tuple(path), tuple(addresses), by)
        path.append(target)
        if not target.endswith("." + zone):
            break
        name = target.removesuffix("." + zone)
    return Answer(tuple(path), (), by)


def changes(there: Collection[RRset], wanted: Collection[RRset]) -> list[tuple[Change, ...]]:
    """Give what must be changed, as steps of which each is whole.

    A change that does not fit into one message may be cut between two steps: no name leads to one that is still to come, or is gone
    already, and no wildcard is missing while something below stops the zone's.
    """
    removed, added = _by_name(set(there) - set(wanted)), _by_name(set(wanted) - set(there))
    steps: dict[tuple[bool, str], list[Change]] = {}
    for name in removed.keys() | added.keys():
        change = Change(name, tuple(sorted(removed.get(name, ()))), tuple(sorted(added.get(name, ()))))
        steps.setdefault((bool(change.add), name.removeprefix("*.")), []).append(change)   # a gateway and what it would stop
    ordered = sorted(steps.items(), key=lambda item: (_turn(item[0][1], item[1]), item[0]))
    return [tuple(sorted(step, key=lambda change: change.name)) for _, step in ordered]


def refuse_harm(
    steps: Iterable[tuple[Change, ...]], others: Mapping[str, frozenset[str]], wanted: Collection[RRset], *, prune: bool,
) -> list[str]:
    """Look at what a push would do to what others have in the zone.

    Args:
        others: types of the records that are not ours, by relative name, without the apex and without DNSSEC's own.
        prune: names that are neither a device's nor a wildcard may be removed.

    Returns:
        Names of devices without a route of their own that such records cut off from the wildcard.

    Raises:
        ProvisioningError: "route.prune" or "route.foreign".
    """
    lost = [change.name for step in steps for change in step
            if not change.add and kind_of(change.name) not in (Kind.EVERYBODY, Kind.DEVICE)]
    if lost and not prune:
        raise ProvisioningError(
            "route.prune", f"got a zone with {', '.join(sorted(lost))}, expected no names without a route: is it the right "
                           "zone? --prune removes them")
    for rrset in sorted(wanted):
        cut = next((tail for tail in _tails(rrset.name) if others.get(tail, frozenset()) & CUTS), None)
        if cut is not None or (rrset.type == "CNAME" and rrset.name in others):
            name = cut or rrset.name
            types = " ".join(sorted(others[name]))
            raise ProvisioningError(
                "route.foreign", f"{rrset.name}: got {types} at {name}, expected nothing that keeps the route from "
                                 "being answered: remove it first")
    routed = {rrset.name for rrset in wanted}
    return sorted({tail for name in others for tail in _tails(name) if kind_of(tail) is Kind.DEVICE} - routed)


def render(routes: Routes, serial: int) -> str:
    """Write the zone as a master file (RFC 1035, 5).

    Raises:
        ProvisioningError: "route.servers": none, or one of the zone itself without an address.
    """
    if not routes.servers:
        raise ProvisioningError("route.servers", "servers: got none, expected the zone's name servers: its file begins with them")
    wanted = records(routes)
    for server in routes.servers:
        label = server.removesuffix("." + routes.zone)
        if label != server and not any(rrset.name == label and rrset.type != "CNAME" for rrset in wanted):
            raise ProvisioningError("route.servers", f"{server}: got no address, expected one since it is in the zone: set {label}")
    timers = f"{serial} {REFRESH_S} {RETRY_S} {EXPIRE_S} {NEGATIVE_S}"
    lines = ["; written by `tenfold route render`: change the routes, not this file", f"$ORIGIN {routes.zone}.",
             f"@ {REFRESH_S} IN SOA {routes.servers[0]}. hostmaster.{routes.zone}. {timers}"]
    lines += [f"@ {REFRESH_S} IN NS {server}." for server in routes.servers]
    for rrset in sorted(wanted):
        dot = "." if rrset.type == "CNAME" else ""
        lines += [f"{rrset.name} {rrset.ttl_s} IN {rrset.type} {value}{dot}" for value in rrset.values]
    return "\n".join(lines) + "\n"


def serial_of(text: str) -> int:
    """Give the serial number of a rendered zone.

    Raises:
        ProvisioningError: "route.zonefile": it was not rendered here.
    """
    for line in text.splitlines()[:3]:
        words = line.split()
        if len(words) == 11 and words[3] == "SOA" and words[6].isdecimal():
            return int(words[6])
    raise ProvisioningError("route.zonefile", "got a file that `tenfold route render` did not write, expected its own or none")


def next_serial(last: int | None, now_s: int) -> int:
    """Give a serial number behind the last one in the order of RFC 1982: the time, or one more."""
    now = now_s % _SERIALS
    if last is None or 0 < (now - last) % _SERIALS < _SERIALS // 2:
        return now
    return (last + 1) % _SERIALS


def _by_name(rrsets: Iterable[RRset]) -> dict[str, set[RRset]]:
    nodes: dict[str, set[RRset]] = {}
    for rrset in rrsets:
        nodes.setdefault(rrset.name, set()).add(rrset)
    return nodes


def _tails(name: str) -> list[str]:
    """Give the name and all that exists because it does, up to the zone."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]


def _wildcard(name: str, existing: Collection[str]) -> str:
    """Give the one wildcard that may answer for a name that does not exist: the closest existing name's (RFC 4592, 3.3.1)."""
    closest = next((tail for tail in _tails(name) if tail in existing), "")
    return f"*.{closest}" if closest else "*"


def _turn(name: str, step: Iterable[Change]) -> int:
    added = [rrset.type for change in step for rrset in change.add]
    device = kind_of(name) is Kind.DEVICE
    if not added:
        return 3 if device else 4
    return 2 if device else 0 if set(added) - {"CNAME"} else 1
