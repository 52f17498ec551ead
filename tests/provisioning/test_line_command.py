"""`tenfold line` as people run it: an order, a run over several boards, its report; and what it says to mistakes."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host.sim.boards.faults import Fault
from provisioning import pki
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.errors import ProvisioningError
from provisioning.line.station import want_names
from tests.host.test_tls import running
from tests.provisioning.flash_boards import ON_THE_LINE, boards, image

WAIT_S = 400


def tenfold(folder: Path, *words: str, ledger: str = "") -> subprocess.CompletedProcess[str]:
    ledger = ledger or f"sqlite:///{folder}/ledger.db"
    where = ["--folder", str(folder / "line"), *([] if words[1] in ("key", "report") else ["--ledger", ledger])]
    command = [sys.executable, "-c", "from host.cli import main; main()", *words, "--lot", "lot-1", "--station", "bench-1", *where]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S, check=False)


@pytest.mark.slow
def test_a_lot_of_two_on_three_ports_ends_full_and_is_reported(tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(image("esp32", ON_THE_LINE).content)
    opened = tenfold(tmp_path, "line", "open", "--quota", "2")
    assert opened.returncode == 0, opened
    key = tmp_path / "line/lot-1-bench-1/station.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert tenfold(tmp_path, "line", "key").stdout[:16] in opened.stdout
    with boards(tmp_path / "boards", "esp32", "esp32", "esp32") as made:
        made[1].inject(Fault.parse("wrong-chip"))
        run = ("line", "run", "--image", str(flash), "--ports", str(tmp_path / "boards/tty*"), "--once", "--json")
        done = tenfold(tmp_path, *run)
        assert done.returncode == 1, done   # one is set aside
        found = json.loads(done.stdout)
        assert (found["done"], found["faulty"], found["boards"]) == (2, 1, 3)
        assert found["faults"] == {"detect": 1}
        again = tenfold(tmp_path, *run)     # the lot is full; the boards are known, and nothing is made twice
        assert json.loads(again.stdout)["done"] == 2
        unplugged = tenfold(tmp_path, *run[:-4], "--ports", str(tmp_path / "boards/none"), *run[-2:])   # it would wait for ever
        assert (unplugged.returncode, "port.absent" in unplugged.stderr) == (2, True), unplugged
    rows = list(csv.DictReader(tenfold(tmp_path, "line", "report", "--csv").stdout.splitlines()))
    made_rows = [row for row in rows if row["device"]]   # the other may stand before them
    assert [(row["state"], row["first_pass"]) for row in made_rows] == [("done", "True")] * 2
    assert float(made_rows[0]["heap_free_bytes"]) > 40_000
    told = json.loads(tenfold(tmp_path, "line", "report", "--json").stdout)
    assert {one["key"] for one in told["list"] if one["state"] == "done"} == {row["key"] for row in rows if row["key"]}
    assert len(list((tmp_path / "line/lot-1-bench-1/labels").glob("*.zpl"))) == 2


@pytest.mark.slow
def test_a_partners_station_needs_a_certificate_and_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phrase").write_text("secret\n")
    monkeypatch.setenv("TENFOLD_KEY_PASSPHRASE_FILE", str(tmp_path / "phrase"))
    database, made = f"sqlite:///{tmp_path}/ledger.db", pki.FleetPki(tmp_path / "ca")
    flash, place, csr = tmp_path / "flash.bin", tmp_path / "line/lot-1-bench-1", tmp_path / "bench-1.csr"
    flash.write_bytes(image("esp32", ON_THE_LINE).content)

    def ca(*words: str) -> None:
        command = [sys.executable, "-c", "from host.cli import main; main()", "ca", *words]
        command += ["--ledger", database, "--why", "a partner"]
        subprocess.run(command, check=True, timeout=WAIT_S, stdout=subprocess.DEVNULL)

    def run() -> str:
        """Asks for the lot, and ends since no board is there."""
        return tenfold(tmp_path, "line", "run", "--image", str(flash), "--ports", "none*", ledger=f"https://localhost:{port}").stderr

    key = tenfold(tmp_path, "line", "key", "--request", str(csr)).stdout.strip()
    assert "line.server" in tenfold(tmp_path, "line", "open", "--quota", "2", ledger="https://localhost:1").stderr
    assert tenfold(tmp_path, "line", "open", "--quota", "2", "--key", key).returncode == 0
    ca("init", str(tmp_path / "root"), str(made.folder))
    ca("issue", "svc.enrol", "--host", "localhost", "--folder", str(made.folder))
    ca("issue", "st.bench-1", "--csr", str(csr), "--folder", str(made.folder))
    settings = EnrolSettings(
        database=database, cert_file=made.cert("svc.enrol"), key_file=made.key("svc.enrol"), ca_file=made.ca_file,
        issuing_cert=made.cert("issuing"), issuing_key=made.key("issuing"), root_cert=made.cert("root"))
    with running(create_app(settings), settings.tls()) as port:
        assert "tls.ca_file" in run()
        shutil.copy(made.cert("root"), place / "root.pem")
        shutil.copy(made.cert("st.bench-1"), place / "station.pem")
        assert "port.absent" in run()
        ca("revoke", "st.bench-1")
        assert "tls.revoked" in run()


def test_mistakes_are_told_in_a_line(tmp_path: Path) -> None:
    absent = tenfold(tmp_path, "line", "report")
    assert absent.returncode == 2
    assert "tenfold line run" in absent.stderr
    with pytest.raises(ProvisioningError, match=r"line\.name: lot: got 'Lot 1'"):
        want_names("Lot 1", "bench-1")
