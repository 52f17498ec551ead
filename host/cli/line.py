"""`tenfold line`: boards from the box to a birth record and a label, many ports at once; a lot's opening and its report."""

import contextlib
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from host.cli import line_display as display
from host.cli.line_demo import demo
from host.cli.line_work import EXIT_FAULTY, JOURNAL_FILE, KEY_FILE, work
from host.cli.server import AsJson
from host.db import open_engine
from host.ecdsa import point
from host.files import write_whole
from host.sim.plant import FIRMWARE
from node import config as site
from node.settings import Config
from provisioning import allowance, ca
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.line import journal, ports, serialport, settling
from provisioning.line.bench import Order
from provisioning.line.books import AwayError, LedgerBooks
from provisioning.line.books import Books as AnyBooks
from provisioning.line.flashing import read_image
from provisioning.line.https_books import SCHEME, HttpsBooks
from provisioning.line.station import Pen, want_names
from provisioning.pki import load_key, write_key
from provisioning.rules.selftest import Limit, limits
from provisioning.rules.tally import stories, tally

DAY_S = 86_400

app = typer.Typer(no_args_is_help=True, help="The production line: flash, test and birth of boards, lot by lot.")
Lot = Annotated[str, typer.Option(help="The production order.")]
Station = Annotated[str, typer.Option(help="The bench.")]
Folder = Annotated[Path, typer.Option(help="Where stations keep key, journal and labels: FOLDER/LOT-STATION.")]
Books = Annotated[str, typer.Option("--ledger", envvar="TENFOLD_LEDGER", help="URL of the ledger's database.")]
NearOrFar = Annotated[str, typer.Option("--ledger", envvar="TENFOLD_LEDGER", help=
    "URL of the ledger's database; or https://… of the enrolment server, for a station elsewhere, which has station.pem and "
    "root.pem in its folder.")]
FOLDER = Path("build/line")
LEDGER = "sqlite:///build/line/ledger.db"
CERT_FILE, ROOT_FILE = "station.pem", "root.pem"   # of a station elsewhere
ALLOWANCE_FILE, OPERATOR_FILE = "allowance.json", "operator.pub"


@app.command(name="open")
def open_lot(
    lot: Lot, station: Station,
    quota: Annotated[int, typer.Option(min=1, help="Most births.")],
    days: Annotated[float, typer.Option(min=0.01, help="How long births are admitted, from now.")] = 30.0,
    public: Annotated[str | None, typer.Option("--key", help="Public key of a station elsewhere, as `tenfold line key` printed it "
                                                             "there. Default: this machine is the station.")] = None,
    folder: Folder = FOLDER, ledger: Books = LEDGER,
) -> None:
    """Open a production order for one station: so many births, until then, signed with that station's key.

    Example: tenfold line open --lot 2026-47 --station bench-1 --quota 500 --days 14
    """
    want_names(lot, station)
    folder.mkdir(parents=True, exist_ok=True)
    key = public if public is not None else _public(_place(folder, lot, station) / KEY_FILE)
    now_s = int(time.time())
    _ledger(ledger).open_lot(lot, key, quota, now_s + int(days * DAY_S), now_s)
    print(f"lot {lot}: {quota} births, {days:g} days, station {station} ({key[:16]}…)")


@app.command()
def key(
    lot: Lot, station: Station, folder: Folder = FOLDER,
    request: Annotated[Path | None, typer.Option(help="Where to write a request for the certificate that a station elsewhere shows "
                                                      "to the enrolment server; for tenfold ca issue.", dir_okay=False)] = None,
) -> None:
    """Print a station's public key; make its key when it has none. The private half stays in its folder, mode 0600.

    Example: tenfold line key --lot 2026-47 --station bench-1 --request bench-1.csr
    """
    want_names(lot, station)
    place = _place(folder, lot, station) / KEY_FILE
    print(_public(place))
    if request is not None:
        write_whole(request, ca.make_request(load_key(place), f"st.{station}").public_bytes(Encoding.PEM))


