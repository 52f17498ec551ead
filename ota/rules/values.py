"""The nouns that the rules decide over, as plain values. Times are Unix seconds; counters are release counters.

Holds no behaviour beyond reading its own fields: `rollout`, `attempts`, `gate` and `paths` decide, `ota.store` keeps rows.
What a check-in makes anew is a named tuple: a frozen dataclass takes several times as long to make.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NamedTuple


class RolloutState(StrEnum):
    """Where a rollout stands; `rollout.TRANSITIONS` tells what leads where."""

    DRAFT = "draft"
    PLANNED = "planned"    # starts by itself at the policy's start_at
    RUNNING = "running"
    PAUSED = "paused"      # by an operator
    HALTED = "halted"      # by the gate
    DONE = "done"          # every active device runs it; those that wake or join later are still offered it
    ABORTED = "aborted"


ACTIVE = (RolloutState.RUNNING, RolloutState.PAUSED)   # judged by the gate; devices belong to the first such that fits


class AttemptState(StrEnum):
    """How far one device has come in one rollout."""

    OFFERED = "offered"      # a direction was given; the device downloads, or sleeps, or is gone: unknown until the lease ends
    TRIAL = "trial"          # it runs the new release, unconfirmed
    CONFIRMED = "confirmed"  # it runs the new release and says so itself
    FAILED = "failed"        # it came back from the new release, or never got there in time
    LOST = "lost"            # the lease ended and the device has not been heard since
    SUPERSEDED = "superseded"   # it moved on to a newer release; says nothing about this one


OPEN = (AttemptState.OFFERED, AttemptState.TRIAL)


@dataclass(frozen=True)
class Way:
    """A delta that a manifest names.

    Attributes:
        target: "artifact" or "image". base: SHA-256 in hex of what it starts from.
        delta: its own. size_bytes: the delta's.
    """

    target: str
    base: str
    delta: str
    size_bytes: int


@dataclass(frozen=True)
class Load:
    """What there is to download of a release: bundle, image if it brings one, and the deltas that make either.

    Attributes:
        artifact, image: SHA-256 in hex. artifact_bytes, image_bytes: when fetched whole.
    """

    artifact: str
    artifact_bytes: int
    image: str | None = None
    image_bytes: int = 0
    ways: tuple[Way, ...] = ()


@dataclass(frozen=True)
class Release:
    """What the rules need of a signed manifest; `manifest` is the SHA-256 of the whole envelope, in hex.

    Attributes:
        load: None where nobody plans with it; it does not tell releases apart.
    """

    manifest: str
    release: str
    counter: int
    models: tuple[str, ...]
    from_lo: int
    from_hi: int
    stone: bool = False
    load: Load | None = field(default=None, compare=False)


class Report(NamedTuple):
    """What a device says of itself at a check-in.

    Attributes:
        failed_manifest: the manifest that it fell back from and has not told yet; empty when there is none.
        config_trial: it is trying a configuration.
    """

    device: str
    model: str
    release: str
    counter: int
    manifest: str
    trial: bool
    failed_manifest: str = ""
    failed_reason: str = ""
    config_trial: bool = False


@dataclass(frozen=True)
class Labels:
    """What operators say of a device; never its own word.

    Attributes:
        site: where it stands; "" is nowhere in particular.
        tags: sorted.
        zone: IANA name of the site's time zone.
    """

    site: str = ""
    tags: tuple[str, ...] = ()
    zone: str = "UTC"


class Attempt(NamedTuple):
    """One device in one rollout.

    Attributes:
        manifest, counter: the step under way: the rollout's release, or a stepping stone on the path to it.
        first_s: when the current try of this step was first offered; bounds how long a device may take.
        lease_until_s: silence past this means lost.
        confirmed_s: when the rollout's own release was confirmed; 0 while it is not.
        settled_s: when it last became failed or lost, or told that what came was altered; 0 before.
    """

    device: str
    manifest: str
    counter: int
    state: AttemptState
    stage: int
    first_s: float
    lease_until_s: float
    confirmed_s: float = 0.0
    settled_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Failures:
    """How often one device has come back from one release; kept across rollouts."""

    count: int = 0
    last_s: float = 0.0


@dataclass(frozen=True)
class Tags:
    """At least one of `any`, if that names some; none of `none`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Devices that fit each part; a part that names nothing fits all.

    Attributes:
        models: some of the release's.
        sites: where they stand, any of these.
        versions: lowest and highest release counter that they run, both inclusive.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    models: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    tags: Tags = Tags()
    versions: tuple[int, int] | None = None


