"""A SoftHSM token whose keys were made in it and cannot leave it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ota.test_hsm import MODULE

PIN = "246810"
URI = f"pkcs11:token=ca;object={{}}?module-path={MODULE}"
MAKE = """
import sys
import pkcs11
from pkcs11.util.ec import encode_named_curve_parameters
module, pin, *labels = sys.argv[1:]
with pkcs11.lib(module).get_token(token_label="ca").open(rw=True, user_pin=pin) as session:
    for label in labels:
        if label.startswith("rsa"):
            session.generate_keypair(pkcs11.KeyType.RSA, int(label[3:]), store=True, label=label, id=label.encode())
            continue
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True)
        curve.generate_keypair(store=True, label=label, id=label.encode())
"""


def softhsm(folder: Path, *labels: str) -> Path:
    """Make the token with a P-256 key of each label, or RSA where it is "rsa3072"; gives its configuration, for SOFTHSM2_CONF."""
    if MODULE is None:
        pytest.skip("NO HSM WAS TESTED: apt-get install softhsm2")
    pytest.importorskip("pkcs11", reason="NO HSM WAS TESTED: pip install python-pkcs11")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    env = os.environ | {"SOFTHSM2_CONF": str(config)}
    for command in (["softhsm2-util", "--init-token", "--free", "--label", "ca", "--so-pin", "13579135", "--pin", PIN],
                    [sys.executable, "-c", MAKE, MODULE, PIN, *labels]):
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)   # an RSA key takes its time
    return config
