"""`tenfold route`: which gateway devices are sent to: one zone of DNS names, from a file to a DNS server."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson
from host.cli.who import me
from host.files import write_whole
from provisioning.errors import ProvisioningError
from provisioning.routing.file import changing, entry, load, save, shown
from provisioning.routing.key import read_key
from provisioning.routing.server import Pushed, Server
from provisioning.rules.routes import (
    DEFAULT_TTL_S,
    MAX_TTL_S,
    MIN_TTL_S,
    Kind,
    Route,
    Routes,
    domain,
    kind_of,
    name_in,
    targets,
    with_route,
    without,
    zone_name,
)
from provisioning.rules.zone import Answer, next_serial, records, render, resolve, serial_of

app = typer.Typer(no_args_is_help=True, help="Which gateway devices are sent to; a device is moved by a DNS record.")
File = Annotated[Path, typer.Option("--file", envvar="TENFOLD_ROUTES", help="The file of routes.", dir_okay=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A device id, * for everybody else, *.GROUP, or a gateway's label.")]
ROUTES = Path("routes.json")
CHECK_S = 60   # named-checkzone takes seconds for a million records


@app.command(name="set")
def set_(
    name: Name,
    to: Annotated[list[str], typer.Argument(metavar="TARGET", help="A gateway's label, a full name, or one or two addresses.")],
    file: File = ROUTES,
    ttl_s: Annotated[int, typer.Option(min=MIN_TTL_S, max=MAX_TTL_S, help="Seconds that it may be kept.")] = DEFAULT_TTL_S,
    why: Annotated[str, typer.Option(help="Kept with the route.")] = "",
    by: Annotated[str | None, typer.Option(help="Who says so; default: you.")] = None,
    zone: Annotated[str | None, typer.Option(help="Begin a new file for this zone.")] = None,
    server: Annotated[list[str] | None, typer.Option("--name-server", help="With --zone: its name server; repeat.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set where a name leads, in the file; `push` tells the DNS server.

    Example: tenfold route set main 192.0.2.10 --zone gw.example.org --name-server ns1.example.org

    Example: tenfold route set '*' main

    Example: tenfold route set hall-0242ac110001 nord --why "moved to hall 2"
    """
    with changing(file):
        if zone is not None and not file.exists():
            before = Routes(zone_name(zone), tuple(domain(one, "name server") for one in server or []), {})
        else:
            before = load(file)
            if (zone is not None and zone_name(zone) != before.zone) or server:
                raise typer.BadParameter(f"{file} is there already, for {before.zone}: --zone and --name-server are for a new one")
        key = name_in(before.zone, name)
        who = me() if by is None else by
        after = with_route(before, Route(key, targets(before.zone, to), ttl_s, who, int(time.time()), why))
        _keep(file, before, after, key, as_json)


