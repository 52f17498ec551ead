"""What a group becomes in the database and in acks. On a real SQLite file."""

import sqlite3

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from host.clock import DAY_MS
from host.ingest import commit
from host.ingest.commit import ASK_SCHEMA_MS, Ack, Committer
from host.ingest.sort import sort
from host.monitor.arrival import LATE_MS
from host.store import tables as t
from host.store.telemetry import Telemetry
from node.wire import schema
from node.wire.limits import MAX_U32, MAX_U53
from node.wire.topics import SEND_SCHEMA
from tests.ingest.records import DEVICE, HASH, OTHER, SCHEMA, batch_of, schema_of, state, up, will

NOW = 1_800_000_000_000
LAST_EPOCH_MS = 1577836800000 + 2**40 - 1   # the wire's: 2054-11


@pytest.fixture
def committer(engine):
    return Committer(Telemetry(engine))


def put(committer, *messages, now_ms=NOW):
    return committer.commit([sort(*one) for one in messages], now_ms)


def rows(engine, table, *order):
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(*order)))


def one(engine, table):
    (row,) = rows(engine, table)
    return row


def test_payload_is_kept_as_received(engine, committer):
    sent = [schema_of(1, 0), batch_of(1, 1), batch_of(1, 2)]
    outcome = put(committer, *map(up, sent))
    assert [bytes(row.payload) for row in rows(engine, t.batch, t.batch.c.seq)] == sent
    assert outcome.acks == (Ack(DEVICE, 1, 2, 0),)
    assert (outcome.records, outcome.readings) == (3, 14)


def test_batch_sent_twice_is_stored_once_and_acked_again(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1)))
    outcome = put(committer, up(batch_of(1, 1)), up(batch_of(1, 1)))
    assert outcome.acks == (Ack(DEVICE, 1, 1, 0),)
    progress = one(engine, t.progress)
    assert (progress.records, progress.batches, progress.readings, progress.duplicates) == (2, 1, 7, 2)
    assert len(rows(engine, t.batch)) == 2


def test_batch_sent_twice_within_a_group_is_stored_once(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1)), up(batch_of(1, 1)))
    assert len(rows(engine, t.batch)) == 2
    assert one(engine, t.progress).duplicates == 1


def test_restarted_ingest_knows_what_is_stored(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1)), up(batch_of(1, 3)))
    outcome = put(Committer(Telemetry(engine)), up(batch_of(1, 1)), up(batch_of(1, 2)))
    assert outcome.acks == (Ack(DEVICE, 1, 3, 0),)
    assert (outcome.records, outcome.duplicates) == (1, 1)


def test_gap_before_more_than_a_page_of_records_closes(committer, monkeypatch):
    """Left half-way, the ack would never move again: the device has nothing more to send."""
    monkeypatch.setattr(commit, "CATCH_UP_NAMES", 4)
    put(committer, up(schema_of(1, 0)), *(up(batch_of(1, seq)) for seq in range(2, 30)))
    assert put(committer, up(batch_of(1, 1))).acks == (Ack(DEVICE, 1, 29, 0),)


def test_other_bytes_under_a_stored_name_go_to_quarantine(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1)))
    forged = batch_of(1, 1, columns=[[1], [1]])
    outcome = put(committer, up(forged), up(batch_of(1, 2)))
    assert outcome.acks == (Ack(DEVICE, 1, 2, 0),)
    kept = one(engine, t.quarantine)
    assert (kept.reason, kept.device, bytes(kept.payload)) == ("conflict", DEVICE, forged)
    assert bytes(rows(engine, t.batch, t.batch.c.seq)[1].payload) == batch_of(1, 1)


def test_schema_under_a_stored_name_is_not_learnt(engine, committer):
    put(committer, up(batch_of(1, 0)))
    put(committer, up(schema_of(1, 0)))
    assert rows(engine, t.schema) == []
    assert one(engine, t.progress).schema_missing


