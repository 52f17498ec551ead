"""The line's machine: whatever happens in whatever order, a board gets one identity, with its key on it, and then its label."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.rules.line import (
    BEGUN,
    TABLE,
    WORKING,
    Event,
    Memory,
    Place,
    Step,
    began,
    born,
    ended,
    known,
    move,
    offered,
    set_aside,
    shown,
    told,
)
from provisioning.rules.quota import ACCEPTED, Known, Lot, Reason, judge_birth

IMAGE = "1" * 64
LOT = Lot("lot-1", "04" * 65, 3, 1000)


@dataclass
class Bench:
    """Boards, a ledger, and one port of a station whose journal is `memory`. Nothing but the rules decides anything."""

    key: dict[str, str] = field(default_factory=dict)        # what a board holds
    ledger: dict[str, str] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    place: Place = field(default_factory=Place)
    board: str = ""
    made: int = 0
    words: set[str] = field(default_factory=set)          # boards whose key was lost, and that an operator lets have another
    first: dict[str, str] = field(default_factory=dict)   # the key that a board was born with, or reborn by such a word

    def lose_key(self, board: str) -> None:
        self.key.pop(board, None)
        if board in self.ledger:
            self.words.add(board)

    def happen(self, event: Event) -> None:
        self.place = move(self.place, event)
        if self.place.step is Step.FAULT and self.board in self.memory:
            self.memory[self.board] = set_aside(self.memory[self.board])

    def note(self, step: Step, event: Event, key: str = "") -> None:
        memory = self.memory.get(self.board, Memory())
        self.memory[self.board] = ended(memory, step, event, key=key, image=IMAGE)
        self.happen(event)

    def work(self, draw: st.DataObject) -> None:
        """One step, cut off, failed or done."""
        step, board = self.place.step, self.board
        luck = draw.draw(st.sampled_from(["done", "done", "done", "failed", "gone", "crash"]))
        if step is Step.DETECT:
            if luck == "done":
                memory = self.memory.get(board, Memory())
                asked = draw.draw(st.booleans())   # whether the ledger could be asked
                if asked:
                    memory = told(memory, self.ledger.get(board), may_change=board in self.words)
                self.memory[board] = memory
                self.happen(known(memory, IMAGE))
                return
        else:
            self.memory[board] = began(self.memory[board], step)
        if step is Step.FLASH:
            self.key.pop(board, None)   # from the first byte on
        if step is Step.KEY and board not in self.key and draw.draw(st.booleans()):
            self.made += 1              # on the board, whether or not the station hears of it
            self.key[board] = f"key {self.made}"
        if step is Step.RECORD and not self.memory[board].recorded:
            self.record(luck, draw)
            return
        if luck == "done":
            self.do(step)
        else:
            self.interrupt(luck)

    def do(self, step: Step) -> None:
        board = self.board
        if step is Step.KEY:
            if board in self.key:
                self.note(step, Event.OK, key=self.key[board])
            else:
                self.note(step, Event.FAILED)
        elif step is Step.READ_BACK:
            self.happen(shown(self.memory[board], self.key.get(board)))
        else:
            if step is Step.LABEL:
                assert self.ledger[board] == self.key[board]
                self.labels.append(board)
            self.note(step, Event.OK)

    def record(self, luck: str, draw: st.DataObject) -> None:
        """What is offered may arrive although the station does not hear so."""
        board = self.board
        self.memory[board] = offered(self.memory[board])
        if luck != "done" and draw.draw(st.booleans()):
            self.interrupt(luck)
            return
        key = self.memory[board].key
        assert self.key[board] == key, "a record without its key on the board"
        known = self.ledger.get(board)
        before = None if known is None else Known(known, permitted=board in self.words)
        reason = judge_birth(LOT, len(self.ledger), before, key, 0)
        if reason in (Reason.NEW, Reason.REBORN):
            self.ledger[board] = self.first[board] = key
            self.words.discard(board)
        if luck != "done":
            self.interrupt(luck)
        elif reason in ACCEPTED:
            self.note(Step.RECORD, Event.OK)
        else:
            self.note(Step.RECORD, Event.REFUSED if reason is Reason.SECOND_IDENTITY else Event.CLOSED)

    def interrupt(self, luck: str) -> None:
        if luck == "gone":
            self.happen(Event.GONE)
        elif luck == "crash":   # of the station: only the journal is left
            self.place = Place()
        elif self.place.step is Step.RECORD:
            self.note(Step.RECORD, Event.AWAY)
        else:
            self.note(self.place.step, Event.FAILED)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_order_of_events_gives_a_second_identity_a_record_without_its_key_or_a_label_without_a_record(data):
    bench = Bench()
    for _ in range(data.draw(st.integers(1, 80))):
        step = bench.place.step
        if step is Step.EMPTY:
            bench.board = data.draw(st.sampled_from(["a", "b", "c", "d", "e"]))
            bench.happen(Event.PLUGGED)
        elif step in WORKING:
            bench.work(data)
        else:
            bench.happen(data.draw(st.sampled_from([Event.GONE, Event.AGAIN] if step is Step.HOLD else [Event.GONE])))
            if data.draw(st.integers(0, 9)) == 0:
                bench.memory.clear()      # another station, or a disk that was lost
                bench.place = Place()
            if bench.place.step is Step.EMPTY and data.draw(st.integers(0, 4)) == 0:
                bench.lose_key(bench.board)   # erased in repair
        assert bench.ledger == bench.first
    assert len(bench.ledger) <= LOT.quota
    assert set(bench.labels) <= set(bench.ledger)


@given(st.lists(st.sampled_from([Event.OK, Event.FAILED, Event.KEYLESS, Event.NEW, Event.KEYED]), min_size=80, max_size=80))
def test_a_board_that_keeps_failing_is_set_aside(events):
    place = move(Place(), Event.PLUGGED)
    for event in events:
        if (place.step, event) in TABLE:
            place = move(place, event)
    begun = sum(place.begun.values())
    assert begun <= sum(BEGUN.values())


def test_a_board_without_faults_goes_straight_through():
    place, seen = move(Place(), Event.PLUGGED), []
    while place.step in WORKING:
        seen.append(place.step)
        place = move(place, Event.NEW if place.step is Step.DETECT else Event.OK)
    assert tuple(seen) == WORKING
    assert place.step is Step.DONE


def test_every_step_knows_what_a_pulled_cable_means_and_every_working_one_what_a_failure_does():
    assert all((step, Event.GONE) in TABLE for step in Step)
    assert all((step, event) in TABLE for step in WORKING for event in (Event.FAILED, Event.REFUSED))
    assert set(BEGUN) == set(WORKING)


@pytest.mark.parametrize(("memory", "event"), [
    (Memory(), Event.NEW), (Memory(IMAGE), Event.FLASHED), (Memory(IMAGE, True), Event.TESTED),
    (Memory(IMAGE, True, "k"), Event.KEYED), (Memory("2" * 64, True, "k"), Event.NEW),
    (Memory("2" * 64, True, "k", True), Event.KEYED), (Memory(IMAGE, True, "k", True, True), Event.KEYED),
    (Memory(IMAGE, True, "k", True, True, True), Event.FINISHED), (born("k"), Event.KEYED),
])
def test_a_replugged_board_continues_or_starts_over(memory, event):
    assert known(memory, IMAGE) is event


def test_a_board_whose_birth_was_offered_is_never_flashed_again():
    memory = offered(Memory(IMAGE, True, "k"))
    with pytest.raises(ValueError, match="not flashed again"):
        began(memory, Step.FLASH)
    assert shown(memory, None) is Event.REFUSED
    assert shown(memory, "other") is Event.REFUSED
    assert set_aside(memory) == memory
    assert began(Memory(IMAGE, True, "k"), Step.FLASH) == Memory()


@pytest.mark.parametrize("memory", [Memory(), born("old"), replace(born("old"), recorded=True, labelled=True)])
def test_a_board_whose_key_was_lost_starts_over_by_an_operators_word_and_by_nothing_else(memory):
    assert known(told(memory, "old", may_change=True), IMAGE) is Event.NEW
    unasked = told(memory, "old", may_change=False)
    assert unasked.offered
    assert shown(unasked, None) is Event.REFUSED


def test_a_board_that_got_another_key_elsewhere_must_show_that_one():
    memory = told(replace(born("old"), recorded=True, labelled=True), "new", may_change=False)
    assert (known(memory, IMAGE), shown(memory, "old"), shown(memory, "new")) == (Event.KEYED, Event.REFUSED, Event.OK)


@pytest.mark.parametrize("memory", [Memory(IMAGE), Memory(IMAGE, tested=True, key="new"), offered(Memory(IMAGE, True, "new"))])
def test_a_board_that_has_begun_anew_by_a_word_goes_on_after_a_pulled_cable(memory):
    assert told(memory, "old", may_change=True) == memory


def test_a_record_that_may_be_under_way_is_not_forgotten_because_the_ledger_does_not_have_it_yet():
    memory = offered(Memory(IMAGE, True, "new"))
    assert told(memory, None, may_change=False) == memory
