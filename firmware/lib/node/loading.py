"""Modules that are in memory only while they are needed: a chip has room for the uplink, a check-in or an update, not for all.

    with Loaded():
        from node.agent.verify import Trust
        ...

What is imported inside the block leaves with it, and so do the modules which that imported; parts of asyncio stay, since it keeps
hold of them itself. An object that outlives the block keeps the modules of its class; a variable that names a module keeps it.
Blocks that overlap in time must lie within one another. Where there is room (`keep`, the default: a PC) nothing leaves: a class
that came back would be another class.
"""

import gc
import sys

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable


class Loaded:
    """A context in which imports are temporary.

    Attributes:
        keep: of the class: nothing leaves. device.py says otherwise on a board without room.
        left: of the class: called when modules have left, or have all come: what helped to import them may go too.
    """

    keep = True
    left: "Callable[[], None] | None" = None

    def __enter__(self) -> "Loaded":
        self._before = set(sys.modules)
        return self

    def complete(self) -> None:
        """Nothing more is imported in this block, which goes on: says so where memory is short."""
        if not Loaded.keep and Loaded.left is not None:
            Loaded.left()

    def __exit__(self, *error: object) -> None:
        if Loaded.keep:
            return
        for name in [name for name in sys.modules if name not in self._before and not name.startswith("asyncio.")]:
            _forget(name)
        self.complete()
        gc.collect()


def _forget(name: str) -> None:
    del sys.modules[name]
    parent, dot, last = name.rpartition(".")
    if dot and parent in sys.modules and hasattr(sys.modules[parent], last):
        delattr(sys.modules[parent], last)
