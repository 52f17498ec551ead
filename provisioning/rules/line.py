"""What the production line does next with the board at one port, and what it still knows of a board that comes back.

Pure. `TABLE` is the whole machine: (step, event) -> step. Work that fails is tried again until a step was begun `BEGUN` times since
the board came; then the board is set aside. What lives longer than a plugged cable is a board's `Memory`, kept by its MAC address:
it is changed by `began` and `ended` alone, and the station writes it down before it goes on. Once a birth record was offered to the
ledger, the board is never flashed again by this line: a second key would be a second identity.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Step(StrEnum):
    """Where a port is. From DETECT to LABEL there is work to do; at the others it waits."""

    EMPTY = "empty"          # no board
    DETECT = "detect"        # which chip, which MAC address; what is known of it
    FLASH = "flash"
    VERIFY = "verify"        # the flash is read back
    TEST = "test"            # sensors, radio, flash, memory, clock, random source
    KEY = "key"              # made on the board, with the radio on
    READ_BACK = "read-back"  # after a reset the board proves that it holds the key that it showed
    RECORD = "record"        # birth record, signed by the station, into the ledger
    LABEL = "label"
    DONE = "done"
    HOLD = "hold"            # good board, key on it, but the ledger does not take its record now
    FAULT = "fault"          # set aside: needs a person, or another try after it was taken out


class Event(StrEnum):
    """What happens to a port."""

    PLUGGED = "plugged"
    GONE = "gone"            # cable or plug pulled
    OK = "ok"
    FAILED = "failed"        # may go better next time
    REFUSED = "refused"      # will not go better: wrong chip, a key that is not the board's
    NEW = "new"              # detected, and nothing that is known of it saves any work
    FLASHED = "flashed"      # ... its flash was verified
    TESTED = "tested"        # ... it has passed its test too
    KEYED = "keyed"          # ... it has shown a key
    FINISHED = "finished"    # ... it is done
    KEYLESS = "keyless"      # it does not hold the key any more that it showed; nobody knows of that key
    CLOSED = "closed"        # the lot is full or over, or its station revoked
    AWAY = "away"            # the ledger does not answer, and no allowance is left
    AGAIN = "again"          # time to ask the ledger again


WORKING = (Step.DETECT, Step.FLASH, Step.VERIFY, Step.TEST, Step.KEY, Step.READ_BACK, Step.RECORD, Step.LABEL)

TABLE: dict[tuple[Step, Event], Step] = {
    (Step.EMPTY, Event.PLUGGED): Step.DETECT,
    (Step.DETECT, Event.NEW): Step.FLASH,
    (Step.DETECT, Event.FLASHED): Step.TEST,
    (Step.DETECT, Event.TESTED): Step.KEY,
    (Step.DETECT, Event.KEYED): Step.READ_BACK,
    (Step.DETECT, Event.FINISHED): Step.DONE,
    (Step.FLASH, Event.OK): Step.VERIFY,
    (Step.VERIFY, Event.OK): Step.TEST,
    (Step.VERIFY, Event.FAILED): Step.FLASH,
    (Step.TEST, Event.OK): Step.KEY,
    (Step.KEY, Event.OK): Step.READ_BACK,
    (Step.READ_BACK, Event.OK): Step.RECORD,
    (Step.READ_BACK, Event.KEYLESS): Step.FLASH,
    (Step.RECORD, Event.OK): Step.LABEL,
    (Step.RECORD, Event.CLOSED): Step.HOLD,
    (Step.RECORD, Event.AWAY): Step.HOLD,
    (Step.LABEL, Event.OK): Step.DONE,
    (Step.HOLD, Event.AGAIN): Step.READ_BACK,
    **{(step, Event.FAILED): step for step in WORKING if step is not Step.VERIFY},
    **{(step, Event.REFUSED): Step.FAULT for step in WORKING},
    **{(step, Event.GONE): Step.EMPTY for step in Step},
}

# How often a step is begun with a board, from plugging in to pulling out. Flashing thrice: a bad sector shows itself again, a bad
# contact mostly does not. Testing twice: what fails at random would fail in the field too.
BEGUN = {Step.DETECT: 3, Step.FLASH: 3, Step.VERIFY: 3, Step.TEST: 2, Step.KEY: 3, Step.READ_BACK: 3, Step.RECORD: 3, Step.LABEL: 3}


@dataclass(frozen=True)
class Place:
    """A port's step, and how often each was begun with the board that is in it."""

    step: Step = Step.EMPTY
    begun: Mapping[Step, int] = field(default_factory=dict)


