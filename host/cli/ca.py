"""`tenfold ca`: the certificate authority: root and issuing CA, certificates of services, stations and operators, revocation."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding
from rich.console import Console
from rich.table import Table

from host.cli.server import AsJson
from host.cli.who import me
from host.db import open_engine
from host.files import write_whole
from ota.release import keys
from provisioning import ca, desk, pki
from provisioning.ca import CaError
from provisioning.crl import make_crl
from provisioning.desk import Desk, KeyPlace, Word
from provisioning.ledger import Ledger
from provisioning.pki import FleetPki
from provisioning.rows import Issued
from provisioning.rules.explain import EXPLANATIONS

SOON_S = 30 * 86_400   # a certificate that ends within this is shown as ending

app = typer.Typer(no_args_is_help=True, help="The certificate authority, and the ledger of all that it issued.")
Folder = Annotated[Path, typer.Option("--folder", envvar="TENFOLD_CA_FOLDER", help="The issuing CA's folder.", file_okay=False)]
IssuingKey = Annotated[Path | None, typer.Option(
    "--issuing-key", envvar="TENFOLD_CA_KEY", help="pkcs11: URI of the issuing CA's key. Default: issuing.key in the folder.")]
LedgerUrl = Annotated[str, typer.Option("--ledger", envvar="TENFOLD_LEDGER", help="URL of the ledger's database.")]
Why = Annotated[str, typer.Option(help="Why; kept in the ledger.")]
By = Annotated[str | None, typer.Option(help="Who says so; default: you.")]
FOLDER, LEDGER = Path("ca"), "sqlite:///ledger.db"


@app.command()
def init(
    root: Annotated[Path, typer.Argument(help="The root's folder, on a medium that goes back into a safe; it may hold the root.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the issuing CA.")],
    why: Why, ledger: LedgerUrl = LEDGER, by: By = None,
    root_key: Annotated[Path | None, typer.Option(help="pkcs11: URI of the root's key. Default: root.key in its folder.")] = None,
    root_passphrase_file: Annotated[Path | None, typer.Option(help="Its first line opens root.key.", dir_okay=False)] = None,
    issuing_key: IssuingKey = None, as_json: AsJson = False,
) -> None:
    """Make the root and an issuing CA; or, with a root that is there, another issuing CA.

    A passphrase for the keys comes from TENFOLD_KEY_PASSPHRASE_FILE or TENFOLD_KEY_PASSPHRASE. Plain keys are not made.

    Example: tenfold ca init /media/root ca --why "the plant's first" --root-passphrase-file root.phrase

    Example: tenfold ca init /media/root ca --why "the plant's first" --issuing-key "pkcs11:…"
    """
    secret = keys.passphrase()
    root_secret = keys.first_line(root_passphrase_file, "--root-passphrase-file") if root_passphrase_file else secret
    said, book = word(by, why), _ledger(ledger)
    authority = desk.open_root(root, KeyPlace(root_key or FleetPki(root).key("root"), root_secret), book, said)
    made = desk.make_issuing(
        folder, authority, KeyPlace(issuing_key or FleetPki(folder).key("issuing"), secret), book, said)
    issuing = pki.load_certificates(made.cert("issuing"))[0]
    if as_json:
        print(json.dumps({"root": str(made.cert("root")), "issuing": str(made.cert("issuing")),
                          "serial": ca.serial_hex(issuing), "not_after": issuing.not_valid_after_utc.isoformat()}))
        return
    print(f"{folder}: issuing CA {ca.serial_hex(issuing)}, until {issuing.not_valid_after_utc.date()}, under {made.cert('root')}")
    print(f"next: put {root} into a safe; {made.root_der} goes into devices as /trust/ca.der; tenfold ca issue svc.enrol --host …")


@app.command()
def issue(
    name: Annotated[str, typer.Argument(
        help="svc.<word>, op.<word> (an operator), st.<station>, a test device of `tenfold doctor`; a device id with --foreign.")],
    why: Why, folder: Folder = FOLDER, ledger: LedgerUrl = LEDGER, by: By = None,
    host: Annotated[list[str] | None, typer.Option(help="A server's name or address; repeat. Without: a client's.")] = None,
    csr: Annotated[Path | None, typer.Option(help="Request of a holder who made the key. Default: NAME.key in FOLDER.",
                                             dir_okay=False, exists=True)] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Default: 398, a station's 90, a test device's 7.")] = None,
    foreign: Annotated[bool, typer.Option("--foreign", help="For a device that is not ours and sends SenML.")] = False,
    peer: Annotated[bool, typer.Option("--peer", help="Of a broker's cluster: the server is a client of its like, too.")] = False,
    issuing_key: IssuingKey = None, as_json: AsJson = False,
) -> None:
    """Issue a certificate, or the next one to the same key. Devices of ours get theirs by enrolment.

    Example: tenfold ca issue svc.enrol --host enrol.plant.example --why "enrolment server"

    Example: tenfold ca issue op.anna --csr anna.csr --why "release desk"

    Example: tenfold ca issue pump-0242ac110009 --foreign --csr pump.csr --why "rented pump, hall 2"
    """
    path, certificate = Desk(FleetPki(folder), _issuing(folder, issuing_key), _ledger(ledger)).issue(
        name, word(by, why), hosts=host or [], csr=csr.read_bytes() if csr else None, days=days, foreign=foreign, peer=peer)
    if as_json:
        print(json.dumps({"file": str(path), "serial": ca.serial_hex(certificate),
                          "not_after": certificate.not_valid_after_utc.isoformat()}))
        return
    print(f"{path}: {name}, {ca.serial_hex(certificate)}, until {certificate.not_valid_after_utc.date()}")


@app.command()
def revoke(
    subject: Annotated[str, typer.Argument(help="A device, a name (all its certificates), a serial number, or with --lot a lot.")],
    why: Why, ledger: LedgerUrl = LEDGER, by: By = None,
    lot: Annotated[bool, typer.Option("--lot", help="SUBJECT is a lot: all its devices.")] = False,
    as_json: AsJson = False,
) -> None:
    """Revoke for ever: no renewal, and brokers and servers that are told let it in no more. A name may be issued anew.

    Example: tenfold ca revoke hall-0242ac110001 --why "stolen from hall 2"
    """
    done = desk.revoke(_ledger(ledger), subject, word(by, why), lot=lot)
    if as_json:
        print(json.dumps([{"kind": kind, "subject": one} for kind, one in done]))
        return
    for kind, one in done:
        print(f"revoked: {kind} {one}")
    if not done:
        print(f"{subject}: nothing to revoke any more")


@app.command()
def rebirth(
    device: Annotated[str, typer.Argument(help="Device id.")],
    why: Why, ledger: LedgerUrl = LEDGER, by: By = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How long your word holds, if it is not used.")] = 7,
) -> None:
    """Let a device that lost its key be born once more, with a new key: a station must hear it. What it had is revoked then.

    Be sure that it is the device: whoever is heard first under its id becomes it.

    Example: tenfold ca rebirth hall-0242ac110001 --why "flash erased in repair 4711"
    """
    said = word(by, why)
    _ledger(ledger).permit(device, "rebirth", said.now_s + days * 86_400, said.now_s, who=said.who, why=said.why)
    print(f"{device}: may be born once more within {days} days; connect it to a station")


@app.command()
def crl(
    out: Annotated[Path, typer.Argument(help="File for the list, PEM; replaced in one step.", dir_okay=False)],
    folder: Folder = FOLDER, ledger: LedgerUrl = LEDGER, issuing_key: IssuingKey = None,
    days: Annotated[float, typer.Option(min=0.01, max=366, help="Until its end.")] = 7,
) -> None:
    """Make a revocation list by hand. The enrolment server makes and tells one by itself.

    Example: tenfold ca crl /etc/mosquitto/crl.pem
    """
    now = datetime.now(UTC)
    made = make_crl(_issuing(folder, issuing_key), _ledger(ledger).revoked(int(now.timestamp())), now, timedelta(days=days))
    write_whole(out, made.public_bytes(Encoding.PEM))
    print(f"{out}: {len(made)} certificates, until {made.next_update_utc}")


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A device or a name; default: all but devices.")] = None,
    ledger: LedgerUrl = LEDGER, as_json: AsJson = False,
) -> None:
    """Show what was issued, to whom, by whom, when and why. Example: tenfold ca show op.anna."""
    book = _ledger(ledger)
    held = book.named() if name is None else book.certificates(name)
    now_s = datetime.now(UTC).timestamp()
    gone = {one.serial for one in book.revoked(int(now_s))}
    if as_json:
        print(json.dumps([asdict(one) | {"state": _state(one, gone, now_s)} for one in held]))
        return
    table = Table("name", "kind", "serial", "state", "until", "issued", "by", "why")
    for one in held:
        table.add_row(one.name, one.kind, one.serial, _state(one, gone, now_s), _day(one.not_after_s), _day(one.at_s),
                      one.who or "", one.why or "")
    Console().print(table)


@app.command()
def explain(code: Annotated[str, typer.Argument(help="As a command, a log or a device tells it.")], as_json: AsJson = False,
            ) -> None:
    """Explain a refusal: what it means and what to do. Example: tenfold ca explain enrol.other_key."""
    found = EXPLANATIONS.get(code)
    if found is None:
        raise CaError("ca.code", f"got {code!r}, expected one of {', '.join(sorted(EXPLANATIONS))}")
    print(json.dumps(asdict(found)) if as_json else f"{code}: {found.means}\nwhat to do: {found.do}")


def _state(one: Issued, gone: set[str], now_s: float) -> str:
    if one.revoked or one.serial in gone:
        return "revoked"
    if one.not_after_s <= now_s:
        return "ended"
    return "ends soon" if one.not_after_s - now_s < SOON_S else "valid"


def _issuing(folder: Path, key: Path | None) -> ca.Authority:
    where = FleetPki(folder)
    return pki.load_authority(where.cert("issuing"), key or where.key("issuing"), keys.passphrase())


def _ledger(url: str) -> Ledger:
    return Ledger(open_engine(url))


def word(by: str | None, why: str) -> Word:
    """Take an operator's word; ends the command when there is no reason in it."""
    if not why.strip():
        print("tenfold: --why: expected a reason, it is kept in the ledger", file=sys.stderr)
        raise typer.Exit(2)
    return Word(me() if by is None else by, why, datetime.now(UTC))


def _day(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
