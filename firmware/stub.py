"""The boot stub: which slot this boot runs, and the record that remembers it.

Decides from values only: the record, and which slots are complete. boot.py acts on the choice; the agent puts slots on trial
and confirms them (node.agent.slots). Never updated over the air: the record's format is the contract with every release.

/boot.json, at most 128 bytes, so that littlefs keeps it inside its directory and replaces it whole or not at all:
    slot    "a", "b" or "factory": the confirmed one
    trial   null, or the slot on trial
    tries   boots of the trial so far; without a trial, crashes of the confirmed slot in a row
    bad     null, or {"slot", "reason"}: a trial that failed and that the server has not heard of
    exit    why the last run ended by itself; "" when it did not
"""

import json

PATH = "/boot.json"
DIRS = {"a": "/slots/a", "b": "/slots/b", "factory": "/factory"}
MAX_BYTES = 128    # littlefs keeps a file up to 4 x its program size (32 on ESP32) inline
MAX_TRIES = 2      # boots of a trial: the second allows for a power cut during the first
MAX_CRASHES = 5    # in a row before another slot is tried: rides out a fault that passes, ends one that stays
MAX_REASON = 20    # characters; two reasons and the longest values then fit MAX_BYTES
RELEASE = {"release": str, "counter": int, "manifest": str, "model": str, "mpy": int}   # keys of a slot's release.json


def parse(raw):
    """The record in these bytes; a new one (the factory slot) when they are absent or make no sense."""
    fresh = {"slot": "factory", "trial": None, "tries": 0, "bad": None, "exit": ""}
    try:
        got = json.loads(raw.decode())
        slot, trial, tries, bad = got["slot"], got["trial"], got["tries"], got["bad"]
        if slot not in DIRS or trial not in ("a", "b", None) or type(tries) is not int or not 0 <= tries <= 255:
            return fresh
        if bad is not None:
            bad = {"slot": bad["slot"], "reason": _short(bad["reason"])} if bad["slot"] in ("a", "b") else None
        return {"slot": slot, "trial": trial, "tries": tries, "bad": bad, "exit": _short(got.get("exit", ""))}
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):   # RuntimeError: MicroPython, nested too deeply
        return fresh


def choose(state, have):
    """Pick the slot to run.

    Args:
        state: the record, from parse().
        have: names of the complete slots.

    Returns:
        (slot, record to write before the slot runs, reason): "trial", "confirmed", "crashes" (the confirmed slot keeps
        crashing), "incomplete" (it is damaged) or "nothing" (no slot is complete; factory is run as the last hope).
    """
    state = dict(state)
    trial = state["trial"]
    if trial is not None:
        if trial in have and state["tries"] < MAX_TRIES:
            state["tries"] += 1
            return trial, state, "trial"
        state["bad"] = {"slot": trial, "reason": (state["exit"] or "unconfirmed") if trial in have else "incomplete"}
        state["trial"], state["tries"], state["exit"] = None, 0, ""
    bad = state["bad"]["slot"] if state["bad"] else None
    order = [state["slot"]] + [slot for slot in ("a", "b", "factory") if slot != state["slot"]]
    usable = [slot for slot in order if slot in have and slot != bad] or [slot for slot in order if slot in have]
    if not usable:
        return "factory", state, "nothing"
    slot = usable[min(state["tries"] // MAX_CRASHES, len(usable) - 1)]
    reason = "confirmed" if slot == state["slot"] else "crashes" if state["slot"] in usable else "incomplete"
    return slot, state, reason


def start(files):
    """Choose this boot's slot and count the attempt.

    Returns:
        What main.run() is told: slot, trial (whether this boot is one), tries, reason (of the choice), exit (of the last
        run), release (the slot's release.json) and failed: None, or counter, manifest and reason of a failed trial.
    """
    state, have = load(files), complete(files)
    slot, after, reason = choose(state, have)
    try:
        if after != state:
            save(files, after)
    except OSError:   # an attempt that cannot be counted must not be made
        slot, after, reason = choose(dict(after, trial=None), have)
    bad = after["bad"]
    held = release(files, bad["slot"]) if bad else None
    return {
        "slot": slot, "trial": slot == after["trial"], "tries": after["tries"], "reason": reason, "exit": state["exit"],
        "release": release(files, slot) or {},
        "failed": {"counter": held["counter"], "manifest": held["manifest"], "reason": bad["reason"]} if held else None,
    }


def load(files):
    return parse(files.read(PATH))


def save(files, state):
    files.write_atomic(PATH, json.dumps(state, separators=(",", ":")).encode())


def release(files, slot):
    """What a complete slot says it holds (keys of RELEASE), or None: its release.json is written last."""
    try:
        got = json.loads((files.read(DIRS[slot] + "/release.json") or b"").decode())
        return got if all(type(got[key]) is kind for key, kind in RELEASE.items()) else None
    except (ValueError, TypeError, KeyError, OSError, RuntimeError):
        return None


def complete(files):
    return {slot for slot in DIRS if release(files, slot) is not None}


def ended(files, reason, crash):
    """Remember why this run ends. `crash`: by a fault, counted against a confirmed slot (a trial counts its boots)."""
    before = load(files)
    state = dict(before, exit=_short(reason))
    if crash and state["trial"] is None:
        state["tries"] = min(state["tries"] + 1, 255)
    if state != before:   # a slot that crashes for ever must not wear the flash
        save(files, state)


def _short(text):
    """Plain characters only: JSON must not lengthen them."""
    return "".join(char if 32 <= ord(char) < 127 and char not in '"\\' else "?" for char in text[:MAX_REASON])
