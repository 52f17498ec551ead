"""What ingest tells of itself must be what it did: commits that happened, acknowledgements that left, messages that it refused."""

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.ingest.commit import Ack, Outcome
from host.ingest.figures import BUCKETS_S, Figures
from host.ingest.inbox import Inbox, Message
from host.monitor.catalogue import INGEST_METRICS
from host.monitor.exposition import render
from host.monitor.scrape import serve
from host.settings import SettingsError


def told(figures, waiting=0, limit=10, refused=0):
    return {(each.metric, *each.labels.values()): each.value for each in figures.samples(waiting, limit, refused)}


def test_a_commit_is_counted_whole():
    figures = Figures()
    figures.committed(Outcome((Ack("d", 1, 2, 0),) * 3, 5, 100, 2, 1), 8, 0.004, 1_700_000_000_500)
    found = told(figures, waiting=4, refused=6)
    counted = ("messages", "records", "readings", "duplicates", "quarantined", "acks")
    assert [found[f"tenfold_ingest_{name}_total",] for name in counted] == [8, 5, 100, 2, 1, 3]
    assert (found["tenfold_ingest_inbox_messages",], found["tenfold_ingest_refused_total",]) == (4, 6)
    assert found["tenfold_ingest_last_commit_timestamp_seconds",] == 1_700_000_000.5


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


def test_every_name_of_the_catalogue_is_told():
    families = {family.name + ("_total" if family.type == "counter" else "")
                for family in text_string_to_metric_families(render(Figures().samples(0, 1, 0)).decode())}
    assert families == set(INGEST_METRICS)


def test_a_full_inbox_counts_what_it_refuses():
    inbox = Inbox(1)
    assert [inbox.put(Message("t", b"", False, ())) for _ in range(3)] == [True, False, False]
    assert (len(inbox), inbox.refused) == (1, 2)


def test_a_scrape_on_loopback_answers_and_a_taken_port_is_told():
    figures = Figures()
    for port in range(20_000, 60_000, 37):
        try:
            stop = serve(port, lambda: figures.samples(0, 10, 0))
            break
        except SettingsError:
            continue
    try:
        figures.committed(Outcome((), 7), 7, 0.001, 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert "tenfold_ingest_records_total 7.0" in answer.read().decode()
        with pytest.raises(SettingsError, match=f"metrics_port: got {port}"):
            serve(port, lambda: figures.samples(0, 10, 0))
    finally:
        stop()
