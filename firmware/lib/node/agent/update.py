"""The update: a table of states, and what moves through it.

Decides what follows what; install.py fetches, verify.py decides what is trusted, trial.py when it has proved itself, slots.py in
which order flash changes. A network failure never fails an update: what arrived stays and the next direction goes on. Only a
verdict on the release, or a flash that refuses, fails it, and that is reported until the server has heard.
"""

import gc

from node.agent import trial
from node.compat import const
from node.errors import CallerError, FlashError, FormatError, NetworkError, PeerError
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.floors import Floors
    from node.agent.server import Server
    from node.agent.slots import Slots
    from node.hints import Any, Callable
    from node.ports import Clock, Deltas, Files, Images

IDLE = "idle"
DIRECTED = "directed"      # a direction came; nothing is believed yet
FETCHING = "fetching"      # direction and manifest are verified, files are on their way
STAGED = "staged"          # the slot is complete
TRIAL = "trial"            # the next boot, or this one, runs it
CONFIRMED = "confirmed"    # proved; the server is to hear of it
FAILED = "failed"          # refused, or rolled back; the server is to hear of it

TABLE = {
    (IDLE, "offered"): DIRECTED,
    (DIRECTED, "accepted"): FETCHING,
    (DIRECTED, "refused"): FAILED,
    (DIRECTED, "interrupted"): IDLE,
    (FETCHING, "fetched"): STAGED,
    (FETCHING, "refused"): FAILED,
    (FETCHING, "interrupted"): IDLE,
    (STAGED, "switched"): TRIAL,
    (STAGED, "refused"): FAILED,
    (STAGED, "interrupted"): IDLE,
    (TRIAL, "proved"): CONFIRMED,
    (TRIAL, "given_up"): FAILED,
    (CONFIRMED, "reported"): IDLE,
    (FAILED, "reported"): IDLE,
}

HEALTHY_MS = const(300000)   # of working uptime, then the crashes of earlier boots are forgotten
SAFE_MS = const(1800000)   # of safe mode, several check-ins; then the whole firmware is tried again: what made it crash may be gone


def step(state: str, event: str) -> str:
    """The state after an event.

    Raises:
        CallerError: `update.event`: the event cannot happen in this state.
    """
    after = TABLE.get((state, event))
    if after is None:
        raise CallerError("update.event", "%s while %s" % (event, state))
    return after


