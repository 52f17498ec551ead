"""The schemas that devices told, as channels, with the parsed ones in memory. Safe for several threads."""

import logging
from collections import OrderedDict
from decimal import Decimal
from functools import lru_cache
from threading import Lock

from sqlalchemy import Connection, select

from host.store.channels import Channel
from host.store.tables import schema
from node.errors import FormatError
from node.wire import schema as wire_schema

log = logging.getLogger(__name__)

SCHEMAS_KEPT = 1024   # parsed schemas in memory, about 1 KB each; a device has one for each period of its channels
BODIES_KEPT = 256    # parsed bodies, by their bytes


class Schemas:
    """What each hash means to a device."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, bytes], tuple[Channel, ...]] = OrderedDict()
        self._lock = Lock()

    def of(self, connection: Connection, device: str, schema_hash: bytes) -> tuple[Channel, ...]:
        """The channels of a schema, empty when it is not known yet (not remembered: it may come)."""
        key = (device, bytes(schema_hash))
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        body = connection.scalar(select(schema.c.body).where(schema.c.device == device, schema.c.hash == schema_hash))
        if body is None:
            return ()
        channels = channels_of(device, bytes(body))
        if not channels:
            return ()
        with self._lock:
            self._known[key] = channels
            if len(self._known) > SCHEMAS_KEPT:
                self._known.popitem(last=False)
        return channels


def channels_of(device: str, body: bytes) -> tuple[Channel, ...]:
    """The channels that a schema's body tells; none when it does not parse. Many devices tell the same."""
    try:
        return _parsed(body)
    except FormatError as error:
        log.warning("a stored schema of %s does not parse: %s", device, error)
        return ()


@lru_cache(BODIES_KEPT)
def _parsed(body: bytes) -> tuple[Channel, ...]:
    return tuple(Channel(name, unit, Decimal(resolution)) for name, unit, resolution in wire_schema.parse(body))
