"""`tenfold route` against a real BIND: pushed whole or not at all, pushed twice changes nothing, the key is told to nobody."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from typer.testing import CliRunner

from host.cli.root import app
from provisioning.errors import ProvisioningError
from provisioning.routing import server as module
from provisioning.routing.file import load
from provisioning.routing.key import read_key
from provisioning.routing.server import Server
from provisioning.rules.zone import serial_of
from tests.provisioning.named import ZONE, Named, make_key

ONE, TWO = "hall-0242ac110001", "hall-0242ac110002"


@pytest.fixture
def named(tmp_path):
    with Named(tmp_path / "named") as named:
        yield named


@pytest.fixture
def route(tmp_path, named):
    """Run `tenfold route`; a refusal is raised."""
    def run(*words, code=0):
        options = {"push": ["--server", named.say, "--key", str(named.key)]}.get(words[0], [])
        done = CliRunner().invoke(app, ["route", *words, "--file", str(tmp_path / "routes.json"), *options])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    run("set", "main", "192.0.2.10", "2001:db8::10", "--zone", ZONE)
    run("set", "nord", "192.0.2.20")
    run("set", "*", "main")
    return run


def serial(named):
    return int(named.dig(ZONE, "SOA")[2])


def test_device_is_moved_by_a_record_and_goes_back_with_it(route, named):
    assert f"serial 7 -> {serial(named) + 1}, 1 update" in route("push")
    assert named.dig(f"{ONE}.{ZONE}", "A") == [f"main.{ZONE}.", "192.0.2.10"]
    route("set", ONE, "nord", "--why", "hall 2", "--by", "ann")
    assert f"+ {ONE} 60 CNAME nord.{ZONE}" in route("push", "--dry-run")
    assert named.dig(f"{ONE}.{ZONE}", "A")[0] == f"main.{ZONE}."
    route("push")
    assert named.dig(f"{ONE}.{ZONE}", "A") == [f"nord.{ZONE}.", "192.0.2.20"]
    assert named.dig(f"{TWO}.{ZONE}", "AAAA") == [f"main.{ZONE}.", "2001:db8::10"]
    route("clear", ONE)
    route("push")
    assert named.dig(f"{ONE}.{ZONE}", "A")[0] == f"main.{ZONE}."


def test_push_of_what_is_there_changes_nothing(route, named):
    route("push")
    before = serial(named)
    said = json.loads(route("push", "--json"))
    assert (said["updates"], said["changes"], said["serial"], serial(named)) == (0, [], before, before)


def test_another_ttl_or_another_kind_of_record_replaces_the_old_one(route, named):
    route("set", ONE, "nord")
    route("push")
    route("set", ONE, "2001:db8::1", "--ttl-s", "300")
    route("push")
    assert named.dig("+noshort", "+noall", "+answer", "+nocl", f"{ONE}.{ZONE}", "ANY")[-3:] == ["300", "AAAA", "2001:db8::1"]
    route("set", "nord", "192.0.2.20", "--ttl-s", "5")
    route("push")
    assert named.dig("+noshort", "+noall", "+answer", "+nocl", f"nord.{ZONE}", "A")[-3] == "5"


def test_group_keeps_its_way_when_one_of_it_is_moved_by_a_real_server_too(route, named):
    route("push")
    assert named.dig(f"{TWO}.sued.{ZONE}", "A")[-1] == "192.0.2.10"
    route("set", f"{ONE}.sued", "nord")
    route("push")
    assert (named.dig(f"{ONE}.sued.{ZONE}", "A")[-1], named.dig(f"{TWO}.sued.{ZONE}", "A")[-1]) == ("192.0.2.20", "192.0.2.10")


def test_change_of_somebody_else_meanwhile_is_not_lost(route, named, tmp_path):
    """Between our reading and our update another operator adds a record: the update's condition fails, the second try sees it."""
    class Slow(Server):
        tries = 0

        def _update(self, message, zone):
            self.tries += 1
            if self.tries == 1:
                named.update(f"update add {TWO}.{ZONE} 60 A 192.0.2.77")
            return super()._update(message, zone)

    slow = Slow(named.say)
    pushed = slow.push(load(tmp_path / "routes.json"), read_key(named.key))
    assert (slow.tries, pushed.messages) == (2, 1)
    assert named.dig(f"{TWO}.{ZONE}", "A")[-1] == "192.0.2.10"   # the file's word, told knowingly


def test_zone_that_never_stands_still_is_left_alone(route, named, tmp_path):
    class Restless(Server):
        def _update(self, message, zone):
            named.update(f"update add {TWO}.{ZONE} 60 A 192.0.2.77", "send", f"update delete {TWO}.{ZONE} A")
            return super()._update(message, zone)

    with pytest.raises(ProvisioningError, match=r"route\.busy"):
        Restless(named.say).push(load(tmp_path / "routes.json"), read_key(named.key))
    assert named.dig(f"main.{ZONE}", "A") == []


def test_update_that_the_server_refuses_leaves_the_zone_as_it_was(tmp_path, route, named):
    route("push")
    named.stop()
    with Named(tmp_path / "strict", records="nord 60 IN A 192.0.2.21\n", policy="zonesub CNAME") as strict:
        with pytest.raises(ProvisioningError, match=r"route\.refused.*REFUSED"):
            Server(strict.say).push(load(tmp_path / "routes.json"), read_key(strict.key))
        assert (serial(strict), strict.dig(f"nord.{ZONE}", "A"), strict.dig(f"{ONE}.{ZONE}", "A")) == (7, ["192.0.2.21"], [])


