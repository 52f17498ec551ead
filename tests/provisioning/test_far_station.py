"""A partner's station over real TLS: its own lots and nothing else, and no second identity whatever happens on the way."""

import datetime as dt
import ssl
import time

import httpx
import pytest
from fastapi import FastAPI, Response

from host import tls
from host.db import open_engine
from host.ecdsa import point
from host.settings import SettingsError
from host.tls import client_context
from node.wire import signed
from provisioning import ca, pki
from provisioning.allowance import SETTLE_S, Allowance, name
from provisioning.attempts import Attempts
from provisioning.enrol.app import create_app
from provisioning.enrol.stations import BURST
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.line import running as running_line
from provisioning.line.books import AwayError, Born, LedgerBooks
from provisioning.line.https_books import MAX_ANSWER_BYTES, HttpsBooks
from provisioning.line.journal import Journal
from provisioning.line.port import Port
from provisioning.line.settling import settle
from provisioning.line.station import Pen, Station, parse_line
from provisioning.rules.line import Step
from provisioning.rules.quota import Reason
from tests.host.test_tls import running

from .conftest import DAY_S, LOT, Device
from .far_stations import DAY, books_of, certificate, folder, unproved, wire
from .flash_boards import boards
from .line_boards import LOT as LINE_LOT
from .line_boards import Factory, until_rest

OTHER = "lot-2"


def public(key):
    return point(key.public_key()).hex()


@pytest.fixture
def place(tmp_path, bench, ledger, station_key, fleet_pki):
    """The folder of the station whose lot is LOT."""
    return folder(tmp_path / "place", fleet_pki, station_key, certificate(ledger, fleet_pki, station_key))


@pytest.fixture
def books(place, port):
    with books_of(place, port) as made:
        yield made


@pytest.fixture
def other(ledger):
    """Another station, with a lot and a device of its own."""
    key, now_s = ca.make_key(), int(time.time())
    ledger.open_lot(OTHER, public(key), 5, now_s + 3600, now_s)
    device = Device(9)
    Station(ledger, OTHER, "bench-2", key).hear(device.line(), now_s)
    return device


@pytest.fixture
def older(monkeypatch):
    """A server that speaks TLS 1.2, where the first thing that is said can be told from the handshake."""
    original = tls.server_context

    def context(given):
        made = original(given)
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        return made

    monkeypatch.setattr(tls, "server_context", context)


def record(key, device, lot=LOT, station="bench-1"):
    return Pen(lot, station, key).record(parse_line(device.line()), int(time.time()))


def code(call, *given):
    with pytest.raises(ProvisioningError) as caught:
        call(*given)
    return caught.value.code


def append(books, raw, lot=LOT):
    try:
        return books.append(lot, raw, 0).value
    except ProvisioningError as error:
        return error.code


def test_a_station_elsewhere_works_as_one_beside_the_ledger(books, ledger, station_key):
    terms, device = books.terms(LOT), Device(1)
    assert (terms.lot, terms.births) == (ledger.lot(LOT), 0)
    assert books.born(device.device, 0) is None
    raw = record(station_key, device)
    assert books.append(LOT, raw, 0) is Reason.NEW
    assert books.append(LOT, raw, 0) is Reason.KNOWN
    assert books.born(device.device, 0) == Born(device.public.hex(), may_change=False)
    assert books.terms(LOT).births == ledger.count(LOT) == 1
    assert append(books, record(station_key, Device(1))) == "provisioning.second_identity"
    assert ledger.birth(device.device).raw == raw
    now_s = int(time.time())
    ledger.permit(device.device, "rebirth", now_s + 60, now_s, who="anna", why="erased in repair")
    assert books.born(device.device, 0).may_change
    assert append(books, record(station_key, Device(1))) == "birth.reborn"
    assert ledger.verify() == 5


def test_a_revoked_device_is_told_before_it_is_taken_for_a_known_one(books, ledger, station_key):
    """It still has its key, and its record: near or far, the station must not hand it out as done."""
    device = Device(1)
    assert append(books, record(station_key, device)) == "birth.new"
    ledger.revoke("device", device.device, "stolen from the shelf", 0)
    for ask in (books.born, LedgerBooks(ledger).born):
        with pytest.raises(ProvisioningError, match=r"birth\.revoked"):
            ask(device.device, 0)


def test_a_lot_of_another_is_as_unknown_as_one_that_was_never_opened(books, other):
    said = []
    for lot in (OTHER, "lot-3"):
        with pytest.raises(ProvisioningError) as caught:
            books.terms(lot)
        said.append(str(caught.value).replace(lot, "…"))
        assert append(books, b"anything", lot) == "birth.lot_unknown"
    assert said[0] == said[1]
    assert said[0].startswith("birth.lot_unknown")


