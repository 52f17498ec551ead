"""`tenfold alerts`: what is wrong, what was, and who is told."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column

from host import logs
from host.cli import silences
from host.cli.alerts_common import database, reader, samples, since_ms, time_ms, when
from host.cli.database import Database
from host.cli.drawn import filled, right, whole
from host.cli.known import Ca, Cert, Key, Ledger, Sources, Url
from host.cli.server import AsJson
from host.cli.who import me
from host.clock import unix_ms
from host.monitor.alerting import process, words
from host.monitor.alerting.engine import Notice
from host.monitor.alerting.group import Kind, Level
from host.monitor.alerting.observe import name_of, observe
from host.monitor.alerting.rules import Rule, load_rules
from host.monitor.alerting.settings import AlertSettings
from host.monitor.alerting.targets import make_targets
from host.monitor.sample import Sample
from host.settings import SettingsError, load
from host.store import alert_outbox, alerts

app = typer.Typer(no_args_is_help=True, help="What is wrong, what was, and who is told.")
app.add_typer(silences.app, name="silence")

Rules = Annotated[Path, typer.Argument(help="File of rules, e.g. deploy/alerts/rules.toml.", exists=True, dir_okay=False)]
Config = Annotated[Path, typer.Option(help="TOML or JSON file; its keys are in host/DESIGN.md.", exists=True, dir_okay=False)]
LATE_S = 300   # no tick for so long: `list` says that nobody evaluates
LISTED = 50    # members of a group that --json names
SHOWN = 5      # that the table names


@app.command()
def run(config: Config) -> None:
    """Evaluate rules and tell of alerts until SIGTERM. Example: tenfold alerts run --config alerts.toml."""
    raise typer.Exit(process.run(config, lambda settings: reader(Sources(
        settings.database, settings.ota_url, settings.ca_file, settings.cert_file, settings.key_file, settings.ledger))))


@app.command()
def check(rules: Rules, as_json: AsJson = False) -> None:
    """Check a file of rules. Example: tenfold alerts check deploy/alerts/rules.toml."""
    found = load_rules(rules)
    if as_json:
        print(json.dumps([each.model_dump() for each in found]))
        return
    Console().print(filled(
        [whole("rule"), "severity", whole("metric"), "fires", "told by"],
        [[each.name, each.severity, each.metric, _level(each), ", ".join(each.group_by)] for each in found]))


@app.command("test")
def try_(
    rules: Rules, url: Database = "", server: Url = "", ca: Ca = None, cert: Cert = None, key: Key = None, ledger: Ledger = "",
    at: Annotated[str, typer.Option(help="Ages are told as of this time, e.g. 2027-06-05T22:00Z; default now.")] = "",
    file: Annotated[Path | None, typer.Option("--samples", help='A file instead: JSON lines {"metric", "labels", "value"}.',
                                              exists=True, dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show what rules find, telling nobody and writing nothing. It is one look: `for_s`, `wait_s` and `rise_s` are left out.

    Example: tenfold alerts test deploy/alerts/rules.toml --at 2027-06-05T22:00Z
    """
    at_ms = time_ms("--at", at) if at else unix_ms()
    given = samples(file) if file else reader(Sources(url, server, ca, cert, key, ledger))(at_ms)
    rows = [_found(each, given) for each in load_rules(rules)]
    if as_json:
        print(json.dumps(rows))
        return
    none = [{"group": "", "says": ""}]
    Console().print(filled(
        [whole("rule"), right("members"), right("breached"), whole("group"), "says"],
        [[row["rule"], str(row["members"]), str(row["breached"]), group["group"],
          group["says"] if row["members"] else "no samples: a wrong name, or a source that is not named"]
         for row in rows for group in (row["groups"] or none)]))


@app.command("list")
def list_(url: Database = "", as_json: AsJson = False) -> None:
    """List what is pending, firing or just over, group by group, and what waits to be sent.

    Example: tenfold alerts list --database sqlite:///build/demo/telemetry.db
    """
    with database(url) as connection:
        memory, (_, at_ms) = alerts.load(connection), alerts.turn(connection)
        waiting = alert_outbox.waiting(connection)
    rows = []
    for rule, members in sorted(memory.members.items()):
        for group in sorted({each.group for each in members.values()}):
            within = [each for _, each in sorted(members.items()) if each.group == group]
            known = memory.groups.get(rule, {}).get(group)
            rows.append({
                "rule": rule, "group": words.group_name(group), "told": known.told.value if known else "none",
                "flaps": known.flaps if known else 0, "states": dict(Counter(each.state.value for each in within)),
                "since_ms": min(each.since_ms for each in within),
                "members": [
                    {"name": name_of(each.key), "state": each.state.value, "value": each.value} for each in within[:LISTED]],
            })
    if as_json:
        print(json.dumps({"evaluated_ms": at_ms, "alerts": rows, "waiting": waiting}))
        return
    console = Console()
    if rows:
        columns: list[Column | str] = [whole("rule"), whole("group"), "states", "told", whole("since"), "members"]
        console.print(filled(columns, [_row(row) for row in rows]))
    elif at_ms:
        console.print(f"nothing is pending, firing or just over; evaluated {when(at_ms)}")
    for each in waiting:
        why = f", {each['error']}" if each["error"] else ""
        console.print(f"{each['target']}: {each['waiting']} notices wait{why}", markup=False)
    if unix_ms() - at_ms > LATE_S * 1000:
        said = f"the last time was {when(at_ms)}" if at_ms else "it never happened"
        console.print(f"nobody evaluates alerts on this database: {said}; start `tenfold alerts run --config FILE`")