def test_large_change_goes_in_several_whole_messages(route, named, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MESSAGE_BYTES", 500)
    for last in range(16):
        route("set", f"hall-0242ac1100{last:02x}", "nord")
    said = json.loads(route("push", "--json"))
    assert said["updates"] > 2
    assert json.loads(route("push", "--json"))["changes"] == []
    assert named.dig(f"hall-0242ac11000f.{ZONE}", "A")[-1] == "192.0.2.20"


def test_wrong_key_changes_nothing_and_tells_no_secret(tmp_path, route, named):
    wrong = make_key(tmp_path / "wrong.key")
    secret = wrong.read_text().split('"')[3]
    command = [Path(sys.prefix) / "bin" / "tenfold", "route", "push", "--file", tmp_path / "routes.json", "--server", named.say]
    done = subprocess.run([*command, "--key", wrong], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "route.refused" in done.stderr
    assert secret not in done.stdout + done.stderr + repr(read_key(wrong))
    assert serial(named) == 7


@pytest.mark.parametrize(("harm", "told"), [
    (lambda path: path.chmod(0o644), "0600"),
    (lambda path: path.write_text(path.read_text().replace("hmac-sha256", "hmac-md5")), "hmac-md5"),
    (lambda path: path.write_text('key "routes" { algorithm hmac-sha256; secret "c2hvcnQ="; };'), "5 bytes"),
    (lambda path: path.write_text("routes c2hvcnQ="), "tsig-keygen"),
    (lambda path: path.unlink(), "No such file"),
])
def test_key_file_that_is_not_good_enough_is_refused(tmp_path, named, harm, told):
    key = make_key(tmp_path / "a.key")
    harm(key)
    with pytest.raises(ProvisioningError, match=told) as caught:
        read_key(key)
    assert "c2hvcnQ" not in str(caught.value)


def test_answer_without_our_keys_signature_is_no_answer(tmp_path, route, named):
    """Somebody on the way says that the zone is what we want, or empty; nobody believes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def lie():
        near, _ = listener.accept()
        with near, near.makefile("rb") as file:
            query = dns.message.from_wire(file.read(int.from_bytes(file.read(2), "big")), keyring=False, continue_on_error=True)
            asked = query.question[0]
            answer = dns.message.make_response(dns.message.make_query(asked.name, asked.rdtype, id=query.id))
            soa = f"{ZONE}. 60 IN SOA ns1.example.org. x.example.org. 9 3600 600 1209600 60"
            answer.answer += [dns.rrset.from_text(*soa.split(maxsplit=4)) for _ in range(2)]
            wire = answer.to_wire()
            near.sendall(len(wire).to_bytes(2, "big") + wire)

    thread = threading.Thread(target=lie)
    thread.start()
    with pytest.raises(ProvisioningError, match="without a signature"):
        Server(f"127.0.0.1:{listener.getsockname()[1]}").push(load(tmp_path / "routes.json"), read_key(named.key))
    thread.join(10)
    listener.close()


def test_show_asks_the_real_dns_and_says_when_it_differs(route, named):
    said = route("show", ONE, "--ask", named.say, code=1)
    assert "not what the file says" in said
    route("push")
    assert json.loads(route("show", ONE, "--ask", named.say, "--json")) == {
        "name": f"{ONE}.{ZONE}", "by": "*", "path": [f"main.{ZONE}"], "addresses": ["192.0.2.10", "2001:db8::10"],
        "asked": {"server": named.say, "path": [f"main.{ZONE}"], "addresses": ["192.0.2.10", "2001:db8::10"]}, "agrees": True}


def test_rendered_file_is_left_alone_while_it_says_the_same(route, tmp_path):
    out = tmp_path / "zone"
    with pytest.raises(ProvisioningError, match=r"route\.servers"):
        route("render", "--out", str(out))
    file = tmp_path / "routes.json"
    file.write_text(file.read_text().replace('"servers": []', '"servers": ["ns1.example.org"]'))
    route("render", "--out", str(out))
    first = out.read_text()
    assert "unchanged" in route("render", "--out", str(out))
    assert out.read_text() == first
    route("set", ONE, "nord")
    route("render", "--out", str(out))
    assert serial_of(out.read_text()) > serial_of(first)


def test_file_of_routes_says_who_when_and_why_and_is_refused_when_it_is_garbled(route, tmp_path):
    route("set", ONE, "nord", "--why", "hall 2", "--by", "ann")
    file = tmp_path / "routes.json"
    kept = json.loads(file.read_text())["routes"][ONE]
    assert (kept["by"], kept["why"], kept["to"]) == ("ann", "hall 2", [f"nord.{ZONE}"])
    good = file.read_text()
    for old, new in ((good, good[:-9]), ('"ttl_s": 60', '"ttl_s": "x"'), ('"zone"', '"z"'), (good, "[]"), (ONE, "A.b.c")):
        bad = good.replace(old, new)
        file.write_text(bad)
        with pytest.raises(ProvisioningError, match=r"route\.(file|name)"):
            load(file)