@app.command()
def run(
    lot: Lot, station: Station,
    image: Annotated[Path, typer.Option(help="Flash image of `tenfold image build`.")],
    port: Annotated[list[str] | None, typer.Option("--ports", help="Serial port, or a pattern such as 'build/boards/tty*'; repeat. "
                                                                   "Default: TENFOLD_PORTS, and boards on USB.")] = None,
    config: Annotated[Path, typer.Option(help="Site configuration: product, model, and the sensors that are wired.")] =
        FIRMWARE / "image/site.json",
    limit_file: Annotated[Path | None, typer.Option("--limits", help='JSON, {"heap_free_bytes": [least, most], …}: this lot\'s own '
                                                                    "limits of the self-test.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when each port's board is done, held or set aside.")] = False,
    folder: Folder = FOLDER, ledger: NearOrFar = LEDGER, as_json: AsJson = False,
) -> None:
    """Work through a lot: each board that is plugged in is flashed, tested, given a key and a birth record, and labelled.

    Pull it out when it is done and put in the next. A board whose cable or plug was pulled goes on where it was. Ends when the
    lot is done, or with Ctrl-C; the same command goes on.

    Example: tenfold line run --lot 2026-47 --station bench-1 --image build/flash-esp32.bin
    """
    place = _place(folder, lot, station)
    loaded, raw = read_image(image), config.read_bytes()
    settings = site.parse(raw, Config())
    own = json.loads(limit_file.read_text(encoding="utf-8")) if limit_file else {}
    wanted = limits(own, _sensor_limits(settings))
    order = Order(lot, settings.product, settings.model, loaded, wanted, raw if settings.sensors else b"")
    pen = Pen(lot, station, load_key(place / KEY_FILE))
    books = _books(ledger, place)
    with contextlib.suppress(AwayError):
        books.terms(lot)   # a lot that is not there is told now
    where = ports.candidates(port or [])
    if not where:
        raise ProvisioningError("port.absent", "no port with a board; plug boards in, or name ports: --ports 'build/boards/tty*'")
    for one in where if once else ():
        serialport.want_port(one)   # without --once it may be plugged in later
    line = work(order, pen, books, place, where, once=once, as_json=as_json, allowance=_allowance(place))
    found = tally(stories(line.journal.entries).values())
    print(json.dumps(display.as_object(lot, found)) if as_json else display.figures(found))
    if found.faulty:
        raise typer.Exit(EXIT_FAULTY)


app.command()(demo)


@app.command()
def report(
    lot: Lot, station: Station, folder: Folder = FOLDER,
    as_csv: Annotated[bool, typer.Option("--csv", help="A row for each board.")] = False, as_json: AsJson = False,
) -> None:
    """Report a lot out of its station's journal: yield, first-pass yield, faults by step; each board with --csv or --json.

    Example: tenfold line report --lot 2026-47 --station bench-1 --csv
    """
    boards = list(stories(journal.read(_place(folder, lot, station) / JOURNAL_FILE)).values())
    if as_csv:
        print(display.as_csv(boards), end="")
    elif as_json:
        print(json.dumps({**display.as_object(lot, tally(boards)), "list": display.as_rows(boards)}))
    else:
        print(display.figures(tally(boards)))
        for story in boards:
            if story.faults:
                faults = "; ".join(f"{step}: {what}" for step, what in story.faults.items())
                print(f"{story.device or story.mac}  {story.state}  {faults}")


