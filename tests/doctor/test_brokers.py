"""Settings that lose data or let a device speak as another, and that nobody is told of; on real brokers."""

import json

import pytest

from host.broker import SERVICES
from host.doctor import examine, sessions
from host.doctor.codes import CODES, Severity, is_bad
from host.doctor.doors import doors, old_tls
from host.doctor.foreign import Foreign
from host.doctor.identity import DoctorError
from host.doctor.mqtt import Address
from host.doctor.rights import Rights
from host.settings import SettingsError

from .brokers import FOREIGN, LISTENER, MARK, ONE, OTHER, Pair, listening, mosquitto_with, nats

NO_TLS_CHECK = [("verify_and_map: true, ", ""), ('authorization {\n  include "users.conf"\n}', "")]
OWN = f"user {ONE}\n"


def codes(found, severity):
    return {one.code for one in found if one.severity is severity}


def bad(found):
    return codes(found, Severity.LOSES) | codes(found, Severity.LETS_IN)


def all_rights(server):
    return list(Rights(*server.identities()[:3], MARK).findings())


def all_foreign(server):
    one, other, listener, stranger = server.identities()
    return list(Foreign(stranger, one, other, listener, MARK).findings())


def all_doors(server):
    one = server.identities()[0]
    found = list(doors(server.address, server.pki.ca_file, ONE, [server.plain]))
    return [*found, old_tls(server.address, server.pki.ca_file, one.cert_file, one.key_file, ONE)]


def all_names(server):
    return list(sessions.names(*server.identities()[:3], MARK))


def all_queues(server, messages):
    one, _, listener, _ = server.identities()
    return list(sessions.queue(one, listener, MARK, messages))


def broker_codes():
    return {code for code in CODES if not code.startswith("database.")}


@pytest.mark.slow   # two whole examinations: half a minute
@pytest.mark.parametrize(("broker", "warnings"), [
    (nats, {"name.client_id", "name.session_deleted"}),   # what nats-server cannot do: deploy/nats tells why it is harmless
    (mosquitto_with, {"rights.share"}),                   # its ACL file does not look at subscriptions
])
def test_our_own_configuration_is_said_to_be_bad_or_a_check_is_left_out(broker, warnings, made, tmp_path):
    steps = []
    with broker(tmp_path, made) as server:
        found = list(examine.broker(server.case(), steps.append))
    assert not is_bad(found), [one for one in found if one.severity in {Severity.LOSES, Severity.LETS_IN}]
    assert codes(found, Severity.WARNING) == warnings
    assert {one.code for one in found} == broker_codes()
    assert not codes(found, Severity.UNTRIED)
    assert steps == ["doors", "names", "rights", "foreign devices", "queues"]


def test_what_nobody_gave_an_identity_for_looks_well(made, tmp_path):
    with nats(tmp_path, made) as server:
        found = list(examine.broker(server.case(second=None, ingest=None, foreign=None), lambda step: None))
    assert codes(found, Severity.UNTRIED) == {code for code in broker_codes() if not code.startswith("door.")}
    assert codes(found, Severity.FINE) == {"door.no_certificate", "door.foreign_ca", "door.plain", "door.old_tls"}


def test_a_nats_server_that_asks_for_no_certificate_passes(made, tmp_path):
    with nats(tmp_path, made, NO_TLS_CHECK) as server:
        assert bad(all_doors(server)) == {"door.no_certificate", "door.foreign_ca"}
        assert bad(all_rights(server)) == {
            "rights.publish", "rights.retain", "rights.will", "rights.ack", "rights.subscribe", "name.user"}


@pytest.mark.parametrize(("changes", "expected"), [
    ([("require_certificate true", "require_certificate false"), ("use_identity_as_username true\n", ""),
      ("use_username_as_clientid true\n", ""), ("allow_anonymous false", "allow_anonymous true")],
     {"door.no_certificate", "door.foreign_ca"}),
    ([("persistence false", "persistence false\nlistener PLAIN 127.0.0.1"), ("allow_anonymous false", "allow_anonymous true")],
     {"door.plain"}),
])
def test_a_door_of_mosquitto_stands_open(changes, expected, made, tmp_path):
    with mosquitto_with(tmp_path, made, changes) as server:
        assert bad(all_doors(server)) == expected


