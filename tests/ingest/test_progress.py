"""An ack that is too high costs readings, one that never moves stalls a device."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from host.ingest.progress import Gap, Progress, ack_of, catch_up, heard, stored


def test_records_in_order_move_the_ack():
    progress = Progress()
    for seq in range(3):
        progress = stored(progress, 1, seq)
    assert ack_of(progress) == (1, 2)


def test_nothing_stored_acks_nothing():
    assert ack_of(heard(Progress(), 1, (1, 0))[0]) is None


def test_missing_record_holds_the_ack():
    progress = stored(stored(Progress(), 1, 0), 1, 2)
    assert ack_of(progress) == (1, 0)
    assert progress.ahead
    progress = stored(progress, 1, 1)
    assert ack_of(catch_up(progress, [(1, 2)])) == (1, 2)


def test_repeated_record_changes_nothing():
    progress = stored(stored(Progress(), 1, 0), 1, 1)
    assert stored(progress, 1, 0, again=True) == progress


def test_next_boot_continues_the_sequence():
    progress, _ = heard(stored(Progress(), 1, 0), 2, (2, 1))
    assert ack_of(stored(progress, 2, 1)) == (2, 1)


def test_overflow_is_a_gap_and_the_ack_moves_past_it():
    progress, gap = heard(stored(Progress(), 1, 0), 3, (2, 500))
    assert gap == Gap(boot=1, first_seq=1, end_seq=500)
    assert ack_of(stored(progress, 2, 500)) == (2, 500)


def test_first_contact_with_an_overflowed_ring_counts_what_is_gone():
    progress, gap = heard(Progress(), 7, (5, 1000))
    assert gap == Gap(boot=0, first_seq=0, end_seq=1000)
    assert ack_of(stored(progress, 5, 1000)) == (5, 1000)


def test_replaced_ring_starts_again_at_zero():
    progress = Progress(boot=5, next_seq=1000, heard_boot=5, seen_boot=5)
    progress, gap = heard(progress, 6, (6, 0))
    assert gap is None
    assert ack_of(progress) is None
    assert ack_of(stored(progress, 6, 0)) == (6, 0)


def test_record_of_a_replaced_ring_is_not_taken_for_the_next_of_the_old_one():
    """Ring replaced and its state message lost: its record 1000 looks like the old ring's next; 0..999 would be lost."""
    old = Progress(boot=5, next_seq=1000, heard_boot=5, seen_boot=5)
    progress = stored(old, 6, 1000)
    assert progress.next_seq == 1000
    assert ack_of(progress) is None
    progress, _ = heard(progress, 6, (6, 0))
    assert ack_of(progress) is None


def test_unheard_boot_goes_on_when_the_device_sends_again():
    """The state message was lost; the device repeats from its oldest record, so the ring is the one we know."""
    progress = stored(Progress(boot=5, next_seq=1000, heard_boot=5, seen_boot=5), 6, 1000)
    progress = stored(progress, 6, 1000, again=True)
    assert ack_of(progress) == (6, 1000)


def test_replaced_ring_that_spans_boots_is_acked_from_its_first_boot():
    old = Progress(boot=5, next_seq=1000, heard_boot=5, seen_boot=5)
    progress = stored(old, 7, 4)
    progress, gap = heard(progress, 7, (6, 3))
    assert gap == Gap(boot=6, first_seq=0, end_seq=3)
    progress = catch_up(stored(progress, 6, 3), [(7, 4)])
    assert ack_of(progress) == (7, 4)


def test_late_record_of_a_replaced_ring_does_not_count_as_stored_ahead():
    progress = Progress(boot=6, next_seq=3, heard_boot=6, seen_boot=6)
    assert stored(progress, 5, 1000) == progress


def test_late_state_message_does_not_move_anything_back():
    progress = Progress(boot=6, next_seq=3, heard_boot=6, seen_boot=6)
    moved, gap = heard(progress, 6, (6, 1))
    assert (moved, gap) == (progress, None)


def test_wiped_device_gets_no_ack_of_its_former_life():
    """Boot counter and ring are both new: an ack of (5, 999) would empty a ring that was never stored."""
    progress = Progress(boot=5, next_seq=1000, heard_boot=5, seen_boot=5)
    progress, gap = heard(progress, 1, (1, 0))
    assert gap is None
    assert ack_of(progress) is None
    assert ack_of(stored(progress, 1, 0)) is None


class Ring:
    """A device's ring, as far as names go: what it holds, what it was told, what it lost by overflow."""

    def __init__(self) -> None:
        self.boot, self.next_seq = 1, 0
        self.kept: list[tuple[int, int]] = []
        self.lost: set[tuple[int, int]] = set()

    def append(self) -> None:
        self.kept.append((self.boot, self.next_seq))
        self.next_seq += 1
        if len(self.kept) > 6:
            self.lost.add(self.kept.pop(0))

    def replace(self) -> None:
        self.lost |= set(self.kept)
        self.boot, self.next_seq, self.kept = self.boot + 1, 0, []

    def oldest(self) -> tuple[int, int]:
        return self.kept[0] if self.kept else (self.boot, self.next_seq)

    def trim(self, ack: tuple[int, int]) -> list[tuple[int, int]]:
        """The careless reading of an ack: by seq alone."""
        gone = [name for name in self.kept if name[1] <= ack[1]]
        self.kept = [name for name in self.kept if name[1] > ack[1]]
        return gone


ACTIONS = st.lists(
    st.sampled_from(["append", "append", "append", "reboot", "state", "send", "send", "lose", "replace", "restart"]),
    max_size=120,
)


@settings(max_examples=300)
@given(actions=ACTIONS, data=st.data())
def test_no_ack_ever_covers_a_record_that_is_not_stored(actions, data):
    """Any order of boots, losses, repetitions, overflows, replaced rings and restarts of ingest; then it must also end."""
    ring, database, progress = Ring(), set(), Progress()

    def receive(name):
        nonlocal progress
        progress = stored(progress, *name, again=name in database)
        database.add(name)
        settle()

    def settle():
        nonlocal progress
        while progress.ahead:
            names = sorted(one for one in database if one[0] >= progress.boot and one[1] >= progress.next_seq)
            walked = catch_up(progress, names)
            moved, progress = (walked.boot, walked.next_seq) != (progress.boot, progress.next_seq), walked
            if not moved:
                break
        if (ack := ack_of(progress)) is not None:
            assert set(ring.trim(ack)) <= database

    def connect():
        nonlocal progress
        progress, _ = heard(progress, ring.boot, ring.oldest())
        settle()

    for action in actions:
        if action == "append":
            ring.append()
        elif action == "reboot":
            ring.boot += 1
        elif action == "state":
            connect()
        elif action == "send" and ring.kept:
            receive(data.draw(st.sampled_from(ring.kept)))
        elif action == "replace":
            ring.replace()
            connect()   # a new ring is announced; records overtake the announcement in the tests above
        elif action == "restart":
            progress = replace(progress, seen_boot=progress.boot, ahead=True)
            settle()
    connect()
    for name in list(ring.kept):
        receive(name)
    assert not ring.kept, "everything was sent, so everything is acked"
