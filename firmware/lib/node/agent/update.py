"""The update: a table of states, and the thin runner that moves through it.

Decides what follows what; verify.py decides what is trusted, trial.py when it has proved itself, slots.py in which order flash
changes. A network failure never fails an update: what arrived stays and the next direction goes on. Only a verdict on the
release, or a flash that refuses, fails it, and that is reported until the server has heard.
"""

import gc

from node.agent import trial
from node.compat import const
from node.errors import CallerError, FlashError, FormatError, NetworkError, PeerError
from node.loading import Loaded

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.checkin import Server
    from node.agent.floors import Floors
    from node.agent.slots import Slots
    from node.hints import Any, Callable
    from node.ports import Clock, Files

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
MAX_ROOT_STEPS = const(64)   # in one update; a device asleep for years goes on at the next (The Update Framework, 5.3.3)


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
        trial_ms: time that a release on trial has to prove itself.
        acked: says whether the server's ack covers a batch of this boot.
        app_crashes: how often the app crashed since boot.
        restart: resets the board for a reason; does not return on a board.
        kept: what keep() of the Update before in this boot said.

    Attributes:
        state: one of the states above.
        failed: {"counter", "manifest", "reason"} of a failure that the server has not heard of, or None.
    """

    def __init__(self, boot: "dict[str, Any]", device: str, model: str, mpy: int, *, server: "Server", slots: "Slots",
                 files: "Files", floors: "Floors", clock: "Clock", trial_ms: int, acked: "Callable[[], bool]",
                 app_crashes: "Callable[[], int]", restart: "Callable[[str], object]", log: "Callable[[str, str], None]",
                 kept: "tuple[Any, ...] | None" = None) -> None:
        self._slot: str = boot["slot"]
        self._release: dict[str, Any] = boot["release"]
        self._device, self._model, self._mpy = device, model, mpy
        self._server, self._slots, self._files, self._floors, self._clock = server, slots, files, floors, clock
        self._trial_ms, self._acked, self._app_crashes = trial_ms, acked, app_crashes
        self._restart, self._log = restart, log
        self._checked_in = False   # this boot
        self._settled = False   # the boot record agrees with what was found healthy
        self.failed: dict[str, Any] | None = boot["failed"]
        self.state = TRIAL if boot["trial"] else FAILED if slots.failed_slot() is not None else IDLE
        if kept is not None:
            self.state, self.failed, self._checked_in, self._settled = kept

    def keep(self) -> "tuple[Any, ...]":
        """What the next Update of this boot must know, as its `kept`: this one may leave memory."""
        return self.state, self.failed, self._checked_in, self._settled

    def facts(self) -> "dict[str, Any]":
        """What the check-in tells of this device's software."""
        return {
            "device": self._device, "model": self._model, "release": self._release.get("release", "0.0.0"),
            "counter": self._counter(), "manifest": self._release.get("manifest", ""), "slot": self._slot,
            "trial": self.state == TRIAL, "failed": self.failed, "root": self._floors.root_version, "seq": self._floors.seq,
        }

    def checked_in(self) -> None:
        """A check-in with the present facts() was answered."""
        self._checked_in = True
        if self.state == TRIAL:
            return
        self._floors.raise_floor(self._counter())   # again, should power have gone between confirming and this
        if self.state in (FAILED, CONFIRMED):
            self._slots.forget_failed()
            self.failed = None
            self._to("reported")

    def tick(self) -> bool:
        """Judge a trial, settle the boot record. Call it about once a second.

        Returns:
            True when the server should hear news at once.

        Raises:
            FlashError: call again; nothing was decided.
        """
        uptime_ms = self._clock.ticks_ms()
        if self.state == TRIAL:
            verdict, reason = trial.judge(self._acked(), self._checked_in, self._app_crashes(), uptime_ms, self._trial_ms)
            if verdict == trial.CONFIRM:
                self._slots.confirm()
                self._floors.raise_floor(self._counter())   # only now: a floor raised earlier would forbid the way back
                self._settled = True
                self._to("proved")
                return True
            if verdict == trial.GIVE_UP:
                self._slots.ending(reason)
                self._to("given_up")
                self._restart(reason)
        elif not self._settled and uptime_ms >= HEALTHY_MS and self._checked_in and self._acked():
            self._slots.confirm()
            self._settled = True
        return False

    async def offered(self, raw: bytes, nonce: str) -> None:
        """Act on a direction: verify, fetch, stage, and restart into the trial.

        A release on trial is not replaced: the slot under it is the way back. Ends without an error whatever the server or
        the network did; the state and `failed` tell.

        Args:
            raw: the direction's envelope. nonce: of the check-in that it answers, in hex.
        """
        if self.state != IDLE:
            return
        self._to("offered")
        gc.collect()   # a manifest is the largest thing the agent ever holds
        named: dict[str, Any] = {"counter": 0, "manifest": ""}
        event = "interrupted"
        try:
            with Loaded():
                manifest = await self._believe(raw, nonce, named)
            self._to("accepted")
            self._log("fetching", manifest["release"])
            slot = self._slots.target()
            with Loaded():
                received = await self._fetch(slot, manifest)
            self._slots.finish(slot, {"release": manifest["release"], "counter": manifest["counter"], "model": self._model,
                                      "manifest": named["manifest"], "mpy": manifest["mpy"]})
            self._to("fetched")
            self._log("staged", "%s in %s, %d bytes" % (manifest["release"], slot, received))
            self._slots.begin_trial(slot)
            event = "switched"
        except NetworkError as error:
            self._log("update", str(error))
        except (PeerError, FormatError, FlashError) as error:
            event = "refused"
            self._log("update", str(error))
            if named["manifest"]:   # a direction that was not ours to believe is no news of a release
                self.failed = {"counter": named["counter"], "manifest": named["manifest"], "reason": error.code}
        finally:
            self._to(event)
        if self.state == TRIAL:
            self._restart("update")

    async def _believe(self, raw: bytes, nonce: str, named: "dict[str, Any]") -> "dict[str, Any]":
        """The manifest to install, every signature checked; `named` learns what the direction asks for on the way."""
        from node.agent.verify import Trust
        trust = Trust(self._files, self._device)
        try:
            for _ in range(MAX_ROOT_STEPS):
                following = await self._server.root(trust.root()["version"] + 1)
                if following is None:
                    break
                trust.follow(following)
            now_ms = self._clock.unix_ms()
            direction = trust.direction(raw, nonce, now_ms // 1000 if now_ms else None)
            named["manifest"] = direction["manifest"]
            envelope = await self._server.manifest(direction["manifest"])
            manifest = trust.manifest(envelope, direction["manifest"], self._model, self._counter(), self._mpy)
            named["counter"] = manifest["counter"]
            trust.consume(direction)
            return manifest
        finally:
            self._floors.load()

    async def _fetch(self, slot: str, manifest: "dict[str, Any]") -> int:
        from node.agent.download import fetch
        return await fetch(self._server, self._slots, slot, manifest, self._clock)

    def _counter(self) -> int:
        return self._release.get("counter", 0)   # type: ignore[no-any-return]

    def _to(self, event: str) -> None:
        self.state = step(self.state, event)