def test_of_a_device_of_another_it_is_told_that_it_was_born_and_no_more(books, other, ledger, station_key):
    with pytest.raises(ProvisioningError, match=r"provisioning\.second_identity") as caught:
        books.born(other.device, 0)
    assert other.public.hex()[:8] not in str(caught.value)
    assert OTHER not in str(caught.value)
    before = ledger.head()
    assert append(books, record(station_key, other)) == "provisioning.second_identity"   # though it is that device
    ledger.permit(other.device, "rebirth", int(time.time()) + 3600, int(time.time()), who="anna", why="repaired here")
    assert append(books, record(station_key, Device(9))) == "provisioning.second_identity"   # the word is for its own station
    assert ledger.birth(other.device).key == other.public.hex()
    assert ledger.head()[0] == before[0] + 1


def test_a_device_of_its_own_is_reborn_by_an_operators_word(books, ledger, station_key):
    assert append(books, record(station_key, Device(1))) == "birth.new"
    ledger.permit(Device(1).device, "rebirth", int(time.time()) + 3600, int(time.time()), who="anna", why="erased")
    assert append(books, record(station_key, Device(1))) == "birth.reborn"
    assert append(books, record(station_key, Device(1))) == "provisioning.second_identity"


def test_a_record_that_is_not_its_own_is_refused_and_noted(books, ledger, engine, station_key):
    good = record(station_key, Device(1))
    for raw, want in (
        (b"", "birth.signature"), (b"\x00" * 500, "birth.signature"), (good[:-1], "birth.signature"),
        (good[:-2] + bytes((good[-2] ^ 1,)) + good[-1:], "birth.signature"), (record(ca.make_key(), Device(1)), "birth.signature"),
        (record(station_key, Device(1), lot=OTHER), "birth.lot"),
        (record(station_key, Device(1), station="bench-2"), "birth.signature"),
        (unproved(station_key, LOT, Device(2).device, Device(3).public.hex()), "birth.proof"),
        (b"A" * (signed.MAX_BYTES[signed.BIRTH] + 1), "enrol.size"), (iter([b"A" * 4096] * 1000), "enrol.size"),
    ):
        assert append(books, raw) == want
    assert ledger.count(LOT) == 0
    assert [one.code for one in Attempts(engine).last(Device(2).device)] == ["birth.proof"]
    assert Attempts(engine).last(Device(1).device)[0].peer == "st.bench-1"
    assert code(books.born, "hall-0242AC110001", 0) == "birth.format"
    assert append(books, good) == "birth.new"


def test_quota_end_and_revocation_hold_for_a_station_elsewhere(ledger, port, place, fleet_pki, tmp_path, station_key, bench):
    now_s = int(time.time())
    for lot, quota, end_s in (("full", 1, 3600), ("over", 5, -1), ("gone", 5, 3600), ("shut", 5, 3600)):
        ledger.open_lot(lot, public(station_key), quota, now_s + end_s, now_s - 10)
    ledger.revoke("lot", "gone", "sold elsewhere", now_s)
    ledger.revoke("station", "shut", "stolen", now_s)
    with books_of(place, port) as books:
        assert append(books, record(station_key, Device(1), "full"), "full") == "birth.new"
        assert append(books, record(station_key, Device(2), "full"), "full") == "birth.quota"
        assert append(books, record(station_key, Device(2), "over"), "over") == "birth.lot_expired"
        assert append(books, record(station_key, Device(2), "gone"), "gone") == "birth.lot_revoked"
        assert append(books, record(station_key, Device(2), "shut"), "shut") == "birth.station_revoked"
        assert (books.terms("gone").lot.revoked, books.terms("shut").lot.closed) == (True, True)
        assert books.born(Device(2).device, 0) is None
        for lot in (LOT, "full"):
            ledger.revoke("station", lot, "stolen", now_s)
        assert code(books.born, Device(2).device, 0) == "birth.station_revoked"   # none of its lots goes on
    key = ca.make_key()
    with books_of(folder(tmp_path / "new", fleet_pki, key, certificate(ledger, fleet_pki, key, "st.bench-9")), port) as books:
        assert code(books.born, Device(1).device, 0) == "birth.lot_unknown"