def test_poison_does_not_hold_up_the_rest_of_the_group(engine, committer):
    outcome = put(
        committer, up(b"\x01garbage"), up(schema_of(1, 0)), ("t/nobody/up", b"x"), up(b""), up(batch_of(1, 1)), up(b"\x01garbage"),
    )
    assert outcome.acks == (Ack(DEVICE, 1, 1, 0),)
    assert outcome.quarantined == 4
    assert {(row.topic, row.times) for row in rows(engine, t.quarantine)} == {(f"t/{DEVICE}/up", 2), (f"t/{DEVICE}/up", 1),
                                                                              ("t/nobody/up", 1)}
    assert one(engine, t.tally).value == 4


def test_topic_that_is_no_text_is_kept_readable(engine, committer):
    put(committer, ("t/\x00\ud800/up", b"x"))
    assert one(engine, t.quarantine).topic == "'t/\\x00\\ud800/up'"


def test_batch_before_its_schema_is_stored_and_asks_for_it_now_and_then(engine, committer):
    assert put(committer, up(batch_of(1, 0))).acks == (Ack(DEVICE, 1, 0, SEND_SCHEMA),)
    assert put(committer, up(batch_of(1, 1)), now_ms=NOW + 1).acks == (Ack(DEVICE, 1, 1, 0),)
    assert put(committer, up(batch_of(1, 2)), now_ms=NOW + ASK_SCHEMA_MS).acks == (Ack(DEVICE, 1, 2, SEND_SCHEMA),)
    assert one(engine, t.progress).schema_missing
    put(committer, up(schema_of(1, 3)))
    assert not one(engine, t.progress).schema_missing
    assert bytes(one(engine, t.schema).body) == SCHEMA


def test_schema_of_one_group_is_asked_for_though_another_group_is_readable(engine, committer):
    """Groups leave together: the last batch of a commit may always be one whose schema is known."""
    other = schema.build([("oil.max", "Cel", "0.1")])
    put(committer, up(schema_of(1, 0)))
    lost = batch_of(1, 1, columns=[[1]], schema_hash=schema.schema_hash(other))
    assert put(committer, up(lost), up(batch_of(1, 2))).acks == (Ack(DEVICE, 1, 2, SEND_SCHEMA),)
    assert put(committer, up(batch_of(1, 3)), now_ms=NOW + ASK_SCHEMA_MS).acks == (Ack(DEVICE, 1, 3, SEND_SCHEMA),)
    put(committer, up(schema_of(1, 4)), up(schema_of(1, 5, other)))
    assert put(committer, up(batch_of(1, 6)), now_ms=NOW + 2 * ASK_SCHEMA_MS).acks == (Ack(DEVICE, 1, 6, 0),)


def test_schema_that_the_device_no_longer_has_is_not_asked_for_for_ever(committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 1, columns=[[1]], schema_hash=b"gone")))
    put(committer, up(schema_of(1, 2)))   # all that it has
    assert put(committer, up(batch_of(1, 3)), now_ms=NOW + ASK_SCHEMA_MS).acks == (Ack(DEVICE, 1, 3, 0),)


def test_schema_of_one_device_does_not_serve_another(engine, committer):
    put(committer, up(schema_of(1, 0)))
    assert put(committer, up(batch_of(1, 0), OTHER)).acks == (Ack(OTHER, 1, 0, SEND_SCHEMA),)


def test_state_message_is_answered_with_the_ack(committer):
    put(committer, up(schema_of(1, 0)))
    assert put(committer, state(1, (1, 0))).acks == (Ack(DEVICE, 1, 0, 0),)
    assert committer.commit([sort(*state(1, (1, 0)), copy=True)], NOW).acks == ()


def test_overflow_counts_what_is_lost_and_not_what_is_stored(engine, committer):
    put(committer, up(schema_of(1, 0)), up(batch_of(1, 5)))
    outcome = put(committer, state(2, (1, 10)), up(batch_of(1, 10)))
    assert outcome.acks == (Ack(DEVICE, 1, 10, 0),)
    assert one(engine, t.progress).lost_by_overflow == 8   # 1..9 without 5


