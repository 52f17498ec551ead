"""`tenfold bench anomaly`: what is found on labelled recordings, how late, and what is false."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from host.bench import anomaly, anomaly_rig, anomaly_wear, recordings
from host.cli.drawn import progress, right
from host.cli.server import AsJson
from host.clock import duration


def bench_anomaly(
    recording: Annotated[str, typer.Argument(
        help="nab-office or uci-hydraulic under ../shared/data, a folder (also of UCI's own hydraulic files), or synthetic.")],
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
        elif anomaly_rig.is_rig(Path(recording)):
            runs = anomaly_rig.runs_of(Path(recording))
            report = {"recording": recording, "runs": [anomaly_rig.measure(run, budget) for run in runs],
                      "forecasts": [anomaly_wear.on_curves(*anomaly_rig.curves_of(run)) for run in runs]}
        else:
            cases = recordings.load(recording, budget)
            report = {"recording": recording, "cases": [anomaly.measure(case) for case in cases],
                      "forecasts": [one for case in cases for one in anomaly_wear.on_recording(case)]}
    if as_json:
        print(json.dumps(report))
        return
    for case in report.get("cases", []):
        _case(case)
    for run in report.get("runs", []):
        _run(run)
    if "kinds" in report:
        _synthetic(report)
    for one in report["forecasts"]:
        print(f"{one['what']}: the interval held the truth in {one['held']} of {one['foretold']} forecasts"
              f" ({one['confidence']:.0%} intended), {one['asked']} asked")
        if "score" in one and one["foretold"]:
            width = "-" if one["median_width_cycles"] is None else f"{one['median_width_cycles']:.0f} cycles"
            print(f"  {one['without_end']} intervals without an end, the others {width} wide (median); interval score of the speed "
                  f"{one['score']:.2f}, a naive drift's {one['naive_score']:.2f}, which held the truth in {one['naive_held']}")


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


def _run(run: dict[str, Any]) -> None:
    print(f"cycles {run['cycles']}, cooler at {run['cooler_pct']} %: the first {run['train']} train, "
          f"{run['hours_judged']:.1f} h are judged; budget {run['budget_per_week']:g} false alarms a week")
    table = Table("condition", right("cycles"), right("flagged"), right("by the cycle's shape"), right("by others"),
                  right("AUC that labels allow"))
    for name, one in run["conditions"].items():
        allowed = run["labels_allow"].get("pump leaks" if name.startswith("pump") else name)
        table.add_row(name, str(one["cycles"]), str(one["flagged"]), str(one["by_shape"]), str(one["by_others"]),
                      "" if allowed is None else f"{allowed:.2f}")
    Console().print(table)
    delays = ", ".join(str(one) for one in run["leak_delay_cycles"])
    print(f"{run['leaks']} leaks began, {run['leaks_not_flagged_before']} of them while nothing was flagged; of those "
          f"{run['leaks_found']} found{f' in cycle {delays}' if delays else ''}")


def _synthetic(report: dict[str, Any]) -> None:
    table = Table("fault", right("found"), right("median delay"))
    for kind, one in report["kinds"].items():
        table.add_row(kind, f"{one['found']} of {one['of']}", "-" if one["delay_s"] is None else duration(one["delay_s"]))
    Console().print(table)
    print(f"clean: {report['false_alarms']} false alarms in {report['device_weeks']} device-weeks, "
          f"{report['false_alarms_per_week']:.3f} a device and week; budget {report['budget_per_week']:g}")
