"""What a broker of the tests needs: certificates of those who connect, free ports, nats-server's settings."""

import datetime as dt

from host import broker
from host.sim.ports import free_ports
from provisioning import ca, pki

__all__ = ["free_ports", "issue", "nats_settings"]


def issue(made, *names, make=ca.issue_device, now=None, **more):
    """Give each name a key and a certificate of a fleet's issuing CA."""
    issuing = pki.load_authority(made.cert("issuing"), made.key("issuing"))
    for name in names:
        key = ca.make_key()
        pki.write_key(made.key(name), key)
        pki.write_pem(made.cert(name), make(issuing, key.public_key(), name, now or dt.datetime.now(dt.UTC), **more))


def nats_settings(made, store_dir, name="svc.broker", **changes):
    """Settings of one nats-server on free ports, with a certificate of the fleet."""
    mqtt_port, client_port, monitor_port = free_ports(3)
    return broker.BrokerSettings(**{
        "mqtt_port": mqtt_port, "client_port": client_port, "monitor_port": monitor_port, "cert_file": made.cert(name),
        "key_file": made.key(name), "ca_file": made.ca_file, "store_dir": store_dir, **changes})