def test_record_that_its_state_message_overtook_is_not_lost(engine, committer):
    """The broker delivers the two topics in any order; what comes after it was given up is there after all."""
    put(committer, state(1, (1, 4)), up(batch_of(1, 3)))
    assert one(engine, t.progress).lost_by_overflow == 3
    put(committer, up(batch_of(1, 1)))
    put(committer, up(batch_of(1, 1)), up(batch_of(1, 2)))
    assert one(engine, t.progress).lost_by_overflow == 1


def test_replaced_ring_is_acked_by_its_own_names(engine, committer):
    put(committer, state(1, (1, 0)), *(up(batch_of(1, seq)) for seq in range(5)))
    outcome = put(committer, state(2, (2, 0)), up(batch_of(2, 0)))
    assert [(ack.boot, ack.seq) for ack in outcome.acks] == [(2, 0)]
    assert len(rows(engine, t.batch)) == 6


def test_boot_without_a_clock_is_placed_when_one_is_known(engine, committer):
    put(committer, up(batch_of(1, 0)), up(batch_of(1, 1, quality=1, epoch_ms=5)))
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [None, None]
    put(committer, up(batch_of(1, 2, quality=2, epoch_ms=NOW)))
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [NOW, NOW + 1000, NOW + 2000]
    assert (one(engine, t.boots).epoch_ms, one(engine, t.boots).quality) == (NOW, 2)


def test_best_clock_wins_in_any_order(engine, committer):
    """NTP beats the server's time, and of equals the one nearest to the boot; a batch's own clock stays its own."""
    sent = [
        batch_of(1, 0), batch_of(1, 1, quality=2, epoch_ms=NOW), batch_of(1, 2, quality=3, epoch_ms=NOW + 7),
        batch_of(1, 3, quality=3, epoch_ms=NOW + 8),
    ]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        device = f"hall-00000000000{order[0]}"
        for index in order:
            put(committer, up(sent[index], device))
        starts = [row.start_ms for row in rows(engine, t.batch, t.batch.c.device, t.batch.c.seq) if row.device == device]
        assert starts == [NOW + 7, NOW + 1000, NOW + 2007, NOW + 3008], order


def test_greatest_numbers_of_the_wire_fit_the_database(engine, committer):
    """One refused value would hold up every device of its group. A clock that cannot be true places nothing."""
    put(committer, up(batch_of(MAX_U32, MAX_U32, columns=[[1], [2]], uptime_ms=MAX_U53, epoch_ms=LAST_EPOCH_MS, quality=3)))
    row = one(engine, t.batch)
    assert (row.seq, row.uptime_ms, row.start_ms) == (MAX_U32, MAX_U53, None)


def test_clock_of_one_boot_does_not_place_another(engine, committer):
    put(committer, up(batch_of(1, 0)), up(batch_of(2, 1, quality=3, epoch_ms=NOW)))
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [None, NOW + 1000]


def test_presence_and_link_events_follow_state_messages(engine, committer):
    put(committer, state(1, (1, 0)))
    put(committer, will(), now_ms=NOW + 5)
    put(committer, state(2, (1, 0), release="1.1.0", counter=2), now_ms=NOW + 9)
    presence = one(engine, t.presence)
    assert (presence.online, presence.since_ms, presence.boot, presence.release) == (True, NOW + 9, 2, "1.1.0")
    assert [(row.kind, row.at_ms - NOW, row.release) for row in rows(engine, t.link_event, t.link_event.c.id)] == [
        ("connect", 0, "1.0.0"), ("drop", 5, "1.0.0"), ("update", 9, "1.1.0"), ("connect", 9, "1.1.0"),
    ]


def test_a_boots_cause_is_kept_with_its_events_and_a_drop_has_none(engine, committer):
    put(committer, state(1, (1, 0)))
    put(committer, state(2, (1, 0), reason="boot:watchdog"), now_ms=NOW + 9)
    assert [(row.kind, row.reason) for row in rows(engine, t.link_event, t.link_event.c.id)] == [
        ("connect", "power"), ("drop", ""), ("reboot", "boot:watchdog"), ("connect", "boot:watchdog")]


