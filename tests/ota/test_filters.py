"""Which devices a rollout is for."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.rules.filters import check, from_json, label_miss, may_share, miss
from ota.rules.values import Filter, Labels, Tags

NORD = Labels("nord", ("old-sensor", "pilot"), "Europe/Oslo")


@pytest.mark.parametrize(("wanted", "why"), [
    (Filter(), ""),
    (Filter(models=("roof",)), "model: got hall, expected roof"),
    (Filter(sites=("sued", "west")), "site: got nord, expected sued, west"),
    (Filter(sites=("nord",)), ""),
    (Filter(tags=Tags(any=("lab", "pilot"))), ""),
    (Filter(tags=Tags(any=("lab",))), "tags: has old-sensor, pilot, expected lab"),
    (Filter(tags=Tags(none=("pilot",))), "tags: has pilot, which the rollout leaves out"),
    (Filter(tags=Tags(("pilot",), ("old-sensor",))), "tags: has old-sensor, which the rollout leaves out"),
    (Filter(versions=(4, 9)), "version: runs counter 3, expected 4 to 9"),
    (Filter(versions=(3, 3)), ""),
    (Filter(("hall",), ("nord",), Tags(("pilot",), ("lab",)), (1, 3)), ""),
])
def test_a_device_matches_or_is_told_why_not(wanted: Filter, why: str) -> None:
    assert miss(wanted, "hall", 3, NORD) == why


def test_a_device_without_a_site_is_in_none() -> None:
    assert label_miss(Filter(sites=("nord",)), Labels()) == "site: got none, expected nord"


names = st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=2).map(tuple)
filters = st.builds(Filter, names, names, st.builds(Tags, names, names),
                    st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (min(pair), max(pair))))
labels = st.builds(
    Labels, st.sampled_from(["", "a", "b", "c"]), st.lists(st.sampled_from("abc"), unique=True).map(sorted).map(tuple))


@given(one=filters, other=filters, model=st.sampled_from("abc"), counter=st.integers(0, 3), said=labels)
def test_filters_that_cannot_share_a_device_never_do(one, other, model, counter, said) -> None:
    assert may_share(one, other) == may_share(other, one)
    if not miss(one, model, counter, said) and not miss(other, model, counter, said):
        assert may_share(one, other)


@given(wanted=filters, said=labels, counter=st.integers(0, 3))
def test_labels_are_a_part_of_the_filter(wanted, said, counter) -> None:
    if not miss(wanted, "a", counter, said):
        assert not label_miss(wanted, said)


@given(wanted=filters)
def test_what_a_row_keeps_is_what_was_chosen(wanted) -> None:
    assert from_json(json.loads(json.dumps(asdict(wanted)))) == wanted


def test_a_filter_that_leaves_out_what_it_asks_for_is_refused() -> None:
    with pytest.raises(ValueError, match="any and none"):
        check(Filter(tags=Tags(("a",), ("a",))))
    check(Filter(tags=Tags(("a", "b"), ("a",))))
