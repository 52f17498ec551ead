"""The brokers' files: who gets an account, and that the examples are what is rendered."""

import os
import re
from pathlib import Path

import pytest

from host import broker, emqx, mosquitto
from node.wire.identity import is_device_id

A, B = "hall-0242ac110001", "hall-0242ac110002"


@pytest.mark.parametrize("name", ["svc.ingest", "hall-0242ac110001\"}", "*", "hall-0242AC110001", ">", ""])
def test_only_device_ids_become_devices(name):
    with pytest.raises(broker.BrokerError, match="expected a device id"):
        broker.render_users([name])


def test_the_example_is_what_is_rendered():
    folder = Path(__file__).parent.parent.parent / "deploy/nats"
    etc, store = Path("/etc/tenfold/pki"), Path("/var/lib/tenfold/nats")
    settings = broker.BrokerSettings(
        host="0.0.0.0", cert_file=etc / "svc.broker.pem", key_file=etc / "svc.broker.key", ca_file=etc / "ca.pem",
        store_dir=store, log_file=Path("/var/log/tenfold/nats.log"))
    assert (folder / broker.MAIN_FILE).read_text(encoding="utf-8") == broker.render(settings)
    routes = tuple(f"broker{number}.plant.example:6222" for number in (1, 2, 3))
    node = settings.model_copy(update={
        "server_name": "tenfold-1", "client_host": "0.0.0.0", "cluster": broker.ClusterSettings(host="0.0.0.0", routes=routes)})
    assert (folder / "cluster.conf").read_text(encoding="utf-8") == broker.render(node)
    assert (folder / broker.USERS_FILE).read_text(encoding="utf-8") == broker.render_users([A, B])


def test_the_users_are_rendered_sorted_and_once():
    text = broker.render_users([B, A, A])
    assert text.index(A) < text.index(B)
    assert text.count(f'"CN={A}"') == 1


def test_mosquittos_example_is_what_is_rendered():
    folder, etc, var = Path(__file__).parent.parent.parent / "deploy/mosquitto", Path("/etc/tenfold/pki"), Path("/var/lib/tenfold")
    settings = mosquitto.MosquittoSettings(
        host="0.0.0.0", cert_file=etc / "svc.broker.pem", key_file=etc / "svc.broker.key", ca_file=etc / "ca.pem",
        crl_file=var / "crl.pem", acl_file=var / "mosquitto.acl", pid_file=Path("/run/mosquitto/mosquitto.pid"))
    assert (folder / "mosquitto.conf").read_text(encoding="utf-8") == mosquitto.render(settings)
    assert (folder / "mosquitto.acl").read_text(encoding="utf-8") == mosquitto.render_acl([B, A])


def test_mosquittos_acl_has_doors_for_device_ids_only():
    with pytest.raises(broker.BrokerError, match="expected a device id"):
        mosquitto.render_acl(["+"])


def test_emqxs_example_is_what_is_rendered():
    folder, etc = Path(__file__).parent.parent.parent / "deploy/emqx", Path("/etc/tenfold/pki")
    settings = emqx.EmqxSettings(
        host="0.0.0.0", cert_file=etc / "svc.broker.pem", key_file=etc / "svc.broker.key", ca_file=etc / "ca.pem",
        acl_file=Path("/var/lib/tenfold/emqx-acl.conf"))
    assert (folder / emqx.CONFIG_FILE).read_text(encoding="utf-8") == emqx.render(settings)
    assert (folder / emqx.ACL_FILE).read_text(encoding="utf-8") == emqx.render_acl([B, A])


def test_emqxs_rules_have_doors_for_device_ids_only_and_end_with_a_refusal():
    with pytest.raises(broker.BrokerError, match="expected a device id"):
        emqx.render_acl(["+"])
    for rules in (emqx.render_acl([A]), emqx.render_acl(None)):
        assert rules.endswith("\n{deny, all}.\n")
        assert rules.count("{allow, all") == 0


@pytest.mark.parametrize("name", [A, "svc.ingest", "op.anna", "+", "hall-0242AC110001", "hall-0242ac11000", f"{A}x", ""])
def test_emqxs_rule_for_all_devices_fits_other_names(name):
    assert bool(re.search(emqx.DEVICE_PATTERN, name)) == is_device_id(name)
    assert f'{{re, "{emqx.DEVICE_PATTERN}"}}' in emqx.render_acl(None)


def test_a_device_that_is_not_ours_gets_no_door_of_ours():
    text = mosquitto.render_acl([A], foreign_ids=[B])
    assert text.split(f"user {B}\n")[1].split() == f"topic write s/{B}/senml topic write s/{B}/senmlc".split()
    doors = f'{{user: "CN={B}", permissions: {{publish: ["s.{B}.senml", "s.{B}.senmlc"], subscribe: {{deny: ">"}}}}'
    assert doors in broker.render_users([A], foreign_ids=[B])


@pytest.mark.parametrize(("foreign", "words"), [([A], "a device of ours"), (["pump"], "a device id"), (["+"], "a device id")])
def test_a_foreign_id_that_would_open_other_doors_is_refused(foreign, words):
    with pytest.raises(broker.BrokerError, match=words):
        broker.accounts([A], foreign)


def test_a_server_that_keeps_its_files_to_itself_leaves_the_broker_without_its_users(tmp_path):
    before = os.umask(0o077)
    try:
        for _ in range(2):   # a new file, and one in the place of another
            broker.write_users(tmp_path, [])
    finally:
        os.umask(before)
    assert (tmp_path / broker.USERS_FILE).stat().st_mode & 0o777 == 0o644
