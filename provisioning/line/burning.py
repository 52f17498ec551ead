"""Takes a board's eFuses along a plan: on a virtual copy first, then on the board.

Decides when to go on: a step counts once it was read back. What the steps are is decided by `provisioning.rules.secure`; whether
a person said so twice, by the command. Cut off anywhere, the next plan goes on from there.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from provisioning.errors import ProvisioningError
from provisioning.line.efuses import Efuses
from provisioning.rules.fuses import Board
from provisioning.rules.secure import Plan, strays


def rehearse(efuses: Efuses, before: Board, planned: Plan) -> Board:
    """Burn a plan on a virtual copy of a board's eFuses and look at the end.

    Returns:
        What the board will be.

    Raises:
        ProvisioningError: the plan's first refusal; "secure.tool"; "secure.rehearsal": the end is not what was planned.
    """
    _unrefused(planned)
    with tempfile.TemporaryDirectory() as folder:
        copy = efuses.copy(Path(folder) / "efuses")
        if copy.read() != before:
            raise ProvisioningError("secure.rehearsal", f"{efuses.name}: the virtual copy is not what the board is")
        for step in planned.steps:
            copy.burn(step)
        after = copy.read()
    missing = [step.name for step in planned.steps if not step.holds(after)]
    changed = strays(before, after, planned.steps)
    if missing or changed:
        raise ProvisioningError("secure.rehearsal", f"{efuses.name}: nothing was burned on it: in the rehearsal "
                                f"{', '.join(missing) or 'nothing'} was missing, {', '.join(changed) or 'nothing'} changed unasked")
    return after


def burn(efuses: Efuses, before: Board, planned: Plan, tell: Callable[[str], None]) -> Board | None:
    """Burn a plan, step by step, each read back before the next. It has been rehearsed.

    Args:
        before: the board that the plan was made for; another one, or one that changed, is not touched.
        tell: hears of each step that was done.

    Returns:
        What the board is; None when the last step closed the port, so that only espefuse's word tells that it was burned.

    Raises:
        ProvisioningError: the plan's first refusal; "secure.other_board"; "secure.tool"; "secure.readback". Run it again: what
            was burned is not burned twice.
    """
    _unrefused(planned)
    board: Board = efuses.read()
    if board != before:
        raise ProvisioningError("secure.other_board", f"{efuses.name}: got a board {board.mac} that is not as it was planned for "
                                                      f"({before.mac}); nothing was burned, make the plan again")
    for number, step in enumerate(planned.steps, 1):
        efuses.burn(step)
        tell(f"{number}/{len(planned.steps)} {step.name}: {step.does}")
        if step.closes and not efuses.is_virtual:
            return None
        board = efuses.read()
        if board.mac != before.mac or not step.holds(board):
            raise ProvisioningError("secure.readback", f"{efuses.name}: {step.name} was burned, but is not there; got board "
                                                       f"{board.mac}, expected {before.mac}; nothing more was burned")
    return board


def _unrefused(planned: Plan) -> None:
    for refusal in planned.refusals:
        raise ProvisioningError(refusal.code.value, refusal.message)
