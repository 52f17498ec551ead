"""A plant that stays up: what an operator is given must be enough to reach it."""

import subprocess

import pytest

from host.sim.errors import DemoError
from host.sim.plant import Pace, Plant
from host.sim.ports import free_ports


def test_operators_shell_is_told_wrong_paths_or_loses_a_blank(tmp_path):
    (tmp_path / "a b").mkdir()
    plant = Plant.make(tmp_path / "a b", 1, free_ports(1)[0], Pace())
    shell = f'. "{plant.write_operator()}"; printf "%s\\n" "$TENFOLD_SERVER" "$TENFOLD_CA" "$TENFOLD_CERT" "$TENFOLD_KEY"'
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == [f"https://localhost:{plant.ports.ota}", str(plant.pki.ca_file), str(plant.pki.cert("op.release")),
                    str(plant.pki.key("op.release"))]


def test_plant_of_own_keys_is_emptied_before_the_keys_are_looked_for(tmp_path):
    (tmp_path / "demo").mkdir()
    kept = tmp_path / "demo" / "kept"
    kept.touch()
    with pytest.raises(DemoError, match=r"root\.bin: no such file; make keys with `tenfold keys init"):
        Plant.make(tmp_path, 1, free_ports(1)[0], Pace(), keys_folder=tmp_path / "keys")
    assert kept.exists()
