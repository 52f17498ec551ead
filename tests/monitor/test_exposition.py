"""The text that Prometheus reads: every family with its kind and help, and what promtool has no word against."""

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.ingest.commit import Outcome
from host.ingest.figures import Figures
from host.ingest.inbox import Waiting
from host.ingest.sort import Reject
from host.monitor.catalogue import METRICS
from host.monitor.exposition import render
from host.monitor.sample import Sample
from host.monitor.samples import fleet_samples
from host.upkeep.keeper import Done, Keeper, Task
from tests.monitor.test_samples import everything


@pytest.fixture(scope="module")
def text():
    upkeep = Keeper([Task("compact", 3600, lambda over: Done(""))], lambda: 0.0).samples()
    figures = Figures()
    figures.committed(Outcome((), rejects=(Reject("t/x/up", "", "topic.name", b""),)), 1, 0.001, 0)
    ingest = figures.samples(Waiting(0, 0, 10, 1000, 0, 0), 0)
    return render([*fleet_samples(everything(), devices_max=None), *ingest, *upkeep]).decode()


def test_every_family_is_told_with_its_kind_and_help(text):
    found = {family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
             for family in text_string_to_metric_families(text)}
    assert found == {name: (metric.kind, metric.text) for name, metric in METRICS.items()}


def test_a_name_that_the_catalogue_lacks_is_our_fault_and_not_told():
    with pytest.raises(KeyError, match="tenfold_new"):
        render([Sample("tenfold_new", {}, 1)])


def test_promtool_has_no_word_against_it(text):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: the names are NOT checked by it (Debian: prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