@dataclass(frozen=True)
class Policy:
    """What an operator chooses for a rollout. Checked by `rollout.check_policy`.

    Attributes:
        stages: shares of the fleet in percent, rising, the last is 100.
        soak_s: how long each stage's devices must stay healthy, one value a stage.
        lease_s: a device that was offered the release and then is silent for this long counts as lost.
        min_reports: healthy devices that a stage needs; a stage with fewer devices needs all of them.
        retry_s: a device that came back from the release is not offered it again before this.
        quarantine_after: after so many failures a device is not offered the release any more.
        active_s: devices silent for longer are asleep: not counted in the fleet, and offered the release when they wake.
        max_failure_pct: share of devices that may come back from the release, and of devices that may be lost.
        failure_alpha: chance that a release within that is ever halted by failures or losses, however often it is looked at.
        min_confirm_pct: share of the devices touched that must have confirmed before a stage passes.
        worse_ratio: crashes, drops, resets, traffic and silence may be so many times those of the rest of the fleet.
        spread: standard deviation of the devices' own rates over their mean; small stages are allowed more by it.
        worse_alpha: chance that a release within that is ever halted by comparison.
        min_events: fewer events than this never count against a release: a single crash is an anecdote.
        filter: which devices the rollout is for.
        windows: weekly times at which something new may be offered, e.g. "mon-fri 22:00-05:00", each by the clock of the
            device's site; none: at any time.
        start_at: Unix seconds at which a rollout that was told to start does so; 0: at once.
        not_after: Unix seconds from which nothing new is offered; 0: no end.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}   # read from settings and requests: no unknown keys

    stages: tuple[float, ...] = (1, 5, 10, 100)
    soak_s: tuple[float, ...] = (86_400, 172_800, 259_200, 259_200)
    lease_s: float = 86_400
    min_reports: int = 10
    retry_s: float = 3_600
    quarantine_after: int = 2
    active_s: float = 604_800
    max_failure_pct: float = 0.2
    failure_alpha: float = 0.008
    min_confirm_pct: float = 80.0
    worse_ratio: float = 2.0
    spread: float = 2.0
    worse_alpha: float = 0.002
    min_events: int = 3
    filter: Filter = Filter()
    windows: tuple[str, ...] = ()
    start_at: float = 0.0
    not_after: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """A release on its way through the fleet.

    Attributes:
        ident: names the rollout and fixes every device's bucket in it.
        stage: index into `policy.stages`.
        stage_since_s: when this stage opened.
        excused_s: failures before this are not counted: an operator has looked at them and resumed.
        population: devices that the rollout is about, counted at the last tick: active, behind the release and able to reach
            it, and all that have an attempt.
        capacity: how many devices this stage may offer the release to, in all.
        limit: buckets below this belong to the stage.
        offered: devices that have an attempt.
        added_s: when it was added.
    """

    ident: str
    release: Release
    policy: Policy
    state: RolloutState = RolloutState.DRAFT
    stage: int = 0
    stage_since_s: float = 0.0
    excused_s: float = 0.0
    population: int = 0
    capacity: int = 0
    limit: int = 0
    offered: int = 0
    reason: str = ""
    added_s: float = 0.0

    @property
    def is_last(self) -> bool:
        return self.stage == len(self.policy.stages) - 1


@dataclass(frozen=True)
class Counts:
    """How the devices of a rollout stand now.

    Attributes:
        open: offered or in trial, lease running: unknown.
        confirmed: on the release and heard within the lease.
        soaked: of these, healthy for the stage's whole soak.
        failed, lost: since the last excuse.
        soaking: confirmed devices that have not soaked; only counted in the last stage.
        waiting: active devices behind the release that it was not offered to yet; only counted in the last stage.
        next_soaked_s: when the soak of the device that completes the needed number ends; 0 when too few are confirmed.
    """

    open: int = 0
    confirmed: int = 0
    soaked: int = 0
    failed: int = 0
    lost: int = 0
    soaking: int = 0
    waiting: int = 0
    next_soaked_s: float = 0.0

    @property
    def touched(self) -> int:
        """Devices that were offered the release, whatever has become of them."""
        return self.open + self.confirmed + self.failed + self.lost


@dataclass(frozen=True)
class Presence:
    """How many devices of a rollout's models are heard, on its release (`here`) and on anything else (`rest`).

    Attributes:
        here, rest: active ones.
        here_heard, rest_heard: of these, heard within the last quarter of a lease.
        rest_silent: on anything else, heard since the rollout began (or was resumed) and then silent for a lease.
        fleet: all that were heard since then, here and there.
    """

    here: int = 0
    here_heard: int = 0
    rest: int = 0
    rest_heard: int = 0
    rest_silent: int = 0
    fleet: int = 0


@dataclass(frozen=True)
class Exposure:
    """What a group of devices went through while being watched; sums over devices.

    Attributes:
        seconds: device-seconds of up-time.
        events: sums by metric name, e.g. {"drops": 3}.
    """

    seconds: float = 0.0
    events: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """What the comparisons know at a look, kept until the next; `gate.gather` adds to it.

    Attributes:
        at_s: time of the look.
        stage, rest: the running sums then.
        logs: logarithms of the evidence, by check and alternative (`sequential.RATIOS`).
    """

    at_s: float
    stage: Exposure
    rest: Exposure
    logs: dict[str, tuple[float, ...]] = field(default_factory=dict)