def test_mosquitto_speaks_an_old_tls(made, tmp_path):
    change = [("persistence false", "persistence false\ntls_version tlsv1.1\nciphers ALL:@SECLEVEL=0")]
    with mosquitto_with(tmp_path, made, change) as server:
        found = {one.code: one for one in all_doors(server)}
    assert found["door.old_tls"].severity is Severity.WARNING
    assert "TLSv1.1" in found["door.old_tls"].happened


@pytest.mark.slow   # a whole examination of rights each
@pytest.mark.parametrize(("changes", "expected"), [
    ([("acl_file", "#acl_file")],
     {"rights.publish", "rights.retain", "rights.will", "rights.ack", "rights.subscribe", "name.user"}),
    ([(OWN, OWN + "topic write t/+/up\n")], {"rights.publish", "name.user"}),
    ([(OWN, OWN + "topic write t/+/state\n")], {"rights.publish", "rights.retain", "rights.will"}),
    ([(OWN, OWN + f"topic write t/{ONE}/ack\n")], {"rights.ack"}),
    ([(OWN, OWN + "topic read t/+/ack\n")], {"rights.subscribe"}),
    ([(f"topic write t/{ONE}/up\n", "")], {"rights.own"}),
])
def test_an_acl_of_mosquitto_opens_anothers_doors_or_closes_ones_own(changes, expected, made, tmp_path):
    with mosquitto_with(tmp_path, made, changes) as server:
        assert bad(all_rights(server)) == expected


FOREIGNERS = f"user {FOREIGN}\n"


@pytest.mark.slow   # a whole examination of foreign devices each
@pytest.mark.parametrize(("changes", "expected", "happened"), [
    ([], set(), "dropped"),
    ([(FOREIGNERS, FOREIGNERS + "topic write s/+/senmlc\n")], {"foreign.publish"}, f"delivered: s/{ONE}/senmlc"),
    ([(FOREIGNERS, FOREIGNERS + f"topic write t/{ONE}/up\n")], {"foreign.publish"}, f"delivered: t/{ONE}/up"),
    ([(OWN, OWN + f"topic write s/{FOREIGN}/senml\n")], {"foreign.publish"}, f"delivered: s/{FOREIGN}/senml"),
    ([(OWN, OWN + f"topic write s/{OTHER}/senml\n")], {"foreign.publish"}, f"delivered: s/{OTHER}/senml"),
    ([(FOREIGNERS, FOREIGNERS + "topic read t/+/ack\n")], {"foreign.subscribe"}, "dropped"),
    ([("acl_file", "#acl_file")], {"foreign.publish", "foreign.subscribe"}, None),
    ([(f"topic write s/{FOREIGN}/senmlc\n", "")], {"foreign.own"}, None),
])
def test_an_acl_of_mosquitto_lets_a_foreign_device_speak_as_another_or_ours_as_a_foreign_one(
        changes, expected, happened, made, tmp_path):
    with mosquitto_with(tmp_path, made, changes) as server:
        found = {one.code: one for one in all_foreign(server)}
    assert bad(found.values()) == expected
    assert happened is None or found["foreign.publish"].happened == happened
    untried = {"foreign.publish", "foreign.subscribe"} if "foreign.own" in expected else set()
    assert codes(found.values(), Severity.UNTRIED) == untried


DOORS = f's.{FOREIGN}.senml", "s.{FOREIGN}.senmlc"], subscribe: {{deny: ">"}}'


@pytest.mark.parametrize(("changes", "expected"), [
    ([], set()), ([(DOORS, 's.*.senml"], subscribe: {deny: ">"}')], {"foreign.own"}),
    ([(DOORS, 's.>"], subscribe: "t.*.up"')], {"foreign.publish", "foreign.subscribe"}),
])
def test_users_of_a_nats_server_let_a_foreign_device_speak_as_another(changes, expected, made, tmp_path):
    with nats(tmp_path, made, changes) as server:
        assert bad(all_foreign(server)) == expected


def test_a_broker_that_was_not_told_of_foreign_devices_is_well(made, tmp_path):
    """Its files were rendered before there were any: the listener must say that it hears nothing."""
    old = [(f'"s.{name}.{kind}", ', "") for name in (ONE, OTHER) for kind in ("senml", "senmlc")]
    with nats(tmp_path, made, old) as server, pytest.raises(DoctorError, match="render the broker's users anew"):
        all_foreign(server)


def test_a_device_of_ours_stands_for_a_foreign_one(made, tmp_path):
    with nats(tmp_path, made) as server, pytest.raises(SettingsError, match="not ours"):
        list(examine.broker(server.case(foreign=server.case().device), lambda step: None))


