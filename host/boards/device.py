"""What a board's profile says to the firmware: /factory/board.json, as firmware/board/esp32/profile.py reads it."""

import json

from host.boards.profile import Board

PATH = "/factory/board.json"


def device_file(name: str, board: Board) -> bytes:
    """The file: the profile's name, its network, and its pins by name; small, since a device holds it whole while it reads it."""
    said = {"board": name, "network": board.network.model_dump(exclude_none=True),
            "pins": {key: pin.gpio for key, pin in board.pins.items()}}
    return json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