class Update:
    """The one update a device can be in.

    Args:
        boot: what boot.py says of this boot: {"slot", "trial", "release": {...}, "failed": None or {...}, ...}.
        device, model: who this is. mpy: version of the .mpy format that the interpreter reads.
        files: where the roots lie. floors: what must not sink.
        images: gives the port; None on a board whose image cannot be updated. Asked only when there is something to do with it.
        trial_ms: time that a release on trial has to prove itself.
        acked: says whether the server's ack covers a batch of this boot. stalled_ms: how long it has not moved on in this boot.
        app_crashes: how often the app crashed since boot.
        restart: resets the board for a reason; does not return on a board.
        deltas: what a board needs to apply one; None: all is fetched in full.
        kept: what keep() of the Update before in this boot said.

    Attributes:
        state: one of the states above.
        failed: {"counter", "manifest", "reason"} of a failure that the server has not heard of, or None.
    """

    def __init__(self, boot: "dict[str, Any]", device: str, model: str, mpy: int, *, slots: "Slots", files: "Files",
                 floors: "Floors", clock: "Clock", trial_ms: int, acked: "Callable[[], bool]",
                 stalled_ms: "Callable[[], int]", app_crashes: "Callable[[], int]",
                 restart: "Callable[[str], object]", log: "Callable[[str, str], None]",
                 images: "Callable[[], Images | None]", deltas: "Deltas | None" = None,
                 kept: "tuple[Any, ...] | None" = None) -> None:
        self._slot: str = boot["slot"]
        self._release: dict[str, Any] = boot["release"]
        self.device, self.model, self.mpy = device, model, mpy
        self.slots, self.files, self.floors, self.clock = slots, files, floors, clock
        self._trial_ms, self._acked, self._stalled_ms, self._app_crashes = trial_ms, acked, stalled_ms, app_crashes
        self._restart, self.log, self.images, self.deltas = restart, log, images, deltas
        self._checked_in = False   # this boot
        self._settled = False   # the boot record agrees with what was found healthy
        self.failed: dict[str, Any] | None = boot["failed"]
        self._safe = boot.get("safe", False)   # a stub of an earlier line knows no safe mode
        self.state = TRIAL if boot["trial"] else FAILED if self.failed is not None or slots.failed_slot() is not None else IDLE
        if kept is None:
            port = images()
            self._pending = port is not None and port.pending()   # the bootloader goes back unless this boot confirms the image
        else:
            self.state, self.failed, self._checked_in, self._settled, self._pending = kept

    def keep(self) -> "tuple[Any, ...]":
        """What the next Update of this boot must know, as its `kept`: this one may leave memory."""
        return self.state, self.failed, self._checked_in, self._settled, self._pending

    def facts(self) -> "dict[str, Any]":
        """What the check-in tells of this device's software."""
        return {
            "device": self.device, "model": self.model, "release": self._release.get("release", "0.0.0"),
            "counter": self.counter(), "manifest": self._release.get("manifest", ""), "slot": self._slot,
            "trial": self.state == TRIAL, "failed": self.failed, "root": self.floors.root_version, "seq": self.floors.seq,
        }

    def checked_in(self) -> None:
        """A check-in with the present facts() was answered."""
        self._checked_in = True
        if self.state == TRIAL:
            return
        self.floors.raise_floor(self.counter())   # again, should power have gone between confirming and this
        if self.state in (FAILED, CONFIRMED):
            self.slots.forget_failed()
            self.failed = None
            self.to("reported")

    def tick(self) -> bool:
        """Judge a trial, settle the boot record. Call it about once a second.

        Returns:
            True when the server should hear news at once.

        Raises:
            FlashError: call again; nothing was decided.
        """
        uptime_ms = self.clock.ticks_ms()
        if self.state == TRIAL:
            verdict, reason = trial.judge(self._acked(), self._checked_in, self._app_crashes(), uptime_ms, self._stalled_ms(),
                                          self._trial_ms)
            if verdict == trial.CONFIRM:
                if self._pending:   # the image first: a cut in between leaves a trial that goes on, not one that lost its image
                    self._confirm_image()
                self.slots.confirm()
                self.floors.raise_floor(self.counter())   # only now: a floor raised earlier would forbid the way back
                self._settled = True
                self.to("proved")
                return True
            if verdict == trial.GIVE_UP:
                self.slots.ending(reason)
                self.to("given_up")
                self._restart(reason)
        elif self._pending:   # power went between set_boot and begin_trial, or the trial's slot cannot run: go back
            self._restart("image not on trial")
        elif self._safe and uptime_ms >= SAFE_MS:
            self.slots.confirm()
            self._restart("safe mode is over")
        elif not self._settled and uptime_ms >= HEALTHY_MS and self._checked_in and self._acked():
            self.slots.confirm()
            self._settled = True
        return False

    async def offered(self, raw: bytes, nonce: str, server: "Callable[[], Server]") -> int:
        """Act on a direction: verify, fetch, stage, and restart into the trial (install.py).

        A release on trial is not replaced: the slot under it is the way back. Ends without an error whatever the server or
        the network did; the state and `failed` tell.

        Args:
            raw: the direction's envelope. nonce: of the check-in that it answers, in hex. server: makes one.

        Returns:
            Seconds for which the server asked us to stay away.
        """
        if self.state != IDLE or self._pending:   # pending: the other partition holds the only image that is confirmed
            return 0
        self.to("offered")
        gc.collect()   # a manifest is the largest thing the agent ever holds
        with Loaded():
            from node.agent.install import Install
            install = Install(self, server)
        named: dict[str, Any] = {"counter": 0, "manifest": ""}
        event = "interrupted"
        try:
            await install.run(raw, nonce, named)
            event = "switched"
        except NetworkError as error:
            self.log("update", str(error))
        except (PeerError, FormatError, FlashError) as error:
            event = "refused"
            self.log("update", str(error))
            if named["manifest"]:   # a direction that was not ours to believe is no news of a release
                self.failed = {"counter": named["counter"], "manifest": named["manifest"], "reason": error.code}
        finally:
            self.to(event)
        if self.state == TRIAL:
            self._restart("update")
        return install.retry_after_s

    def _confirm_image(self) -> None:
        try:
            self.images().confirm()   # type: ignore[union-attr]
        except OSError as error:
            raise FlashError("update.image", "confirm: %s" % error)
        self._pending = False

    def counter(self) -> int:
        """Of the running release."""
        return self._release.get("counter", 0)   # type: ignore[no-any-return]

    def to(self, event: str) -> None:
        """Something happened; CallerError when it cannot in this state."""
        self.state = step(self.state, event)
