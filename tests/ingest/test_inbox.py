"""The inbox neither blocks the broker's thread nor grows."""

from threading import Thread

from host.ingest.inbox import Inbox, Message


def message(number):
    return Message("t", bytes((number,)), False, (1, number, 1))


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
