"""What the board's profile says to the firmware: its network, and its pins by name. In memory only while it is read.

The image brings it (/factory/board.json, made by host.boards.device; its pins were checked before); no update replaces it, since
no update replaces a board. Whatever is wrong with it is reported, and the board is one with Wi-Fi and without names then, as before
there were profiles: it stays within reach of an update.
"""

import json

from node.errors import CallerError

PROFILE_PATH = "/factory/board.json"   # {"board", "network", "pins": {name: number}}
SIM_PATH = "/state/sim.json"           # {"apn", "user", "password", "auth"}; flash is not encrypted: as /state/wifi.json
QUOTES = '"\r\n'   # would end the text in a modem's command


def interface(files, hostname, log):
    """The network that the profile names, or None: Wi-Fi, or nothing usable, which is logged."""
    said = _read(files, log).get("network")
    kind = said.get("kind") if isinstance(said, dict) else None
    try:
        if kind == "ethernet":
            from board.esp32.lan import Lan
            return Lan(said, hostname)
        if kind == "ppp":
            from board.esp32.ppp import Ppp
            return Ppp(said, _sim(files, log), hostname)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:   # Attribute: this MicroPython has no such driver
        log("board", "%s: %s" % (kind, repr(error)))
    return None


def numbered(config, files, log):
    """Replace names of pins by their numbers in a configuration's buses and sensors.

    Raises:
        CallerError: `board.pin`: a name that the board does not have, or a pin that has got two.
    """
    places = [(raw, key) for raw in list(config.buses.values()) + config.sensors
              for key in ("scl", "sda", "sck", "mosi", "miso", "tx", "rx", "de", "pin", "cs") if raw.get(key) is not None]
    if not [key for raw, key in places if isinstance(raw[key], str)]:
        return
    pins = _read(files, log).get("pins")
    taken = {}
    for raw, key in places:
        name = raw[key]
        if isinstance(name, str):
            raw[key] = pins.get(name) if isinstance(pins, dict) else None
            if not isinstance(raw[key], int):
                raise CallerError("board.pin", "%s: got %s, which the board's profile does not have" % (key, name))
        if raw[key] in taken:
            raise CallerError("board.pin", "%s: got %s, expected one that %s has not taken" % (key, name, taken[raw[key]]))
        taken[raw[key]] = name


def _read(files, log):
    raw = files.read(PROFILE_PATH)
    if raw is None:
        return {}   # an image made without one
    try:
        said = json.loads(raw)
        if isinstance(said, dict):
            return said
    except (ValueError, RuntimeError):   # RuntimeError: brackets nest too deeply
        pass
    log("board", "no JSON object in " + PROFILE_PATH)
    return {}


def _sim(files, log):
    """APN and login; without, the modem's own."""
    try:
        said = json.loads(files.read(SIM_PATH) or b"{}")
        if all(isinstance(said[key], str) and not [char for char in QUOTES if char in said[key]] for key in said):
            return said
    except (ValueError, TypeError, RuntimeError):
        pass
    log("sim", "no object of texts without quotes in " + SIM_PATH)
    return {}
