"""What Prometheus finds at the console: the fleet's figures, bounded, and no page without an answer when a source is away."""

import sqlite3

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.console.ota import NoOta
from host.console.settings import ConsoleSettings
from host.db import open_engine
from provisioning import tables
from tests.console.conftest import NOW_MS, Clock, Console


def scraped(console):
    answer = console.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {(sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text) for sample in family.samples}


@pytest.fixture
def make(fleet, words):
    made = []

    def console(**settings):
        made.append(Console(ConsoleSettings(**{"database": fleet.url} | settings), words.source(), Clock()))
        return made[-1]

    yield console
    for each in made:
        each.close()


def test_the_fleets_figures_stand_by_release_model_and_site(make):
    found = scraped(make())
    assert found["tenfold_devices_online", "1.0.0", "hall", "nord"] == 3
    assert found["tenfold_devices_online", "1.0.0", "hall", "sued"] == 3
    assert found["tenfold_crashes_total", "1.0.0", "hall", "nord"] == 2
    assert not [key for key in found if key[0].startswith("tenfold_device_")]


def test_devices_stand_one_by_one_only_up_to_the_setting(make, fleet):
    found = scraped(make(metrics_devices=2))
    assert {key[-1] for key in found if key[0] == "tenfold_device_online"} <= {"nord", "sued"}
    assert len([key for key in found if key[0] == "tenfold_device_online"]) == 2
    assert found["tenfold_devices_left_out",] == 4


def test_an_update_server_that_is_away_costs_its_figures_only(make, words):
    words.down = True
    found = scraped(make())
    assert found["tenfold_source_up", "update_server"] == 0
    assert found["tenfold_devices_online", "1.0.0", "none", "unknown"] == 6
    assert not [key for key in found if key[0] == "tenfold_crashes_total"]


def test_a_plant_without_an_update_server_misses_none(fleet, make, words):
    console = Console(ConsoleSettings(database=fleet.url), NoOta(), Clock())
    found = scraped(console)
    console.close()
    assert {key for key in found if key[0] == "tenfold_source_up"} == {("tenfold_source_up", "telemetry")}


def test_a_telemetry_database_that_is_away_is_a_sample_and_no_empty_page(make, tmp_path):
    assert scraped(make(database=f"sqlite:///{tmp_path}/none.db")) == {("tenfold_source_up", "telemetry"): 0}


def test_sources_are_asked_once_for_all_that_scrape(make, words):
    console = make()
    for _ in range(3):
        scraped(console)
    assert words.asked.count("/admin/metrics/totals") == 1


def test_certificates_ends_are_the_ledgers(make, fleet, tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    tables.metadata.create_all(engine)
    engine.dispose()
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:   # without its births: only rows of certificates are asked for
        ledger.execute("INSERT INTO certificates (serial, n, device, not_after_s, at_s) VALUES ('1', 1, ?, ?, 1)",
                       (fleet.devices[0], NOW_MS // 1000 + 86_400))
    ledger.close()
    found = scraped(make(ledger=f"sqlite:///{tmp_path}/ledger.db"))
    assert found["tenfold_certificate_left_seconds_min", "1.0.0", "hall", "nord"] == 86_400
    assert found["tenfold_source_up", "ledger"] == 1


def test_a_ledger_that_is_not_there_is_not_made(make, tmp_path):
    assert scraped(make(ledger=f"sqlite:///{tmp_path}/none.db"))["tenfold_source_up", "ledger"] == 0
    assert not (tmp_path / "none.db").exists()
