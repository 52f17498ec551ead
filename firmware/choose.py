"""Which slot this boot runs: decided from values only, the record, which slots are complete, and what the interpreter is.

The other half of the boot stub, in memory only until the slot runs. Never updated over the air.
"""

import sys

import stub

MAX_TRIES = 2      # boots of a trial: the second allows for a power cut during the first
MAX_CRASHES = 5    # in a row before another slot is tried: rides out a fault that passes, ends one that stays
MAX_IMAGE_TRIES = 5   # the bootloader gives an image one boot: a second comes to one that has proved itself and lost its power
SAFE = "safe mode"   # every slot has crashed so often: what is left out is the app
RUNNING = b"TFR1\0"   # the beginning of RTC memory while a run has not meant to reset; board/esp32/reset.py writes it
MAX_INDEX = 8192   # bytes, as node.wire.bundle


def choose(state, have, app=None):
    """Pick the slot to run.

    Args:
        state: the record, from parse().
        have: the complete slots, asked with `in` for no more of them than the choice needs.
        app: label of the partition that the interpreter runs from; None where there are none.

    Returns:
        (slot, record to write before the slot runs, reason): "trial", "confirmed", "crashes" (the confirmed slot keeps
        crashing), SAFE (all of them do: the slots are tried again in turn, without the app), "incomplete" (the confirmed one is
        damaged) or "nothing" (no slot is complete; factory is run as the last hope).
    """
    state = dict(state)
    trial = state["trial"]
    if trial is not None:
        lost = app and state["app"] and app != state["app"]   # the bootloader went back to the other image
        if trial in have and state["tries"] < (MAX_IMAGE_TRIES if state["app"] else MAX_TRIES) and not lost:
            state["tries"] += 1
            return trial, state, "trial"
        why = "incomplete" if trial not in have else state["exit"] or ("image rolled back" if lost else "unconfirmed")
        state.update({"trial": None, "tries": 0, "bad": {"slot": trial, "reason": why}, "exit": "", "app": None})
    bad = state["bad"]["slot"] if state["bad"] else None
    order = [state["slot"]] + [slot for slot in ("a", "b", "factory") if slot != state["slot"]]
    turn = state["tries"] // MAX_CRASHES
    usable = _first(turn + 1, order, have, bad) or _first(1, order, have, None)
    if not usable:
        return "factory", state, "nothing"
    if turn >= len(usable):
        return usable[turn % len(usable)], state, SAFE
    slot = usable[-1]
    reason = "confirmed" if slot == state["slot"] else "crashes" if state["slot"] in usable else "incomplete"
    return slot, state, reason


def running_app():
    """Label of the partition that this interpreter runs from; None where there are none."""
    try:
        from esp32 import Partition
        return Partition(Partition.RUNNING).info()[4]
    except ImportError:
        return None


def frozen_release():
    """What the agent in this interpreter's image is (keys of stub.RELEASE); None in a stock image."""
    try:
        from tenfold.release import RELEASE
        del sys.modules["tenfold.release"], sys.modules["tenfold"]
        return RELEASE
    except ImportError:
        return None


def unspoken(chip):
    """Why the last run ended if it could not say so: "watchdog" or "panic", else "".

    A chip does not tell a panic from a reset that was meant; but a run that lives has marked RTC memory (board/esp32/reset.py), and
    whoever means to reset takes the mark back.
    """
    cause = chip.reset_cause()
    if cause in ("watchdog", "panic"):   # the simulated board says it
        return cause
    if cause == getattr(chip, "WDT_RESET", None):
        return "watchdog"
    return "panic" if cause == getattr(chip, "HARD_RESET", None) and chip.RTC().memory()[:5] == RUNNING else ""


def start(files, app=None, crash="", frozen=None):
    """Choose this boot's slot and count the attempt; `app` as for choose(), `crash` from unspoken().

    Args:
        frozen: what the agent in the interpreter's image is (keys of stub.RELEASE), or None. It is the factory slot where that
            has no bundle of its own.

    Returns:
        What main.run() is told: slot, trial (whether this boot is one), tries, reason (of the choice), safe (the app is left
        out), exit (of the last run), frozen (whether the image's agent is what runs), release (what the slot holds) and failed:
        None, or counter, manifest and reason of the trial that failed, or of the confirmed release that this boot cannot run, or
        not whole.
    """
    try:
        if crash:
            stub.ended(files, crash, True)
    except OSError:   # a full flash is no reason not to boot
        pass
    state, have = stub.load(files), Complete(files, frozen)
    slot, after, reason = choose(state, have, app)
    try:
        if after != state:
            stub.save(files, after)
    except OSError:   # an attempt that cannot be counted must not be made
        slot, after, reason = choose(dict(after, trial=None), have)
    bad = after["bad"]
    if not bad and reason not in ("trial", "confirmed"):
        bad = {"slot": after["slot"], "reason": "%s: %s" % (reason, state["exit"] or "unknown") if after["tries"] else reason}
    held = have.release(bad["slot"]) if bad else None
    return {
        "slot": slot, "trial": slot == after["trial"], "tries": after["tries"], "reason": reason, "exit": state["exit"],
        "safe": reason == SAFE, "frozen": have.frozen(slot), "release": have.release(slot) or {},
        "failed": {"counter": held["counter"], "manifest": held["manifest"], "reason": bad["reason"]} if held else None,
    }


class Complete:
    """The slots that can run; each is looked at when it is asked for, once.

    Those whose release.json is valid and whose bundle can be mounted; else factory, where an agent is frozen into the image.
    """

    def __init__(self, files, frozen=None):
        self._files = files
        self._frozen = frozen
        self._known = {}

    def __contains__(self, slot):
        return self._bundled(slot) or self.frozen(slot)

    def frozen(self, slot):
        """Whether it is the image's agent that this slot runs: a bundle on flash comes before it."""
        return slot == "factory" and self._frozen is not None and not self._bundled(slot)

    def release(self, slot):
        return self._frozen if self.frozen(slot) else stub.release(self._files, slot)

    def _bundled(self, slot):
        if slot not in self._known:
            opened = bundle(self._files, slot) if stub.release(self._files, slot) is not None else None
            if opened is not None:
                opened.umount()
            self._known[slot] = opened is not None
        return self._known[slot]


def _first(count, order, have, bad):
    """So many usable slots of the order, or all there are."""
    found = []
    for slot in order:
        if len(found) < count and slot != bad and slot in have:
            found.append(slot)
    return found


def bundle(files, slot):
    """A slot's Bundle, or None: it is absent, its index is damaged, or it does not end where its index does."""
    file = files.open(stub.DIRS[slot] + "/bundle")
    if file is None:
        return None
    try:
        head = file.read(12)
        size = int(head[5:11])
        if head[:5] == b"TFB1 " and 12 < size <= MAX_INDEX:
            index = head + file.read(size - 12)
            _, start, length = index[index.rfind(b"\n", 0, -2):].split()
            if index[-2:] == b"\n\n" and int(start) + int(length) == file.seek(0, 2):
                return stub.Bundle(file, size)
    except (ValueError, OSError):
        pass
    file.close()
    return None