@app.command()
def history(
    url: Database = "", rule: Annotated[str, typer.Option(help="Only of this rule.")] = "",
    since: Annotated[str, typer.Option(help="From this time on, e.g. 2027-06-05T22:00Z, or so long ago, e.g. 8h.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="As many entries at most, the newest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List transitions, notices and what could not be delivered, newest first.

    Example: tenfold alerts history --since 8h
    """
    with database(url) as connection:
        from_ms = since_ms(since, unix_ms()) if since else 0
        rows = alerts.history(connection, rule=rule, since_ms=from_ms, limit=limit)
    if as_json:
        print(json.dumps(rows))
        return
    Console().print(filled(
        [whole("when"), whole("rule"), whole("group"), whole("change"), right("members"), right("value"), "note"],
        [[when(row["at_ms"]), row["rule"], ", ".join(f"{key}={value}" for key, value in row["group"].items()), row["change"],
          str(row["count"]), "" if row["value"] is None else f"{row['value']:.6g}", row["note"] or " ".join(row["members"][:SHOWN])]
         for row in rows]))


@app.command("send-test")
def send_test(
    config: Config, target: Annotated[str, typer.Option(help="Only to this target.")] = "", as_json: AsJson = False,
) -> None:
    """Send a test to the targets at once; exit code 1 if one did not take it.

    Example: tenfold alerts send-test --config alerts.toml
    """
    logs.quiet()
    settings = load(AlertSettings, config, env_prefix=process.ENV_PREFIX)
    targets = [each for each in make_targets(settings) if target in ("", each.name)]
    if not targets:
        named = f" named {target}" if target else ""
        raise SettingsError("webhooks", f"no target{named}", "one to send to, in webhooks or apprise")
    now_ms = unix_ms()
    notice = Notice("test", "info", Kind.FIRING, Level.SOME, "{}", now_ms, now_ms, 1, 1, ("nothing",), (None,),
                    message=f"a test by {me().replace('{', '(').replace('}', ')')}: if you read this, alerts reach you")
    body = words.body(notice) | {"kind": "alert.test", "title": "info: a test of Tenfold's alerts"}
    rows = [{"target": each.name, "error": each.send(f"test-{now_ms}", body)} for each in targets]
    if as_json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['target']}: {row['error'] or 'taken'}")
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _found(rule: Rule, given: list[Sample]) -> dict[str, Any]:
    """What one rule finds in one look; of a rule with `rise_s` the sums themselves, of which none says anything yet."""
    seen = observe(rule, [each for each in given if each.metric == rule.metric])
    breached = [] if rule.rise_s else [each for each in seen.values() if rule.breached(each.value)]
    totals, firing = Counter(each.group for each in seen.values()), Counter(each.group for each in breached)
    groups = []
    for group, count in sorted(firing.items()):
        wide = rule.is_wide(count, totals[group], was=False)
        said = "outage" if wide else "nothing, too few" if rule.wide_only else "firing"
        groups.append({"group": words.group_name(group), "breached": count, "members": totals[group], "says": said})
    return {"rule": rule.name, "severity": rule.severity, "members": len(seen), "breached": len(breached), "groups": groups}


def _level(rule: Rule) -> str:
    what = "absent" if rule.absent else f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}"
    return what + (f" risen in {rule.rise_s:g} s" if rule.rise_s else "") + (f" for {rule.for_s:g} s" if rule.for_s else "")


def _row(row: dict[str, Any]) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in row["states"].items())
    flaps = f", {row['flaps']} flaps" if row["flaps"] else ""
    names = " ".join(each["name"] for each in row["members"][:SHOWN]) + (" …" if len(row["members"]) > SHOWN else "")
    return [row["rule"], row["group"], states, row["told"] + flaps, when(row["since_ms"]), names]
