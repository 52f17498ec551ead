"""What a running demo shows: plain values that the story fills in and the command line draws. Holds no logic and no I/O."""

import time
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """How far a step of the story is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Step:
    """One line of the story. Times are `time.monotonic()` seconds."""

    title: str
    state: State = State.WAITING
    detail: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return (self.ended_s or time.monotonic()) - self.started_s if self.started_s else 0.0


@dataclass
class DeviceFace:
    """One device as people see it: release it runs, whether it is connected, on trial, powered."""

    release: str = ""
    online: bool = False
    trial: bool = False
    powered: bool = True
    rolled_back: bool = False


@dataclass
class RolloutFace:
    """One rollout: its stages in percent, the one it is in, and how it stands."""

    release: str
    state: str
    stages: list[float]
    stage: int
    confirmed: int
    total: int
    note: str = ""


@dataclass
class Promise:
    """One line of the closing table."""

    text: str
    happened: str
    kept: bool


@dataclass
class View:
    """All that is shown. The story writes, the display reads; both run in one thread."""

    steps: list[Step] = field(default_factory=list)
    devices: dict[str, DeviceFace] = field(default_factory=dict)
    rollouts: list[RolloutFace] = field(default_factory=list)
    readings_stored: int = 0
    readings_per_s: float = 0.0
    bytes_per_reading: float = 0.0
    restarts: int = 0
    console_url: str = ""
    notes: list[str] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)
