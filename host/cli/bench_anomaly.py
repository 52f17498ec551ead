"""`tenfold bench anomaly`: what is found on labelled recordings, how late, and what is false."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.bench import anomaly, anomaly_wear, recordings
from host.cli.drawn import progress, right
from host.cli.server import AsJson
from host.monitor.anomaly.findings import duration


def bench_anomaly(
    recording: Annotated[str, typer.Argument(help="nab-office or uci-hydraulic under ../shared/data, a folder, or synthetic.")],
    weeks: Annotated[int, typer.Option(min=4, max=10_000, help="Of synthetic: device-weeks without a fault.")] = 100,
    budget: Annotated[float, typer.Option(min=0.01, max=10_080, help="False alarms a week that the limits are to allow.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of synthetic.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Anomalies found, delay and false alarms a week on a labelled recording; an EWMA and scikit-learn's forest beside ours.

    Split in time: limits come from the first part, the rest is judged. Example: tenfold bench anomaly nab-office --json
    """
    with progress(as_json) as bar:
        bar.add_task(recording, total=None)
        if recording == "synthetic":
            report: dict[str, Any] = anomaly_wear.synthetic(weeks, seed, budget)
        else:
            cases = recordings.load(recording, budget)
            report = {"recording": recording, "cases": [anomaly.measure(case) for case in cases],
                      "forecasts": [one for case in cases for one in anomaly_wear.on_recording(case)]}
    if as_json:
        print(json.dumps(report))
        return
    for case in report.get("cases", []):
        _case(case)
    if "kinds" in report:
        _synthetic(report)
    for one in report["forecasts"]:
        print(f"{one['what']}: the interval held the truth in {one['held']} of {one['foretold']} forecasts"
              f" ({one['confidence']:.0%} intended), {one['asked']} asked")


def _case(case: dict[str, Any]) -> None:
    print(f"{case['case']}: {case['split']}; budget {case['budget_per_week']:g} false alarms a week")
    nab = any("nab_score" in one for one in case["methods"].values())
    table = Table("", right("found"), "by fault", right("median delay"), right("false alarms"), right("a week"), right("held"),
                  *([right("NAB score")] if nab else []))
    for name, one in case["methods"].items():
        table.add_row(
            name.replace("_", " "), f"{one['found']} of {one['of']}",
            ", ".join(f"{what} {got} of {of}" for what, (got, of) in one["found_by_fault"].items()),
            "-" if one["delay_s"] is None else duration(one["delay_s"]), str(one["false_alarms"]),
            f"{one['false_alarms_per_week']:.2f}", str(one["held"]), *([f"{one['nab_score']:.1f}"] if nab else []))
    Console().print(table)


def _synthetic(report: dict[str, Any]) -> None:
    table = Table("fault", right("found"), right("median delay"))
    for kind, one in report["kinds"].items():
        table.add_row(kind, f"{one['found']} of {one['of']}", "-" if one["delay_s"] is None else duration(one["delay_s"]))
    Console().print(table)
    print(f"clean: {report['false_alarms']} false alarms in {report['device_weeks']} device-weeks, "
          f"{report['false_alarms_per_week']:.3f} a device and week; budget {report['budget_per_week']:g}")
