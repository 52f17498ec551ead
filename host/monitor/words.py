"""What the update server's API says of check-ins, as facts.

Decides what a row must hold; a row that does not is left out, so that a newer server or a broken one costs figures and no page.
Asks nobody: console and command line do, each in its own way.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from host.monitor.facts import Told, Totals

DEVICES_PATH, TOTALS_PATH = "/admin/metrics/devices", "/admin/metrics/totals"
PAGE = 500   # devices in one answer, the server's most


def told_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Told]:
    """Rows of DEVICES_PATH, by device."""
    found = {}
    for row in rows:
        device, at_s = row.get("device"), row.get("last_seen_s")
        if isinstance(device, str) and isinstance(at_s, int | float):
            found[device] = Told(
                device, _text(row, "model"), _text(row, "site"), _text(row, "release"), round(at_s * 1000),
                _numbers(row.get("metrics")))
    return found


def totals_of(rows: Iterable[Mapping[str, Any]]) -> list[Totals]:
    """Rows of TOTALS_PATH."""
    return [Totals(_text(row, "release"), _text(row, "model"), _text(row, "site"), _numbers(row.get("totals"))) for row in rows]


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _numbers(values: object) -> dict[str, int]:
    if not isinstance(values, Mapping):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
