"""Which names there are and what kind of certificate each may have.

A certificate's subject is exactly `CN=<name>`, and the name's grammar tells its kind, so that no device can ever hold a
service's or an operator's name. Decides from the text alone.
"""

import re
from enum import Enum

from node.wire.identity import is_device_id


class Kind(Enum):
    """Whom a name belongs to."""

    DEVICE = "device"       # <product>-<12 hex of the MAC>
    SERVICE = "service"     # svc.<word>
    OPERATOR = "operator"   # op.<word>
    STATION = "station"     # st.<station>, as birth records name it


_GRAMMARS = (
    (re.compile(r"svc\.[a-z0-9]{1,16}"), Kind.SERVICE),
    (re.compile(r"op\.[a-z0-9]{1,16}"), Kind.OPERATOR),
    (re.compile(r"st\.[a-z0-9._-]{1,32}"), Kind.STATION),
)


def kind_of(name: str) -> Kind | None:
    """Tell whom a name belongs to; None when it fits no grammar."""
    if is_device_id(name):
        return Kind.DEVICE
    return next((kind for pattern, kind in _GRAMMARS if pattern.fullmatch(name)), None)
