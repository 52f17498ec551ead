"""Whether a configuration may be delivered, when a device is sent one, and what it reports of it.

Decides from values only. A configuration is named by the first bytes of its SHA-256; a device tries it and tells what became of it.
"""

import json
from dataclasses import dataclass

from node.agent.reconfigure import name_of
from node.config import DELIVERED, parse
from node.errors import CallerError
from node.settings import Config
from node.wire.limits import MAX_CONFIG_BYTES

GROUND = b'{"host":"any","product":"any","model":"any","channels":[{"name":"any"}]}'   # a site.json that a delivered part lies on


def checked(raw: bytes) -> tuple[str, str]:
    """Check a configuration as the device will, and that it holds nothing which no device would take.

    Returns:
        (its name, the text that is sent: without spaces, plain ASCII).

    Raises:
        CallerError: `config.json`, `config.value`, `config.key`, `config.size`.
    """
    if not raw:   # to `parse` that means: none is delivered
        raise CallerError("config.json", "got nothing, expected an object")
    parse(GROUND, Config(), raw)
    said = json.loads(raw)
    foreign = sorted(set(said) - set(DELIVERED))
    if foreign or not said:
        raise CallerError("config.key", f"got {', '.join(foreign) or 'nothing'}, expected some of {', '.join(DELIVERED)}")
    text = json.dumps(said, separators=(",", ":"))
    if len(text) > MAX_CONFIG_BYTES:
        raise CallerError("config.size", f"got {len(text)} bytes, expected at most {MAX_CONFIG_BYTES}")
    return name_of(text.encode()), text


@dataclass(frozen=True)
class ConfigState:
    """What a device says of its configuration.

    Attributes:
        name: of the delivered one that it runs on; "": as the line left it.
        trial: that one has not proved itself yet.
        failed: name of one that it gave up or refused, as long as it has something to tell; reason: why.
    """

    name: str = ""
    trial: bool = False
    failed: str = ""
    reason: str = ""


LINES = ConfigState()   # nothing was ever delivered


def is_due(wanted: str, failed: str, state: ConfigState) -> bool:
    """Whether to send the wanted configuration now: not again what failed, until an operator says so again.

    Args:
        wanted: the name, "" for none. failed: the name of the last one that failed on this device.
    """
    return bool(wanted) and wanted not in (state.name, failed, state.failed) and not state.trial


def events(before: ConfigState, after: ConfigState) -> list[tuple[str, str, str]]:
    """What happened between two reports: (event, name, reason); events are failed, trial and runs."""
    happened = [("failed", after.failed, after.reason)] if after.failed and after.failed != before.failed else []
    if (before.name, before.trial) != (after.name, after.trial):
        happened.append(("trial" if after.trial else "runs", after.name, ""))
    return happened
