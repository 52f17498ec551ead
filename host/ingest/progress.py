"""How far a device's records are stored without a gap: the content of its ack.

Decides from values only. A ring numbers its records 0, 1, 2 … for its whole life, and boots only grow, so (boot, seq) is in
order too. Three facts make this more than a counter: records arrive in any order; a full ring drops its oldest, which only the
state message's `oldest` tells; a replaced ring begins again at 0 in a higher boot.

An ack that is too low costs a repetition, one that is too high costs readings (promise 1). So whatever is ambiguous waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Progress:
    """One device's place in its own sequence.

    Attributes:
        boot: boot of the newest record of the unbroken run, or of the oldest kept one after a jump.
        next_seq: every record of this ring before it is stored, or lost by overflow.
        heard_boot: the boot that spoke last; records up to it are of the ring that we know. Below `boot` when the device's
            memory was wiped and it counts its boots anew.
        seen_boot: newest boot of any record.
        ahead: records beyond `next_seq` may be stored; the caller then asks the database (catch_up).
    """

    boot: int = 0
    next_seq: int = 0
    heard_boot: int = 0
    seen_boot: int = 0
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that the device no longer has: seq in [first_seq, end_seq), boots of at least `boot`.

    Those of them that are not stored are lost.
    """

    boot: int
    first_seq: int
    end_seq: int


def stored(progress: Progress, boot: int, seq: int, *, again: bool = False) -> Progress:
    """One record is in the database.

    Args:
        again: it was there before, with the same bytes: the device sends for a second time what is not acked, beginning
            with its oldest. Had its ring been replaced, 0 would have come first.

    Returns:
        The progress after it; the same when it changes nothing.
    """
    if boot > progress.seen_boot:
        progress = replace(progress, seen_boot=boot)
    if boot < progress.boot:
        return progress   # of a ring that was replaced, late
    if seq < progress.next_seq:
        if boot == progress.boot:
            return progress   # a repetition
        # A higher boot below what is stored: the ring was replaced, in some boot after the last one. It begins at 0.
        if seq == 0:
            return replace(progress, boot=boot, next_seq=1, heard_boot=max(boot, progress.heard_boot), ahead=True)
        return replace(progress, boot=progress.boot + 1, next_seq=0, ahead=True)
    if seq > progress.next_seq:
        return replace(progress, ahead=True)
    if boot == progress.boot or boot <= progress.heard_boot:
        return replace(progress, boot=boot, next_seq=seq + 1)
    if seq == 0 or again:
        return replace(progress, boot=boot, next_seq=seq + 1, heard_boot=boot)
    return replace(progress, ahead=True)   # next of this ring, or of another that we did not hear of yet


def catch_up(progress: Progress, names: Iterable[tuple[int, int]]) -> Progress:
    """Walk on through records that were stored earlier.

    Args:
        names: (boot, seq) of all stored records with boot >= progress.boot and seq >= progress.next_seq, ascending.
    """
    progress = replace(progress, ahead=False)
    for boot, seq in names:
        progress = stored(progress, boot, seq)
    return progress


def heard(progress: Progress, boot: int, oldest: tuple[int, int]) -> tuple[Progress, Gap | None]:
    """A state message told the oldest record that the device still has, or the next it will write.

    Args:
        boot: the boot that speaks.
        oldest: (boot, seq).

    Returns:
        The progress, moved on when records before `oldest` can no longer come, and then the gap it moved over.
    """
    progress = replace(progress, heard_boot=boot)
    oldest_boot, oldest_seq = oldest
    if oldest_boot < progress.boot:
        return progress, None   # a message from before a replaced ring, late
    if oldest_boot > progress.boot and oldest_seq < progress.next_seq:   # a replaced ring
        gap = Gap(progress.boot + 1, 0, oldest_seq) if oldest_seq else None
        return replace(progress, boot=oldest_boot, next_seq=oldest_seq, ahead=True), gap
    if oldest_seq > progress.next_seq:
        gap = Gap(progress.boot, progress.next_seq, oldest_seq)
        return replace(progress, boot=oldest_boot, next_seq=oldest_seq, ahead=True), gap
    return replace(progress, ahead=progress.ahead or progress.seen_boot > progress.boot), None


def ack_of(progress: Progress) -> tuple[int, int] | None:
    """The name of the newest record that may be acked, or None when there is nothing to say.

    Silent while records come from a boot that no state message named, and while the device speaks from a boot below the
    acked one: either may have a ring of which nothing is known, and an ack of the old one would empty it.
    """
    if progress.next_seq == 0 or progress.heard_boot < progress.boot or progress.seen_boot > progress.heard_boot:
        return None
    return progress.boot, progress.next_seq - 1
