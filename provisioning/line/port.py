"""One port of a line, and the board in it taken through the table of `provisioning.rules.line`.

Decides nothing that the rules decide: it does a step, tells the rules how it ended, and has the line write down what they say
before it goes on. One thread a port.
"""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from node.wire.identity import device_id
from provisioning.errors import ProvisioningError
from provisioning.line import flashing, label, ports, prompt
from provisioning.line.bench import CLOSED, REFUSED, Face, Line
from provisioning.line.books import AwayError
from provisioning.line.station import Announcement, want_proof
from provisioning.rules import line as rules
from provisioning.rules import selftest
from provisioning.rules.line import Event, Place, Step

LOOK_S = 0.5     # between looks whether a board was plugged in or pulled out
AGAIN_S = 10.0   # between questions to a ledger that did not answer


class Port:
    """One port and the board in it."""

    def __init__(self, line: Line, port: str) -> None:
        self._line, self._port = line, port
        self._place = Place()
        self._mac = ""
        self._announced: Announcement | None = None
        self._retry_at_s: float | None = None
        self._erasable = False
        self._face = line.faces[port] = Face(port)

    def run(self) -> None:
        """Until the line is stopped. A step under way is finished."""
        while not self._line.stop.is_set():
            self.look()
        self._forget()

    def look(self) -> None:
        """Do the next thing: a step, or a look after some rest whether a board came or went."""
        if self._place.step in rules.WORKING:
            self._work()
            return
        self._line.stop.wait(LOOK_S)
        is_there = self._is_there()
        if self._place.step is Step.EMPTY:
            if is_there:
                self._show(since_s=time.monotonic(), message="", device="", part=0.0)
                self._move(Event.PLUGGED)
        elif not is_there:
            self._move(Event.GONE)
        elif self._retry_at_s is not None and time.monotonic() >= self._retry_at_s:
            self._retry_at_s = None
            self._move(Event.AGAIN)

    def _is_there(self) -> bool:
        return "://" in self._port or Path(self._port).exists()

    def _work(self) -> None:
        began_s = time.monotonic()
        event, more = self._attempt()
        step = self._place.step   # FLASH has become VERIFY meanwhile
        if step is not Step.DETECT and self._mac:
            numbers = {"numbers": more.pop("numbers")} if "numbers" in more else {}
            memory = rules.ended(self._line.memory(self._mac), step, event, key=more.get("key", ""),
                                 image=self._line.order.image.sha256)
            after = rules.move(self._place, event).step
            if after is Step.FAULT:
                memory = rules.set_aside(memory)
            self._line.remember(self._mac, memory, "ended", step=step, event=event, to=after,
                                took_s=round(time.monotonic() - began_s, 3), port=self._port, device=self._device,
                                code=more.get("code", ""), message=more.get("message", ""), **numbers)
        elif self._mac or event not in (Event.GONE,):
            self._line.journal.append({
                "what": "detected", "at": self._line.now_s(), "mac": self._mac, "event": event, "port": self._port,
                "to": rules.move(self._place, event).step, "code": more.get("code", ""), "message": more.get("message", "")})
        self._show(message=more.get("message", ""))
        self._move(event)

    def _attempt(self) -> tuple[Event, dict[str, str]]:
        """How a step ends, and what there is to say of it."""
        actions = {Step.DETECT: self._detect, Step.FLASH: self._flash, Step.TEST: self._test, Step.KEY: self._key,
                   Step.READ_BACK: self._read_back, Step.RECORD: self._record, Step.LABEL: self._label}
        try:
            return actions[self._place.step]()
        except ProvisioningError as error:
            said = {"code": error.code, "message": error.message}
            if not self._is_there() or error.code == "line.swapped":
                return Event.GONE, said
            if self._place.step is Step.RECORD and error.code in CLOSED:
                self._line.closed.set()
                return Event.CLOSED, said
            return (Event.REFUSED if error.code in REFUSED else Event.FAILED), said

    def _detect(self) -> tuple[Event, dict[str, str]]:
        found = ports.ask(self._port, contents=False)
        if found.fault is not None:
            raise found.fault
        order = self._line.order
        if found.chip != order.image.chip:
            self._mac = found.mac.replace(":", "")
            raise ProvisioningError("board.chip", f"{self._port}: got a board with {found.chip}, expected {order.image.chip}: the "
                                                  "image of this lot is for that")
        mac = found.mac.replace(":", "")
        if mac != self._mac:
            self._forget()
            self._line.take(mac)
            self._mac = mac
        self._show(device=self._device)
        memory = self._line.memory(mac)
        self._erasable = False   # unless the ledger has said so
        with suppress(AwayError):
            born = self._line.books.born(self._device, self._line.now_s())
            self._erasable = born is None or born.may_change
            memory = rules.told(memory, born.key if born else None, may_change=born is not None and born.may_change)
        self._line.remember(mac, memory, "plugged", port=self._port, device=self._device, chip=found.chip)
        return rules.known(memory, order.image.sha256), {}

    def _flash(self) -> tuple[Event, dict[str, str]]:
        """Writes and verifies; when it comes to verifying, the step is VERIFY."""
        self._line.remember(self._mac, rules.began(self._line.memory(self._mac), Step.FLASH), "flashing")

        def progress(done: flashing.Progress) -> None:
            if done.phase == "verify" and self._place.step is Step.FLASH:
                self._move(Event.OK)
            self._show(part=done.done / done.total if done.total else 0.0)

        flashing.flash(self._port, self._line.order.image, mac=self._colons, erase_identity=self._erasable, progress=progress)
        return Event.OK, {}

    def _test(self) -> tuple[Event, dict[str, str]]:
        measured = prompt.measure(self._port, self._line.kit, self._line.order.site)
        self._want_same(measured.mac)
        faults = selftest.judge(measured, self._line.order.limits)
        said: dict[str, object] = {"numbers": dict(measured.numbers)}
        if faults:
            said |= {"code": "line.test", "message": "; ".join(faults)}
        return (Event.FAILED if faults else Event.OK), said   # type: ignore[return-value]

    def _key(self) -> tuple[Event, dict[str, str]]:
        announced = self._announce(make=True)
        if announced is None:
            raise ProvisioningError("board.prompt", f"{self._port}: the board made no key and did not say why")
        return Event.OK, {"key": announced.key}

    def _read_back(self) -> tuple[Event, dict[str, str]]:
        self._announced = self._announce(make=False)
        event = rules.shown(self._line.memory(self._mac), self._announced.key if self._announced else None)
        if event is Event.OK:
            return event, {}
        return event, {"code": "line.key_lost", "message": f"{self._device} does not hold the key that it showed"}

    def _record(self) -> tuple[Event, dict[str, str]]:
        memory = self._line.memory(self._mac)
        if memory.recorded:
            return Event.OK, {}
        if self._announced is None or self._announced.key != memory.key:
            raise ProvisioningError("line.key_lost", f"{self._device}: its key was not read back")
        raw = self._line.pen.record(self._announced, self._line.now_s())
        self._line.remember(self._mac, rules.offered(memory), "offered", device=self._device, record=raw.hex())
        try:
            self._line.books.append(self._line.order.lot, raw, self._line.now_s())
        except AwayError as error:
            if self._line.allow(self._announced, self._mac):
                return Event.OK, {"message": "born without the ledger: to be settled"}
            self._retry_at_s = time.monotonic() + AGAIN_S
            return Event.AWAY, {"code": "line.away", "message": f"the ledger does not answer: {error}"}
        return Event.OK, {}

    def _label(self) -> tuple[Event, dict[str, str]]:
        folder = self._line.folder / "labels"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            (folder / f"{self._device}.png").write_bytes(label.png(self._device))
            (folder / f"{self._device}.zpl").write_text(label.zpl(self._device), encoding="utf-8")
        except OSError as error:
            raise ProvisioningError("line.label", f"{folder}: {error.strerror}; make room there") from None
        return Event.OK, {}

    def _announce(self, *, make: bool) -> Announcement | None:
        """The board's key; None when it has none. The board is the one that was detected, and it holds the key."""
        order = self._line.order
        announced = prompt.announce(self._port, self._line.kit, order.product, order.model, make=make)
        if announced is not None:
            self._want_same(announced.device.rpartition("-")[2])
            want_proof(announced)
        return announced

    def _want_same(self, mac: str) -> None:
        if mac != self._mac:
            raise ProvisioningError("line.swapped", f"{self._port}: got board {mac}, expected {self._mac}: it was changed for "
                                                    "another")

    @property
    def _device(self) -> str:
        return device_id(self._line.order.product, bytes.fromhex(self._mac)) if self._mac else ""

    @property
    def _colons(self) -> str:
        return bytes.fromhex(self._mac).hex(":")

    def _move(self, event: Event) -> None:
        self._place = rules.move(self._place, event)
        self._show(step=self._place.step)
        if self._place.step is Step.EMPTY:
            self._forget()
            self._announced, self._retry_at_s = None, None

    def _forget(self) -> None:
        if self._mac:
            self._line.leave(self._mac)
            self._mac = ""

    def _show(self, **changes: object) -> None:
        self._face = self._line.faces[self._port] = replace(self._face, **changes)   # type: ignore[arg-type]