def test_a_certificate_that_is_no_stations_or_does_not_hold_opens_nothing(
    ledger, port, place, fleet_pki, issuing, tmp_path, station_key,
):
    now = dt.datetime.now(dt.UTC)
    made = {
        "ended": certificate(ledger, fleet_pki, station_key, start=now - 9 * DAY, days=8),
        "early": certificate(ledger, fleet_pki, station_key, start=now + DAY, days=8),
        "unrecorded": ca.issue_client(issuing, station_key.public_key(), "st.bench-1", now),
        "operator": certificate(ledger, fleet_pki, station_key, "op.anna"),
        "service": certificate(ledger, fleet_pki, station_key, "svc.ota"),
        "device": ca.issue_device(issuing, station_key.public_key(), Device(1).device, now),
    }
    for what, shown in made.items():
        with books_of(folder(tmp_path / what, fleet_pki, station_key, shown), port) as books:
            for call, given in ((books.terms, (LOT,)), (books.born, (Device(1).device, 0)), (books.append, (LOT, b"", 0))):
                assert code(call, *given) == "station.certificate", what
    with httpx.Client(verify=client_context(fleet_pki.cert("root")), trust_env=False) as client:
        answer = client.get(f"https://localhost:{port}/line/v1/lots/{LOT}")
        assert (answer.status_code, answer.json()["code"]) == (401, "enrol.no_certificate")


def test_a_certificate_of_a_foreign_ca_ends_in_the_handshake(port, place, fleet_pki, tmp_path, station_key):
    now = dt.datetime.now(dt.UTC)
    foreign = ca.make_issuing(ca.make_root(ca.make_key(), now), ca.make_key(), now)
    shown = ca.issue_client(foreign, station_key.public_key(), "st.bench-1", now)
    with books_of(folder(tmp_path / "foreign", fleet_pki, station_key, shown), port) as books, pytest.raises(AwayError):
        books.terms(LOT)


def test_a_revoked_certificate_is_refused_at_the_next_request_of_a_live_connection(books, ledger):
    assert books.terms(LOT).births == 0
    (held,) = ledger.certificates("st.bench-1")
    ledger.revoke("certificate", held.serial, "bench stolen", int(time.time()))
    assert code(books.terms, LOT) == code(books.born, Device(1).device, 0) == code(books.append, LOT, b"", 0) == "tls.revoked"


def test_a_station_that_asks_too_much_is_told_to_stay_away_and_no_other(settings, ledger, place, fleet_pki, tmp_path, station_key):
    told = settings.model_copy(update={"station_per_min": 1})
    key = ca.make_key()
    second = folder(tmp_path / "second", fleet_pki, key, certificate(ledger, fleet_pki, key, "st.bench-2"))
    with running(create_app(told), told.tls()) as port, books_of(place, port) as books, books_of(second, port) as others:
        def ask():
            for _ in range(2 * BURST):   # a slow machine gets one more in each minute
                books.terms(LOT)

        for _ in range(BURST):
            books.terms(LOT)
        with pytest.raises(AwayError, match="429"):
            ask()
        context = client_context(place / "root.pem", place / "station.pem", place / "station.key")
        with httpx.Client(verify=context, trust_env=False) as client:
            answer = client.get(f"https://localhost:{port}/line/v1/lots/{LOT}")
        assert answer.json()["code"] == "station.busy"
        assert 10 <= int(answer.headers["retry-after"]) <= 20
        assert code(others.terms, LOT) == "birth.lot_unknown"


@pytest.mark.parametrize(("cut", "reason"), [("request", Reason.NEW), ("answer", Reason.KNOWN)])
def test_a_birth_whose_request_or_answer_is_lost_is_entered_once(settings, ledger, place, station_key, cut, reason, older):
    raw = record(station_key, Device(1))
    with running(create_app(settings), settings.tls()) as port, wire(port) as between, books_of(place, between.port) as books:
        between.cut = cut
        with pytest.raises(AwayError):
            books.append(LOT, raw, 0)
        assert between.cuts
        between.cut = ""
        assert ledger.count(LOT) == (cut == "answer")
        assert books.append(LOT, raw, 0) is reason
    assert ledger.count(LOT) == 1
    assert ledger.birth(Device(1).device).raw == raw


def test_a_server_that_is_away_is_told_from_one_that_is_not_ours(place, settings, fleet_pki):
    with running(create_app(settings), settings.tls()) as port, books_of(place, port) as books:
        books.terms(LOT)
    with books_of(place, port) as books, pytest.raises(AwayError):
        books.terms(LOT)


@pytest.mark.parametrize(("body", "status", "want"), [
    (b"", 503, None), (b'{"code":"station.busy","message":""}', 429, None), (b"x" * (MAX_ANSWER_BYTES + 1), 200, None),
    (b"<html>", 200, "line.server"), (b"[]", 200, "line.server"), (b'{"detail":"Not Found"}', 404, "line.server"),
    (b'{"code":7}', 403, "line.server"), (b'{"code":"BAD CODE"}', 403, "line.server"), (b"{}", 200, "line.server"),
    (b'{"lot":"lot-1","quota":"1","births":0,"expires":1,"revoked":false,"closed":false}', 200, "line.server"),
    (b'{"code":"birth.quota","message":"full"}', 403, "birth.quota"), (b'{"code":"birth.new"}', 202, "birth.new"),
])
def test_an_answer_that_is_none_is_neither_a_birth_nor_a_refusal(place, settings, body, status, want):
    strange = FastAPI()

    @strange.api_route("/{path:path}", methods=["GET", "POST"])
    def say(path: str) -> Response:
        return Response(body, status)

    with running(strange, settings.tls()) as port, books_of(place, port) as books:
        for call, given in ((books.terms, (LOT,)), (books.born, (Device(1).device, 0)), (books.append, (LOT, b"", 0))):
            if want is None:
                with pytest.raises(AwayError):
                    call(*given)
            else:
                assert code(call, *given) == want


