"""Which of a chip's values are channels, and what becomes of those that cannot be true."""

from node.errors import SensorError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.scale import Scale
    from node.hints import Iterable, Sequence


def row(values: "Sequence[int | float | None]", picks: "Iterable[tuple[int, Scale]]") -> list[int | None]:
    """Some values in steps; None for one that is refused.

    Args:
        picks: (place of the value, scale) of each.

    Raises:
        SensorError: why the last one was refused, when nothing else is left.
    """
    found: list[int | None] = []
    fault = None
    for place, scale in picks:
        try:
            found.append(scale.steps(values[place]))
        except SensorError as error:
            found.append(None)
            fault = error
    if fault and all(value is None for value in found):
        raise fault
    return found
