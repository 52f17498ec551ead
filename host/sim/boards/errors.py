"""What goes wrong with simulated boards."""

from host.sim.errors import DemoError


class BoardError(DemoError):
    """A board cannot be had as it was asked for; says what it got and what it expected."""
