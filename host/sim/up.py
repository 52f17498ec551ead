"""A plant that comes up and stays: for operators who want to try what they will do with a real one."""

from host.sim.plant import Pace
from host.sim.run import COMING_UP, Run, RunOptions
from host.sim.view import View


class Up(Run):
    """One plant without a story."""

    def __init__(self, options: RunOptions, view: View) -> None:
        super().__init__(options, Pace(), COMING_UP, view)

    async def _tell(self) -> None:
        await self._come_up(None)
        await self._stay(f"the plant is up; in another terminal: . {self._plant.write_operator()}")
