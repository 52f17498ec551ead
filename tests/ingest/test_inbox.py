"""The inbox neither blocks the broker's thread nor grows."""

from functools import partial
from threading import Thread

from host.ingest.inbox import MESSAGE_BYTES, Message
from host.ingest.inbox import Inbox as AnyInbox
from host.ingest.settings import IngestSettings
from node.wire.batch import MAX_RECORD_BYTES

Inbox = partial(AnyInbox, limit_bytes=1 << 20)


def message(number, size=1, at_ms=0):
    return Message("t", bytes((number,)) * size, False, (1, number, 1), at_ms)


def test_full_inbox_refuses_and_does_not_block():
    inbox = Inbox(2)
    assert [inbox.put(message(number)) for number in range(3)] == [True, True, False]
    assert len(inbox.take(10, 0, 0)) == 2
    assert inbox.put(message(3))


def test_group_is_in_order_and_bounded():
    inbox = Inbox(10)
    for number in range(5):
        inbox.put(message(number))
    assert [one.payload[0] for one in inbox.take(3, 0, 0)] == [0, 1, 2]
    assert [one.payload[0] for one in inbox.take(3, 0, 0)] == [3, 4]
    assert inbox.take(3, 0, 0) == []


def test_full_group_does_not_wait_for_more():
    inbox = Inbox(10)
    for number in range(3):
        inbox.put(message(number))
    assert len(inbox.take(3, 60.0, 60.0)) == 3


def test_first_message_ends_the_wait():
    inbox, taken = Inbox(10), []
    taker = Thread(target=lambda: taken.extend(inbox.take(1, 60.0, 60.0)))
    taker.start()
    inbox.put(message(1))
    taker.join(10)
    assert len(taken) == 1


def test_close_ends_the_wait_and_leaves_messages_with_the_broker():
    inbox, taken = Inbox(10), []
    taker = Thread(target=lambda: taken.append(inbox.take(5, 60.0, 60.0)))
    taker.start()
    inbox.put(message(1))
    inbox.close()
    taker.join(10)
    assert taken == [[]]


def test_few_large_messages_fill_the_memory_that_many_small_ones_do_not():
    """Refused, so that the broker keeps them, and taken as soon as there is room: nothing is dropped."""
    inbox = Inbox(10_000, limit_bytes=1000)
    held, stored = [message(number, 300) for number in range(10)], []
    while held:   # the broker's thread, then the committing one
        held = [one for one in held if not inbox.put(one)]
        assert inbox.state().n_bytes <= 1000
        stored += inbox.take(2, 0, 0)
    while group := inbox.take(2, 0, 0):
        stored += group
    assert sorted(one.payload[0] for one in stored) == list(range(10))
    assert inbox.state().refused > 0 == inbox.state().n_bytes


def test_a_group_that_is_tried_again_and_again_makes_room_for_more():
    inbox = Inbox(10, limit_bytes=1000)
    assert [inbox.put(message(number, 400)) for number in range(3)] == [True, True, False]
    assert len(inbox.take(1, 0, 0)) == 1
    assert not inbox.put(message(3, 400)), "the group that was given out is in memory as well"
    assert len(inbox.take(1, 0, 0)) == 1
    assert inbox.put(message(3, 400))


def test_a_message_beyond_the_bound_is_refused_for_ever():
    inbox = Inbox(10, limit_bytes=1000)
    assert inbox.put(message(1, 5000))
    assert not inbox.put(message(2, 1))
    assert len(inbox.take(10, 0, 0)) == 1
    inbox.take(10, 0, 0)
    assert inbox.put(message(2, 1))


def test_a_pull_asks_for_more_than_there_is_memory_for():
    inbox = Inbox(10_000, limit_bytes=10 * MESSAGE_BYTES)
    assert inbox.room() == 10
    inbox.put(message(1, MESSAGE_BYTES + 1))
    assert inbox.room() == 8
    for _ in range(inbox.room()):
        assert inbox.put(message(2, MESSAGE_BYTES))
    assert inbox.room() == 0


def test_our_own_devices_meet_the_bound_in_bytes_before_that_in_messages(tmp_path):
    file = tmp_path / "none.pem"
    settings = IngestSettings(ca_file=file, cert_file=file, key_file=file)
    inbox = AnyInbox(settings.inbox_max, settings.inbox_bytes)
    largest = bytes(MAX_RECORD_BYTES)
    assert all(inbox.put(Message("t", largest, False, ())) for _ in range(settings.inbox_max))
    assert inbox.state().n_bytes * 3 < settings.inbox_bytes


def test_the_oldest_is_forgotten_while_it_is_tried_or_remembered_when_it_is_stored():
    clock = iter(range(100, 1000, 100))
    inbox = AnyInbox(10, 1000, lambda: next(clock))
    assert inbox.state().oldest_ms == 0
    for number, at_ms in enumerate((0, 50, 0)):   # the second tells when the broker took it
        inbox.put(message(number, 1, at_ms))
    assert inbox.state().oldest_ms == 100
    for oldest_ms in (100, 50, 200):   # given out, and at fault
        inbox.take(1, 0, 0)
        assert inbox.state().oldest_ms == oldest_ms
    inbox.take(1, 0, 0)
    assert inbox.state().oldest_ms == 0