def test_batches_that_came_late_or_without_a_clock_are_counted_once_each(engine, committer):
    put(committer, up(batch_of(1, 0)), up(batch_of(1, 1)))   # nobody knows when
    epoch_ms = NOW - 10_000
    put(committer, up(batch_of(2, 2, uptime_ms=0, quality=3, epoch_ms=epoch_ms)), now_ms=epoch_ms + 5000)
    late = up(batch_of(2, 3, uptime_ms=1000, quality=3, epoch_ms=epoch_ms))
    for _ in range(2):   # the repetition is no batch
        put(committer, late, now_ms=epoch_ms + LATE_MS + 10_000)
    found = one(engine, t.progress)
    assert (found.late, found.unclocked, found.batches, found.duplicates) == (1, 2, 4, 1)


def test_batch_whose_clock_is_not_believed_counts_by_the_time_it_was_given(engine, committer):
    """As unclocked where it has none left; not as years late where its boot's clock overruled its own."""
    put(committer, up(batch_of(1, 1, quality=3, epoch_ms=NOW + 2 * DAY_MS)))
    put(committer, up(batch_of(2, 2, quality=3, epoch_ms=NOW)), up(batch_of(2, 3, quality=2, epoch_ms=NOW - 800 * DAY_MS)))
    found = one(engine, t.progress)
    assert (found.unclocked, found.late) == (1, 0)


def test_retained_copy_after_a_reconnect_of_ours_is_no_drop(engine, committer):
    put(committer, state(1, (1, 0)))
    committer.commit([sort(*state(1, (1, 0)), copy=True)], NOW + 1)
    assert [row.kind for row in rows(engine, t.link_event)] == ["connect"]


def test_failed_commit_leaves_nothing_behind_and_can_be_repeated(engine, committer):
    put(committer, up(schema_of(1, 0)))
    group = [state(2, (1, 0)), up(batch_of(1, 1)), up(b"\x01garbage")]
    blocker = sqlite3.connect(engine.url.database)
    blocker.execute("BEGIN IMMEDIATE")
    with engine.connect() as connection:   # the pool hands this connection out again
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    with pytest.raises(OperationalError):
        put(committer, *group)
    blocker.close()
    assert put(committer, *group).acks == (Ack(DEVICE, 1, 1, 0),)
    assert one(engine, t.progress).records == 2
    assert one(engine, t.quarantine).times == 1


def test_second_writer_is_noticed_and_nothing_is_counted_twice(engine, committer):
    put(committer, up(schema_of(1, 0)))
    put(Committer(Telemetry(engine)), up(batch_of(1, 1)))
    outcome = put(committer, up(batch_of(1, 1)), up(batch_of(1, 2)))
    assert outcome.acks == (Ack(DEVICE, 1, 2, 0),)
    assert (one(engine, t.progress).records, one(engine, t.progress).duplicates) == (3, 1)


def test_traffic_is_counted_by_ten_seconds(engine, committer):
    put(committer, up(schema_of(1, 0)))
    put(committer, up(batch_of(1, 1)), now_ms=NOW + 9_999)
    put(committer, up(batch_of(1, 2)), now_ms=NOW + 10_000)
    traffic = rows(engine, t.traffic, t.traffic.c.at_s)
    assert [(row.at_s * 1000 - NOW, row.records, row.readings) for row in traffic] == [(0, 2, 7), (10_000, 1, 7)]


def test_no_commit_reads_a_whole_history(engine, committer):
    """Repetitions, gaps, lost records, late clocks: each is looked up by key, or it would cost as much as all that is stored."""
    put(committer, *(up(batch_of(1, seq)) for seq in range(3)))
    statements = {}
    event.listen(engine, "before_cursor_execute", lambda *given: statements.update({given[2]: given[3]}))
    put(committer, up(batch_of(1, 1)), up(batch_of(1, 5)), state(2, (1, 8)), up(batch_of(1, 9, quality=3, epoch_ms=NOW)))
    asked = [(text, values) for text, values in statements.items() if "FROM batch" in text or "UPDATE batch" in text]
    assert len(asked) == 4   # payloads, names_from, count, save_clock
    with engine.connect() as connection:
        for text, values in asked:
            plan = " ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values))
            assert "SEARCH batch USING PRIMARY KEY (device=? AND" in plan, (text, plan)
            assert "TEMP" not in plan, (text, plan)