def test_a_folder_without_what_the_plant_sent_is_told(place, station_key):
    for url in ("http://localhost:1", "https://", "ledger.db"):
        assert code(HttpsBooks.connect, url, place / "root.pem", place / "station.pem", place / "station.key") == "line.server"
    with pytest.raises(SettingsError, match=r"tls\.cert_file"):
        HttpsBooks.connect("https://localhost:1", place / "root.pem", place / "absent.pem", place / "station.key")
    pki.write_key(place / "another.key", ca.make_key())
    with pytest.raises(SettingsError, match=r"tls\.cert_file"):
        HttpsBooks.connect("https://localhost:1", place / "root.pem", place / "station.pem", place / "another.key")


def test_births_without_the_ledger_are_settled_by_a_station_elsewhere(ledger, port, place, fleet_pki, tmp_path, station_key):
    now_s = int(time.time())
    granted = Allowance(LOT, name(LOT, 1), "bench-1", 1, now_s + DAY_S)
    ledger.open_lot(granted.name, public(station_key), granted.boards, granted.until_s + SETTLE_S, now_s)
    journal = Journal(tmp_path / "journal.jsonl")
    for device in (Device(1), Device(2)):
        raw = record(station_key, device, granted.name)
        journal.append({"what": "allowed", "mac": device.device[-12:], "lot": granted.name, "record": raw.hex()})
    (held,) = ledger.certificates("st.bench-1")
    ledger.revoke("certificate", held.serial, "lost", now_s)
    with books_of(place, port) as books:   # no word on the births: they wait for the station's next certificate
        assert code(settle, books, journal, now_s) == "tls.revoked"
    renewed = folder(place, fleet_pki, station_key, certificate(ledger, fleet_pki, station_key))
    with books_of(renewed, port) as books:
        assert [entry["code"] for entry in settle(books, journal, now_s)] == ["", "birth.quota"]
        assert settle(books, journal, now_s) == []
    journal.close()
    assert ledger.count(granted.name) == 1


def test_a_line_whose_certificate_is_revoked_ends_with_that_word(ledger, port, fleet_pki, tmp_path):
    factory = Factory(tmp_path / "station", ledger)
    place = folder(tmp_path / "place", fleet_pki, factory.key, certificate(ledger, fleet_pki, factory.key))
    with books_of(place, port) as factory.books, factory.line() as line:
        running_line.ask(line)
        assert (line.left, line.closed.is_set()) == (10, False)
        (held,) = ledger.certificates("st.bench-1")
        ledger.revoke("certificate", held.serial, "bench stolen", int(time.time()))
        assert code(lambda: running_line.run(line, [], once=False)) == "tls.revoked"
        assert line.stop.is_set()


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["", "answer"])
def test_a_whole_line_over_https_gives_birth_once_though_the_answer_is_lost(settings, fleet_pki, tmp_path, ledger_url, cut, older):
    engine = open_engine(ledger_url)
    factory = Factory(tmp_path / "station", Ledger(engine))
    place = folder(tmp_path / "place", fleet_pki, factory.key, certificate(factory.ledger, fleet_pki, factory.key))
    with (running(create_app(settings), settings.tls()) as port, wire(port) as between, books_of(place, between.port) as books,
          boards(tmp_path / "boards", "esp32") as (board,)):
        factory.books = books

        def lose(step: Step) -> None:
            between.cut = cut if step is Step.RECORD else ""

        with factory.line() as line:
            assert until_rest(Port(line, str(board.port)), line, board.port, lose) is (Step.HOLD if cut else Step.DONE)
        between.cut = ""
        with factory.line() as line:
            assert until_rest(Port(line, str(board.port)), line, board.port) is Step.DONE
            (key,) = {entry["memory"]["key"] for entry in line.journal.entries if entry.get("memory", {}).get("recorded")}
    birth = factory.ledger.birth(factory.device(board))
    assert birth is not None
    assert (birth.key, factory.ledger.count(LINE_LOT)) == (key, 1)
    assert (factory.folder / "labels" / f"{factory.device(board)}.png").exists()
    engine.dispose()
