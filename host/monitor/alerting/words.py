"""What a notice says, for people and for machines. From values only."""

import hashlib
import math
from typing import Any

from host.monitor.alerting.engine import SHOWN, Notice
from host.monitor.alerting.group import Kind, Level
from host.monitor.alerting.rules import labels_of

WORDS = {Kind.CHANGED: "changed", Kind.EASED: "outage over", Kind.REPEAT: "still firing", Kind.RESOLVED: "resolved"}


def alert_id(notice: Notice) -> str:
    """Name an alert: the same for its beginning, its changes and its end, so that a receiver can put them together."""
    return hashlib.sha256(f"{notice.rule}\n{notice.group}".encode()).hexdigest()[:16]


def group_name(key: str) -> str:
    """Name a group for people; "" for that of a rule without `group_by`."""
    return ", ".join(f"{label}={value}" for label, value in labels_of(key).items())


def title(notice: Notice) -> str:
    """Say it in one line, e.g. `critical: device-offline site=nord, outage`."""
    words = " ".join(part for part in (notice.rule, group_name(notice.group)) if part)
    firing = "outage" if notice.level is Level.WIDE else "firing"
    what = WORDS.get(notice.kind, firing)
    return f"{notice.severity}: {words}, {what}"


def text(notice: Notice) -> str:
    """Say it in some lines: the rule's message, what ended, what was given up."""
    lines = [message(notice)]
    if notice.over:
        lines.append("over: " + ", ".join(notice.over))
    if notice.lost:
        lines.append("given up, no samples for too long (not known to be well): " + ", ".join(notice.lost))
    if notice.flapping:
        lines.append("it comes and goes: notices of it are sent less often")
    return "\n".join(lines)


def message(notice: Notice) -> str:
    """Fill in the rule's template; an end has its own words, with members only where an outage leaves some behind."""
    names = ", ".join(notice.names) + (f" and {notice.firing - SHOWN} more" if notice.firing > SHOWN else "")
    if notice.kind is Kind.RESOLVED:
        return f"over, but not for {notice.firing} of {notice.total}: {names}" if notice.firing else notice.note or "over"
    fields: dict[str, object] = dict(labels_of(notice.group))
    fields |= {
        "rule": notice.rule, "severity": notice.severity, "count": notice.firing, "total": notice.total, "members": names,
        "group": group_name(notice.group), "value": "unknown" if notice.value is None else f"{notice.value:.6g}",
    }
    return notice.message.format_map(fields)   # the fields were checked when the rule was read


def body(notice: Notice) -> dict[str, Any]:
    """Say it to machines; host/DESIGN.md explains the keys. `id` is added when it is sent."""
    return {
        "kind": f"alert.{notice.kind.value}", "alert": alert_id(notice), "at_ms": notice.at_ms, "since_ms": notice.since_ms,
        "rule": notice.rule, "severity": notice.severity, "level": notice.level.value, "labels": labels_of(notice.group),
        "firing": notice.firing, "total": notice.total, "value": _json(notice.value),
        "members": [{"name": name, "value": _json(value)} for name, value in zip(notice.names, notice.values, strict=True)],
        "over": list(notice.over), "lost": list(notice.lost), "flapping": notice.flapping,
        "title": title(notice), "text": text(notice),
    }


def _json(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None
