"""What a lot has come to, out of a station's journal: each board's story, yield, first-pass yield, faults by step. Pure.

A board counts once, by its MAC address, however often it was plugged in. First-pass: it was done without a step that failed, in one
plugging. What a board took is the time of its steps, failed ones among them, not the time it lay about.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioning.rules.line import Event, Step

HELD, SET_ASIDE, DONE, OPEN = "held", "faulty", "done", "open"
ENDS = {Step.DONE: DONE, Step.HOLD: HELD, Step.FAULT: SET_ASIDE}


@dataclass
class Story:
    """One board.

    Attributes:
        state: "done", "held" (good, but the ledger took no record), "faulty" or "open" (began, and did not end).
        seconds: that its steps took. pluggings: how often it came. faults: step -> code and message of its last failure there.
        unsettled: born under an allowance, and the ledger has not heard of it yet. numbers: of its last self-test.
        key: its public key, "" without one.
    """

    mac: str
    device: str = ""
    port: str = ""
    state: str = OPEN
    at: int = 0
    seconds: float = 0.0
    pluggings: int = 0
    failures: int = 0
    key: str = ""
    recorded: bool = False
    unsettled: bool = False
    faults: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def is_first_pass(self) -> bool:
        return self.state == DONE and not self.failures


@dataclass(frozen=True)
class Tally:
    """A lot's figures; shares are 0..1, None while nothing is decided."""

    boards: int
    done: int
    faulty: int
    held: int
    first_pass: int
    seconds: float | None
    faults: Mapping[str, int]

    @property
    def yielded(self) -> float | None:
        """Of the boards that ended as done or faulty, how many are done."""
        return self.done / (self.done + self.faulty) if self.done + self.faulty else None

    @property
    def first_pass_yield(self) -> float | None:
        return self.first_pass / (self.done + self.faulty) if self.done + self.faulty else None


def stories(entries: Iterable[Mapping[str, Any]]) -> dict[str, Story]:
    """Each board's story, by MAC address, in the order of their first coming."""
    found: dict[str, Story] = {}
    for entry in entries:
        if not entry.get("mac"):
            continue
        story = found.setdefault(entry["mac"], Story(entry["mac"]))
        _go_on(story, entry)
    return found


def tally(boards: Iterable[Story]) -> Tally:
    """Count."""
    counted = list(boards)
    states = Counter(story.state for story in counted)
    faults = Counter(step for story in counted for step in story.faults)
    done = [story for story in counted if story.state == DONE]
    return Tally(len(counted), states[DONE], states[SET_ASIDE], states[HELD], sum(story.is_first_pass for story in counted),
                 sum(story.seconds for story in done) / len(done) if done else None, dict(faults))


def _go_on(story: Story, entry: Mapping[str, Any]) -> None:
    memory = entry.get("memory", {})
    story.at, story.port = entry.get("at", story.at), entry.get("port", story.port)
    story.device = entry.get("device") or story.device
    story.key, story.recorded = memory.get("key", story.key), memory.get("recorded", story.recorded)
    if entry["what"] == "plugged":
        story.pluggings += 1
        if story.state != DONE:
            story.state = OPEN
    if entry["what"] in ("allowed", "settled"):
        story.unsettled = entry["what"] == "allowed"
    if entry["what"] == "settled" and entry["code"]:   # labelled, and yet no device of ours
        story.state, story.faults[Step.RECORD] = SET_ASIDE, f"{entry['code']}: {entry['message']}"
        story.failures, story.recorded = story.failures + 1, False
    if "event" not in entry:
        return
    story.seconds += entry.get("took_s", 0.0)
    story.numbers = dict(entry.get("numbers", story.numbers))
    if entry["event"] in (Event.FAILED, Event.REFUSED, Event.KEYLESS, Event.GONE):
        story.failures += 1
        if entry["event"] != Event.GONE:
            story.faults[entry.get("step", Step.DETECT)] = f"{entry.get('code', '')}: {entry.get('message', '')}"
    story.state = ENDS.get(entry.get("to"), story.state)   # type: ignore[arg-type]   # a step's name, or nothing
