"""`tenfold doctor` from the command line: an exit code that lies, a report that lacks what to do."""

import json

import pytest
from typer.testing import CliRunner

from host.broker import TEST_DEVICES, TEST_FOREIGN
from host.cli.root import app
from host.doctor import examine
from host.doctor.codes import CODES, judge, untried

from .brokers import ONE


@pytest.fixture
def files(made):
    return ["--ca", made.ca_file, "--cert", made.cert(ONE), "--key", made.key(ONE)]


def invoke(*args):
    return CliRunner().invoke(app, ["doctor", *map(str, args)])


@pytest.mark.parametrize(("bad", "code"), [("queue.drops", 1), ("rights.publish", 1), ("name.client_id", 0), (None, 0)])
def test_a_nuisance_ends_like_a_loss_or_a_loss_like_a_nuisance(bad, code, files, monkeypatch):
    found = [judge(each, each == bad, "tried", "happened") for each in CODES] + [untried("size.batch", "tried", "why")]
    monkeypatch.setattr(examine, "broker", lambda case, step: iter(found))
    result = invoke(*files, "--json")
    assert result.exit_code == code
    report = json.loads(result.stdout)
    assert report["bad"] == bool(code)
    for one in report["findings"]:
        assert bool(one["mend"]) == (one["code"] == bad)
    shown = invoke(*files)
    assert shown.exit_code == code
    assert not bad or next(iter(CODES[bad].mend.values())) in shown.output


@pytest.mark.parametrize(("args", "said"), [
    ([], "expected --ca, --cert and --key, or --database"),
    (["--cert", __file__], "a certificate and its key go together"),
    (["--cert", __file__, "--key", __file__], "expected --ca beside --cert"),
])
def test_half_an_identity_is_taken(args, said):
    result = invoke(*args)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_the_help_names_other_test_devices_than_brokers_know():
    told = invoke("--help").output
    assert all(name in told for name in (*TEST_DEVICES, TEST_FOREIGN))