@app.command()
def allow(
    lot: Lot, station: Station,
    boards: Annotated[int, typer.Option(min=1, max=allowance.MAX_BOARDS, help="Births without the ledger, on top of the order.")],
    days: Annotated[float, typer.Option(min=0.01, help="How long, from now; settling may come two weeks later.")] = 3.0,
    operator: Annotated[Path, typer.Option("--operator-key", help="The operator's private key; made when it is missing.")] =
        FOLDER / "operator.key",
    out: Annotated[Path | None, typer.Option(help="Where to write it, for a station elsewhere. Default: the one here.")] = None,
    folder: Folder = FOLDER, ledger: Books = LEDGER,
) -> None:
    """Let a station go on for a few boards while the ledger does not answer. The ledger takes so many later, and no more.

    A station elsewhere needs the file as allowance.json in its folder, and the operator's public key, which is printed, as
    operator.pub.

    Example: tenfold line allow --lot 2026-47 --station bench-1 --boards 20 --days 2
    """
    rows, now_s = _ledger(ledger), int(time.time())
    order = rows.lot(lot)
    if order is None or order.revoked or order.closed:
        raise ProvisioningError("line.allowance", f"lot: got {lot!r}, expected one that is open and whose station is not revoked")
    public = _public(operator)
    number = next(n for n in range(1, 1000) if rows.lot(allowance.name(lot, n)) is None)
    granted = allowance.Allowance(lot, allowance.name(lot, number), station, boards, now_s + int(days * DAY_S))
    text = allowance.grant(load_key(operator), granted)
    rows.open_lot(granted.name, order.station_key, boards, granted.until_s + allowance.SETTLE_S, now_s)
    if out is None:
        (_place(folder, lot, station) / OPERATOR_FILE).write_text(public, encoding="utf-8")
    (out or _place(folder, lot, station) / ALLOWANCE_FILE).write_text(text, encoding="utf-8")
    print(f"lot {granted.name}: {boards} births without the ledger, {days:g} days; operator {public}")


@app.command()
def settle(lot: Lot, station: Station, folder: Folder = FOLDER, ledger: NearOrFar = LEDGER) -> None:
    """Bring births that were made without the ledger to it; `tenfold line run` does it by itself.

    Example: tenfold line settle --lot 2026-47 --station bench-1
    """
    place = _place(folder, lot, station)
    written = journal.Journal(place / JOURNAL_FILE)
    try:
        settled = settling.settle(_books(ledger, place), written, int(time.time()))
    finally:
        written.close()
    for entry in settled:
        print(f"{entry['mac']}  {entry['code'] or 'settled'}  {entry['message']}".rstrip())
    if any(entry["code"] for entry in settled):
        raise typer.Exit(EXIT_FAULTY)


@app.command()
def revoke(
    lot: Lot, why: Annotated[str, typer.Option(help="Kept in the ledger.")],
    devices: Annotated[bool, typer.Option("--devices", help="Its devices too: no certificates, no connection.")] = False,
    ledger: Books = LEDGER,
) -> None:
    """Revoke a lot's station, for ever: no more births, under its allowances neither. Devices that it has made stay.

    Example: tenfold line revoke --lot 2026-47 --why "bench stolen"
    """
    rows, now_s = _ledger(ledger), int(time.time())
    kind = "lot" if devices else "station"
    rows.revoke(kind, lot, why, now_s)
    number = 1
    while rows.lot(allowance.name(lot, number)) is not None:
        rows.revoke(kind, allowance.name(lot, number), why, now_s)
        number += 1
    print(f"lot {lot}: its station is revoked" + (", and its devices" if devices else ""))


def _allowance(place: Path) -> allowance.Allowance | None:
    text, operator = place / ALLOWANCE_FILE, place / OPERATOR_FILE
    if not text.exists():
        return None
    return allowance.read(text.read_text(encoding="utf-8"), operator.read_text(encoding="utf-8").strip())


def _place(folder: Path, lot: str, station: str) -> Path:
    return folder / f"{lot}-{station}"


def _public(path: Path) -> str:
    """The public half of a key file, which is made when it is missing."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key(path, ca.make_key())
    return point(load_key(path).public_key()).hex()


def _books(url: str, place: Path) -> AnyBooks:
    if url.startswith(SCHEME):
        return HttpsBooks.connect(url, place / ROOT_FILE, place / CERT_FILE, place / KEY_FILE)
    return LedgerBooks(_ledger(url))


def _ledger(url: str) -> Ledger:
    if url.startswith(("http:", SCHEME)):
        raise ProvisioningError("line.server", f"ledger: got {url!r}, expected the URL of the ledger's database; a station that is "
                                               f"not beside it runs and settles by {SCHEME}…, all else is done at the plant")
    return Ledger(open_engine(url))


def _sensor_limits(settings: Config) -> dict[str, Limit]:
    """Each channel must have a reading when sensors are wired. What is plausible, the board decides by the configuration."""
    return {f"sensor_{channel.name}": (None, None) for channel in settings.channels} if settings.sensors else {}