def move(place: Place, event: Event) -> Place:
    """The next place.

    Raises:
        KeyError: this event cannot happen at this step; a fault of the caller.
    """
    step = TABLE[place.step, event]
    if event in (Event.PLUGGED, Event.GONE, Event.AGAIN):
        begun: dict[Step, int] = {}
    else:
        begun = dict(place.begun)
    if step in BEGUN:
        if begun.get(step, 0) == BEGUN[step]:
            return Place(Step.FAULT, begun)
        begun[step] = begun.get(step, 0) + 1
    return Place(step, begun)


@dataclass(frozen=True)
class Memory:
    """What is known of one board, by its MAC address.

    Attributes:
        image: SHA-256 of the flash image that was verified on it; "": none.
        tested: passed its test with that image.
        key: public key (hex) that it has shown; "": none.
        offered: a birth record with that key was signed and may have reached the ledger. From here on it is never flashed again.
        recorded: the ledger has the record, or it is in the station's journal under an allowance.
        labelled: its label was made.
    """

    image: str = ""
    tested: bool = False
    key: str = ""
    offered: bool = False
    recorded: bool = False
    labelled: bool = False


def born(key: str) -> Memory:
    """What is known of a board that the ledger knows, and this station does not: it must show that key and no other."""
    return Memory(key=key, offered=True)


def told(memory: Memory, key: str | None, *, may_change: bool) -> Memory:
    """What is known of a board once the ledger has told of its birth.

    Args:
        key: of its last birth; None: it was not born, or its record is still under way.
        may_change: an operator's word for another key is open: a board with the ledger's key starts over; one that has begun to
            goes on.
    """
    if key is None:
        return memory
    if may_change:
        return Memory() if memory.key == key else memory
    return memory if memory.key == key else born(key)


def known(memory: Memory, image: str) -> Event:
    """Where a board that was detected goes on.

    Args:
        image: SHA-256 of the image that this line flashes; a board with another one starts over, unless a record was offered.
    """
    if memory.labelled:
        return Event.FINISHED
    if memory.offered:
        return Event.KEYED
    if not memory.image or memory.image != image:
        return Event.NEW
    if memory.key:
        return Event.KEYED
    return Event.TESTED if memory.tested else Event.FLASHED


def shown(memory: Memory, key: str | None) -> Event:
    """Judge the key that a board shows after a reset; None when it has none."""
    if key is not None and key == memory.key:
        return Event.OK
    return Event.REFUSED if memory.offered else Event.KEYLESS


def began(memory: Memory, step: Step) -> Memory:
    """The memory to write down before a step is begun: a board whose flash is about to be written has nothing left on it.

    Raises:
        ValueError: it would destroy a key that the ledger may know.
    """
    if step is not Step.FLASH:
        return memory
    if memory.offered:
        raise ValueError("a board whose birth was offered to the ledger is not flashed again")
    return Memory()


def offered(memory: Memory) -> Memory:
    """The memory to write down, together with the signed record, before it is sent."""
    return replace(memory, offered=True)


def ended(memory: Memory, step: Step, event: Event, *, key: str = "", image: str = "") -> Memory:
    """The memory to write down when a step has ended.

    Args:
        key: that the board has shown, at KEY. image: that was verified, at VERIFY.
    """
    if event is Event.OK:
        changes: dict[Step, dict[str, str | bool]] = {
            Step.VERIFY: {"image": image}, Step.TEST: {"tested": True}, Step.KEY: {"key": key},
            Step.RECORD: {"recorded": True}, Step.LABEL: {"labelled": True}}
        return replace(memory, **changes.get(step, {}))   # type: ignore[arg-type]   # each of its own type
    if step is Step.RECORD and event in (Event.CLOSED, Event.REFUSED):
        return replace(memory, offered=False)   # the ledger has read the record and does not have it
    return memory


def set_aside(memory: Memory) -> Memory:
    """The memory of a board that ends at FAULT: when it comes back it starts over, unless it has shown a key, which may be good."""
    return memory if memory.key else Memory()
