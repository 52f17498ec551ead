"""A process that cannot start says why in one line and ends with 2."""

import json

from host.ingest.__main__ import main
from host.stopping import EXIT_CANNOT_START


def start(tmp_path, caplog, **settings):
    config = tmp_path / "ingest.json"
    config.write_text(json.dumps(settings))
    code = main(["--config", str(config)])
    return code, caplog.records[-1].getMessage()


def test_missing_setting_is_named(tmp_path, caplog):
    code, said = start(tmp_path, caplog, cert_file="c", key_file="k")
    assert (code, "setting ca_file: got nothing" in said) == (EXIT_CANNOT_START, True)


def test_client_id_that_the_broker_would_refuse_is_named(tmp_path, caplog):
    code, said = start(tmp_path, caplog, ca_file="a", cert_file="c", key_file="k", client_id="svc.ingest")
    assert (code, "setting client_id: got 'svc.ingest'" in said) == (EXIT_CANNOT_START, True)


def test_unreadable_certificate_is_named(tmp_path, caplog):
    code, said = start(tmp_path, caplog, ca_file=str(tmp_path / "none.pem"), cert_file="c", key_file="k")
    assert (code, "none.pem" in said) == (EXIT_CANNOT_START, True)