@pytest.mark.slow
def test_a_user_name_is_believed(made, tmp_path):
    """Certificates are asked for and verified, and then the user name decides."""
    changes = [("use_identity_as_username true\n", ""), ("use_username_as_clientid true\n", ""),
               ("allow_anonymous false", "allow_anonymous true"),
               ("# Rendered by host.mosquitto. After a change: SIGHUP to the broker.",
                f"topic write t/{ONE}/up\ntopic read t/{ONE}/up\ntopic read t/{OTHER}/#\ntopic read t/{ONE}/#\n"
                "topic write t/+/ack")]
    with mosquitto_with(tmp_path, made, changes) as server:
        assert "name.user" in bad(all_rights(server))


@pytest.mark.slow
def test_mosquitto_tells_a_device_about_itself(made, tmp_path):
    with mosquitto_with(tmp_path, made, [(OWN, OWN + "topic read $SYS/#\n")]) as server:
        found = {one.code: one for one in all_rights(server)}
    assert found["rights.sys"].severity is Severity.WARNING
    assert "$SYS/broker" in found["rights.sys"].happened


def test_mosquitto_gives_a_session_to_whoever_has_its_client_id(made, tmp_path):
    """Its ACL file still keeps what waits from the thief, if there is one."""
    unbound = [("use_username_as_clientid true\n", "")]
    for changes, expected in ((unbound, set()), ([*unbound, ("acl_file", "#acl_file")], {"name.session_read"})):
        with mosquitto_with(tmp_path, made, changes) as server:
            found = all_names(server)
        assert bad(found) == expected
        assert codes(found, Severity.WARNING) == {"name.client_id", "name.session_deleted"}


def test_mosquittos_own_queue_loses_3980_of_5000_acknowledged_messages(made, tmp_path):
    """max_queued_messages is 1,000 when nobody sets it, and 20 are under way."""
    with mosquitto_with(tmp_path, made, [("max_queued_messages 100000\n", "")]) as server:
        found = {one.code: one for one in all_queues(server, 5000)}
    assert found["queue.drops"].severity is Severity.LOSES
    assert found["queue.drops"].happened == "5,000 acknowledged, 3,980 of them lost"
    assert "max_queued_messages 100000" in str(found["queue.drops"].mend)


def test_a_short_queue_for_who_is_away_and_a_size_below_a_batch(made, tmp_path):
    changes = [("max_queued_messages 100000", "max_queued_messages 50"), ("message_size_limit 65536", "message_size_limit 2000")]
    with mosquitto_with(tmp_path, made, changes) as server:
        assert bad(all_queues(server, 300)) == {"queue.drops", "queue.offline", "size.batch"}


def test_a_device_that_the_broker_does_not_know_looks_like_a_broken_broker(made, tmp_path):
    with nats(tmp_path, made, [(f"CN={ONE}", "CN=doctor-00000000000f")]) as server, \
            pytest.raises(DoctorError, match=f"{ONE} was not let in: CONNACK 5"):
        list(examine.broker(server.case(), lambda step: None))


def test_a_broker_that_is_away_is_told(made):
    pair = Pair(made.cert(ONE), made.key(ONE))
    with pytest.raises(DoctorError, match="refused"):
        list(examine.broker(examine.Case(Address("127.0.0.1", 1, "localhost"), made.ca_file, pair), lambda step: None))


def test_one_device_twice_proves_nothing(made, tmp_path):
    with nats(tmp_path, made) as server, pytest.raises(SettingsError, match="another certificate"):
        list(examine.broker(server.case(second=server.case().device), lambda step: None))


def test_a_web_server_at_the_plain_port_is_taken_for_a_broker(made):
    with listening(b"HTTP/1.0 400 Bad Request\r\n\r\n") as port:
        found = list(doors(Address("127.0.0.1", 1, "localhost"), made.ca_file, ONE, [port]))
    assert {one.code: one.severity for one in found}["door.plain"] is Severity.FINE


def test_a_listener_that_hears_nothing_finds_everything_well(made, tmp_path):
    deaf = [(f"subscribe: {json.dumps(SERVICES[LISTENER].subscribe)}", 'subscribe: ["t.none"]')]
    with nats(tmp_path, made, deaf) as server, pytest.raises(DoctorError, match="must be allowed what ingest is allowed"):
        all_rights(server)
