"""Kills processes of a running demo at random, as crashes and power cuts would. Promises must hold all the same."""

import asyncio
import random

from host.sim.powered import Powered
from host.sim.processes import Child
from host.sim.view import View

EVERY_S = (2.0, 6.0)   # often enough that every kind is hit in a run, seldom enough that the story still moves
SERVER_SHARE = 0.5     # half of the kills hit a server, half a device


async def run(boards: dict[str, Powered], children: dict[str, Child], view: View) -> None:
    """SIGKILL one process after the other until cancelled; their supervisors start them again."""
    chance = random.Random()  # noqa: S311  chooses victims, no secrets
    while True:
        await asyncio.sleep(chance.uniform(*EVERY_S))
        up = [child for child in children.values() if child.pid and not child.held]
        powered = [board for board in boards.values() if board.pid and board.powered]
        if powered and (not up or chance.random() > SERVER_SHARE):
            board = chance.choice(powered)
            board.crash()
            view.notes.append(f"killed {board.device}")
        elif up:
            child = chance.choice(up)
            child.kill()
            view.notes.append(f"killed {child.program.name}")