def test_many_devices_in_one_group(engine, committer):
    devices = [f"hall-{number:012x}" for number in range(900)]
    outcome = put(committer, *(up(batch_of(1, 0), device) for device in devices))
    assert len(outcome.acks) == 900
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(t.batch)) == 900
    assert bytes(rows(engine, t.batch)[0].schema) == HASH


def test_newest_first_is_acked_by_the_oldest_contiguous_record_and_nothing_counts_as_lost(engine, committer):
    """A device with `"drain": "newest"`: fresh records, then the backlog, then fresh ones again before it has ended."""
    put(committer, up(schema_of(1, 0)), state(1, (1, 1)))
    for seq in (20, 21, 22):
        assert put(committer, up(batch_of(2, seq))).acks == ()   # of a boot that no state message named yet
    assert put(committer, state(2, (1, 1))).acks == (Ack(DEVICE, 1, 0, 0),)
    for seq in (1, 2, 23, 3):
        outcome = put(committer, up(batch_of(2 if seq == 23 else 1, seq)))
    assert outcome.acks == (Ack(DEVICE, 1, 3, 0),)
    again = Committer(Telemetry(engine))   # ingest was restarted meanwhile
    for seq in range(4, 19):
        assert put(again, up(batch_of(1, seq))).acks == (Ack(DEVICE, 1, seq, 0),)
    assert put(again, up(batch_of(1, 19)), up(batch_of(2, 20))).acks == (Ack(DEVICE, 2, 23, 0),)
    progress = one(engine, t.progress)
    assert (progress.records, progress.duplicates, progress.lost_by_overflow) == (24, 1, 0)


def test_overflow_of_a_backlog_counts_only_what_was_not_sent_ahead_of_it(engine, committer):
    put(committer, state(1, (1, 0)), up(schema_of(1, 0)))
    put(committer, up(batch_of(1, 8)), up(batch_of(1, 9)))
    assert put(committer, state(1, (1, 9))).acks == (Ack(DEVICE, 1, 9, 0),)
    assert one(engine, t.progress).lost_by_overflow == 7   # 1 to 7


def test_clock_in_the_future_is_not_believed_and_costs_no_reading(engine, committer):
    """Stored, acked, told in quarantine; placed when its boot has a clock that can be true."""
    put(committer, up(schema_of(1, 0)))
    mad = batch_of(1, 1, quality=3, epoch_ms=NOW + 2 * DAY_MS)
    assert put(committer, up(mad)).acks == (Ack(DEVICE, 1, 1, 0),)
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [None, None]
    assert rows(engine, t.boots) == []
    kept = one(engine, t.quarantine)
    assert (kept.reason, bytes(kept.payload)) == ("time.future", mad)
    put(committer, up(batch_of(1, 2, quality=2, epoch_ms=NOW)))
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [None, NOW + 1000, NOW + 2000]


def test_clock_that_left_its_boots_by_years_is_overruled_by_a_better_one(engine, committer):
    put(committer, up(batch_of(1, 0, quality=3, epoch_ms=NOW)))
    old = NOW - 800 * DAY_MS
    put(committer, up(batch_of(1, 1, quality=2, epoch_ms=old)), up(batch_of(1, 2, quality=3, epoch_ms=old)))
    assert [row.start_ms for row in rows(engine, t.batch, t.batch.c.seq)] == [NOW, NOW + 1000, old + 2000]
    assert [row.reason for row in rows(engine, t.quarantine)] == ["time.apart"]


def test_server_without_a_clock_of_its_own_doubts_nobody(engine, committer):
    put(committer, up(batch_of(1, 0, quality=3, epoch_ms=NOW)), now_ms=3600_000)
    assert one(engine, t.batch).start_ms == NOW
    assert rows(engine, t.quarantine) == []
