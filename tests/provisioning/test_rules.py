"""The rules: names, quota, validity."""

import dataclasses

import pytest

from provisioning.rules.names import Kind, kind_of
from provisioning.rules.quota import Known, Lot, Reason, judge_birth
from provisioning.rules.validity import ISSUE_LIMIT, SHELF_LIFE_S, History, Verdict, judge_enrolment

LOT = Lot("lot-1", "04" * 65, quota=2, expires_s=1000)
FRESH = History(issued_in_window=0, ever_issued=False, revoked=False)


@pytest.mark.parametrize(("name", "kind"), [
    ("hall-0242ac110001", Kind.DEVICE), ("svc.ingest", Kind.SERVICE), ("op.console", Kind.OPERATOR),
    ("st.bench-1", Kind.STATION), ("st.hall_2.bench-1", Kind.STATION), ("st.", None), ("st." + "a" * 33, None), ("st.a/b", None),
    ("hall-0242AC110001", None), ("hall-0242ac11000", None), ("svc.", None), ("svc.a.b", None), ("op.Console", None),
    ("svc.ingest\n", None), ("Tenfold Root CA", None), ("", None), ("hall-0242ac110001 ", None), ("svc.ïngest", None),
])
def test_a_name_has_one_kind_or_none(name, kind):
    assert kind_of(name) is kind


@pytest.mark.parametrize(("births", "known", "now_s", "reason"), [
    (0, None, 0, Reason.NEW), (1, None, 999, Reason.NEW),
    (2, None, 0, Reason.QUOTA), (0, None, 1000, Reason.LOT_EXPIRED),
    (2, "aa", 5000, Reason.KNOWN), (0, "bb", 0, Reason.SECOND_IDENTITY),
])
def test_a_lot_admits_no_more_than_ordered_and_no_second_identity(births, known, now_s, reason):
    assert judge_birth(LOT, births, known and Known(known), "aa", now_s) is reason


@pytest.mark.parametrize(("known", "now_s", "reason"), [
    (Known("bb", permitted=True), 0, Reason.REBORN),            # a full lot, too: it was counted
    (Known("bb", permitted=True, revoked=True), 0, Reason.REVOKED),
    (Known("bb", revoked=True), 0, Reason.SECOND_IDENTITY),
    (Known("aa", permitted=True), 0, Reason.KNOWN),             # it has its key still: the word is not used up
    (Known("bb", permitted=True), LOT.expires_s, Reason.LOT_EXPIRED),
])
def test_another_key_takes_an_operators_word_and_no_revocation(known, now_s, reason):
    assert judge_birth(LOT, LOT.quota, known, "aa", now_s) is reason


def test_a_revoked_lot_admits_no_birth():
    assert judge_birth(dataclasses.replace(LOT, revoked=True), 0, None, "aa", 0) is Reason.LOT_REVOKED


@pytest.mark.parametrize(("history", "revoked_lot", "now_s", "verdict"), [
    (FRESH, False, 0, Verdict.ISSUE),
    (FRESH, False, 1000 + SHELF_LIFE_S - 1, Verdict.ISSUE),
    (FRESH, False, 1000 + SHELF_LIFE_S, Verdict.SHELF_LIFE),
    (History(0, True, False), False, 10**12, Verdict.ISSUE),
    (History(ISSUE_LIMIT - 1, True, False), False, 0, Verdict.ISSUE),
    (History(ISSUE_LIMIT, True, False), False, 0, Verdict.TOO_MANY),
    (History(0, True, True), False, 0, Verdict.REVOKED),
    (FRESH, True, 0, Verdict.LOT_REVOKED),
])
def test_a_certificate_is_issued_by_rule(history, revoked_lot, now_s, verdict):
    assert judge_enrolment(dataclasses.replace(LOT, revoked=revoked_lot), history, now_s) is verdict