@app.command()
def clear(name: Name, file: File = ROUTES, as_json: AsJson = False) -> None:
    """Clear a name's own route, in the file: it goes where everybody goes; `push` tells the DNS server.

    Example: tenfold route clear hall-0242ac110001
    """
    with changing(file):
        before = load(file)
        key = name_in(before.zone, name)
        _keep(file, before, without(before, key), key, as_json)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A device id or a gateway; default: all routes.")] = None,
    file: File = ROUTES,
    ask: Annotated[str | None, typer.Option(help="Ask this DNS server too, host[:port]; exit code 1 if it says otherwise.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all routes, or what one device finds: by the file, and with --ask by the real DNS.

    Example: tenfold route show hall-0242ac110001 --ask 192.0.2.53
    """
    routes = load(file)
    if name is None:
        if ask is not None:
            raise typer.BadParameter("--ask: got no NAME, expected one to ask for")
        _table(routes, as_json)
        return
    key = name_in(routes.zone, name)
    if kind_of(key) is Kind.EVERYBODY:
        raise typer.BadParameter(f"{name}: expected a device id or a gateway: nobody asks for a wildcard")
    ours = resolve(routes.zone, records(routes), key)
    real = Server(ask).ask(ours.path[0]) if ask is not None else None
    agrees = real is None or _agrees(ours, real, routes.zone)
    if as_json:
        print(json.dumps({"name": ours.path[0], "by": ours.by, "path": list(ours.path[1:]), "addresses": list(ours.addresses),
                          "asked": real and {"server": ask, "path": list(real.path[1:]), "addresses": list(real.addresses)},
                          "agrees": agrees}))
    else:
        print(f"file  {_told(ours)}" + (f"  (by {ours.by})" if ours.by else ""))
        if real is not None:
            print(f"dns   {_told(real)}" + ("" if agrees else "  (not what the file says: pushed? and resolvers keep answers)"))
    if not agrees:
        raise typer.Exit(1)


@app.command(name="render")
def render_(
    file: File = ROUTES,
    out: Annotated[Path | None, typer.Option(help="Write here, its serial number behind the last one's; default: standard output.",
                                             dir_okay=False)] = None,
) -> None:
    """Render the zone as a file for a DNS server that takes no updates; checked by named-checkzone where that is installed.

    Example: tenfold route render --out gw.example.org.zone
    """
    routes = load(file)
    now_s = int(time.time())
    old = out.read_text() if out is not None and out.exists() else None
    last = None if old is None else serial_of(old)
    text = render(routes, next_serial(last, now_s))
    _check_zone(routes.zone, text)
    if out is None:
        print(text, end="")
    elif last is not None and render(routes, last) == old:
        print(f"{out}: unchanged, serial {last}")
    else:
        write_whole(out, text)
        print(f"{out}: serial {serial_of(text)}, {len(records(routes))} records")


@app.command()
def push(
    server: Annotated[str, typer.Option(envvar="TENFOLD_DNS_SERVER", help="The zone's primary DNS server, host or host:port.")],
    key: Annotated[Path, typer.Option(envvar="TENFOLD_DNS_KEY", help="TSIG key file (tsig-keygen), mode 0600.", dir_okay=False)],
    file: File = ROUTES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove gateways, too, that no route names any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the zone on the DNS server what the file says: one signed update, whole or not at all; nothing if it is that already.

    Example: tenfold route push --server ns1.example.org --key routes.key
    """
    routes = load(file)
    pushed = Server(server).push(routes, read_key(key), prune=prune, dry_run=dry_run)
    if as_json:
        print(json.dumps(_pushed(pushed, dry_run)))
        return
    for step in pushed.steps:
        for change in step:
            for sign, rrsets in (("-", change.remove), ("+", change.add)):
                for rrset in rrsets:
                    print(f"{sign} {rrset.name} {rrset.ttl_s} {rrset.type} {' '.join(rrset.values)}")
    for name in pushed.cut_off:
        typer.echo(f"note: {name}.{routes.zone}: others' records at or below it keep * from it; set a route of its own", err=True)
    if dry_run:
        print(f"{routes.zone}: serial {pushed.before}; nothing sent")
    elif pushed.messages:
        print(f"{routes.zone}: serial {pushed.before} -> {pushed.after}, {pushed.messages} updates")
    else:
        print(f"{routes.zone}: unchanged, serial {pushed.after}")


def _keep(file: Path, before: Routes, after: Routes, name: str, as_json: bool) -> None:
    changed = after != before
    if changed:
        save(file, after)
    if as_json:
        print(json.dumps({"changed": changed, "name": name, "route": entry(after.routes[name]) if name in after.routes else None}))
    elif changed:
        print(f"{name} {'-> ' + ' '.join(after.routes[name].to) if name in after.routes else 'cleared'}; push tells the DNS server")
    else:
        print(f"{name}: unchanged")


def _table(routes: Routes, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"zone": routes.zone, "servers": list(routes.servers),
                          "routes": {name: entry(route) for name, route in sorted(routes.routes.items())}}))
        return
    table = Table("name", "leads to", "TTL s", "since", "by", "why", title=routes.zone, title_justify="left")
    for name, route in sorted(routes.routes.items()):
        table.add_row(name, " ".join(route.to), str(route.ttl_s), shown(route.at_s), route.by, route.why)
    Console().print(table)


def _told(answer: Answer) -> str:
    end = " ".join(answer.addresses) or "no address"
    return " -> ".join([*answer.path, end])


def _agrees(ours: Answer, real: Answer, zone: str) -> bool:
    """Say whether the DNS knows what the file says; what a name elsewhere leads to is not ours to say."""
    last = ours.path[-1]
    if last.endswith("." + zone):
        return ours.addresses == real.addresses
    return last in real.path


def _check_zone(zone: str, text: str) -> None:
    tool = shutil.which("named-checkzone") or shutil.which("/usr/sbin/named-checkzone")
    if tool is None:
        typer.echo("note: named-checkzone is not installed (Debian: bind9-utils): the zone is not checked", err=True)
        return
    said = subprocess.run([tool, zone, "/dev/stdin"], input=text, capture_output=True, text=True, timeout=CHECK_S, check=False)
    if said.returncode:
        raise ProvisioningError("route.zonefile", f"named-checkzone: {' '.join((said.stdout + said.stderr).split())}")


def _pushed(pushed: Pushed, dry_run: bool) -> dict[str, Any]:
    def told(change: Any, side: str) -> list[dict[str, Any]]:
        return [{"type": one.type, "ttl_s": one.ttl_s, "values": list(one.values)} for one in getattr(change, side)]

    return {"serial_before": pushed.before, "serial": pushed.after, "updates": pushed.messages, "dry_run": dry_run,
            "cut_off": list(pushed.cut_off),
            "changes": [{"name": change.name, "remove": told(change, "remove"), "add": told(change, "add")}
                        for step in pushed.steps for change in step]}
