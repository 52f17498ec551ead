"""What ingest tells of itself must be what it did: commits that happened, acknowledgements that left, messages that it refused."""

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.ingest.commit import Ack, Outcome
from host.ingest.figures import BUCKETS_MESSAGES, BUCKETS_S, CODES_MAX, Figures
from host.ingest.inbox import Inbox, Message, Waiting
from host.ingest.sort import Reject
from host.monitor.catalogue import INGEST_METRICS
from host.monitor.exposition import render
from host.monitor.scrape import serve
from host.settings import SettingsError

NOW = 1_700_000_000_000
EMPTY = Waiting(0, 0, 10, 1000, 0, 0)


def told(figures, waiting=EMPTY):
    return {(each.metric, *each.labels.values()): each.value for each in figures.samples(waiting, NOW)}


def test_a_commit_is_counted_whole():
    figures = Figures()
    figures.committed(Outcome((Ack("d", 1, 2, 0),) * 3, 5, 100, 2, 1), 8, 0.004, 1_700_000_000_500)
    found = told(figures, Waiting(4, 400, 10, 1000, 6, NOW - 2500))
    counted = ("messages", "records", "readings", "duplicates", "quarantined", "acks")
    assert [found[f"tenfold_ingest_{name}_total",] for name in counted] == [8, 5, 100, 2, 1, 3]
    assert (found["tenfold_ingest_inbox_messages",], found["tenfold_ingest_refused_total",]) == (4, 6)
    assert found["tenfold_ingest_last_commit_timestamp_seconds",] == 1_700_000_000.5
    assert (found["tenfold_ingest_inbox_bytes",], found["tenfold_ingest_inbox_limit_bytes",]) == (400, 1000)


@pytest.mark.parametrize(("oldest_ms", "lag_s"), [(0, 0), (NOW - 2500, 2.5), (NOW + 100, 0)])   # a broker's clock may be ahead
def test_an_empty_inbox_is_half_a_century_behind(oldest_ms, lag_s):
    assert told(Figures(), Waiting(1, 1, 10, 1000, 0, oldest_ms))["tenfold_ingest_lag_seconds",] == lag_s


def test_reasons_of_quarantine_are_not_told_apart_or_become_more_and_more_series():
    figures = Figures()
    for number in range(CODES_MAX + 5):
        rejects = (Reject("t", "d", f"made.up{number}", b""),) * 2
        figures.committed(Outcome((), quarantined=2, rejects=rejects), 2, 0.001, 0)
    figures.committed(Outcome((), quarantined=1, rejects=rejects[:1]), 1, 0.001, 0)
    found = {name[1]: value for name, value in told(figures).items() if name[0] == "tenfold_ingest_rejects_total"}
    assert len(found) == CODES_MAX + 1
    assert (found["made.up0"], found["other"]) == (2, 11)
    assert sum(found.values()) == told(figures)["tenfold_ingest_quarantined_total",]


def test_commit_times_are_a_histogram_that_adds_up():
    figures = Figures()
    for seconds in (0.0005, 0.001, 0.03, 60.0):
        figures.committed(Outcome(()), 1, seconds, 0)
    found = told(figures)
    buckets = [found["tenfold_ingest_commit_seconds_bucket", repr(bound)] for bound in BUCKETS_S]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[5], buckets[-1]) == (2, 3, 3)
    assert found["tenfold_ingest_commit_seconds_bucket", "+Inf"] == found["tenfold_ingest_commit_seconds_count",] == 4
    assert found["tenfold_ingest_commit_seconds_sum",] == pytest.approx(60.0315)
    assert found["tenfold_ingest_commit_messages_bucket", "1"] == found["tenfold_ingest_commit_messages_sum",] == 4


def test_large_commits_are_told_like_small_ones():
    figures = Figures()
    for messages in (1, 3, 512, 900):
        figures.committed(Outcome(()), messages, 0.001, 0)
    found = told(figures)
    buckets = [found["tenfold_ingest_commit_messages_bucket", str(bound)] for bound in (*BUCKETS_MESSAGES, "+Inf")]
    assert buckets == [1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 4]


def test_every_name_of_the_catalogue_is_told():
    figures = Figures()
    figures.committed(Outcome((), rejects=(Reject("t", "d", "conflict", b""),)), 1, 0.001, 0)
    families = {family.name + ("_total" if family.type == "counter" else "")
                for family in text_string_to_metric_families(render(figures.samples(EMPTY, NOW)).decode())}
    assert families == set(INGEST_METRICS)


def test_a_full_inbox_counts_what_it_refuses():
    inbox = Inbox(1, 1000)
    assert [inbox.put(Message("t", b"", False, ())) for _ in range(3)] == [True, False, False]
    assert (inbox.state().messages, inbox.state().refused) == (1, 2)


def test_a_scrape_on_loopback_answers_and_a_taken_port_is_told():
    figures = Figures()
    for port in range(20_000, 60_000, 37):
        try:
            stop = serve(port, lambda: figures.samples(EMPTY, NOW))
            break
        except SettingsError:
            continue
    try:
        figures.committed(Outcome((), 7), 7, 0.001, 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert "tenfold_ingest_records_total 7.0" in answer.read().decode()
        with pytest.raises(SettingsError, match=f"metrics_port: got {port}"):
            serve(port, lambda: figures.samples(EMPTY, NOW))
    finally:
        stop()
